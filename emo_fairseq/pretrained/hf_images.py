"""Image encoders of Hugging Face as encoders of video: ViT, CLIP's and DINOv2."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from emo_fairseq.modules.encoder import Encoder, in_blocks
from emo_fairseq.pretrained.hf_files import recorded_states, transformers
from emo_fairseq.pretrained.pictures import NormalizedPictures


class HuggingFaceImages(Encoder):
    """Encode each picture of a video by itself; its feature is that of the class token.

    Args:
        config: configuration of transformers, of CLIP that of its vision tower.
        front_end: settings of its image processor.
        layers: where the layers are in the model.
        before: parts before the first layer.
        final_norm: the norm of the class token after the last layer.
        options: further arguments of the model.
    """

    def __init__(
        self,
        config: Any,
        front_end: Mapping[str, Any],
        layers: str,
        before: Sequence[str],
        final_norm: str,
        **options: Any,
    ) -> None:
        super().__init__()
        self.model = transformers().AutoModel.from_config(config, **options)
        self.pictures = NormalizedPictures(front_end)
        self._before, self._final_norm = before, final_norm
        self._layers: Sequence[nn.Module] = list(operator.attrgetter(layers)(self.model))
        self.embed_dim = config.hidden_size
        self.n_layers = config.num_hidden_layers

    def layers(self, pixels: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode a padded batch of videos.

        Args:
            pixels: (B, T, H, W, 3) of 0 to 255.
            padding_mask: (B, T), True = padding.

        Returns:
            See :meth:`Encoder.layers`; one frame a picture.
        """
        states = []
        for of_layer in self.class_tokens(pixels[~padding_mask]):
            state = of_layer.new_zeros(*padding_mask.shape, self.embed_dim)
            states.append(torch.masked_scatter(state, ~padding_mask[:, :, None], of_layer))
        return states, padding_mask

    def class_tokens(self, pixels: Tensor) -> list[Tensor]:
        """Return the class tokens (M, C) of pictures (M, H, W, 3) after each layer."""
        parameter = next(self.model.parameters())
        with recorded_states(self._layers) as recorded:
            self.model(self.pictures(pixels, parameter.dtype))
        tokens = [state[:, 0] for state in recorded]
        tokens[-1] = getattr(self.model, self._final_norm)(tokens[-1])
        return tokens

    def blocks(self) -> Sequence[nn.Module]:
        before = [getattr(self.model, name) for name in self._before]
        return in_blocks(before, self._layers, (getattr(self.model, self._final_norm),))
