"""One modality's encoder in the model: what is taken of its layers, and whether it is trained."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from emo_fairseq.errors import UsageError
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.modules.layer_mix import LayerMix
from emo_fairseq.training.freezing import freeze

LAST = "last"
MEAN = "mean"
WEIGHTED = "weighted"


class ModalityEncoder(nn.Module):
    """An encoder, the choice among its layers, and its tuning.

    Args:
        backbone: the encoder.
        layer: ``last``, ``mean`` of all layers, ``weighted`` (a learned sum of all, as in SUPERB),
            or the number of one, 0 being what enters the first layer.

    Attributes:
        embed_dim: C, width of the features.
        frozen: the backbone is never trained; it runs as in evaluation, without gradient.
        keeps_precision: a frozen backbone is moved, but not cast: its outputs are on disk, and half
            precision would make them those of other weights.

    Raises:
        UsageError: there is no such layer.
    """

    def __init__(self, backbone: Encoder, layer: str = LAST) -> None:
        super().__init__()
        self.backbone = backbone
        self.layer = layer
        self.embed_dim = backbone.embed_dim
        self.frozen = False
        self.keeps_precision = False
        numbers = [str(number) for number in range(backbone.n_layers + 1)]
        if layer not in (LAST, MEAN, WEIGHTED, *numbers):
            raise UsageError(
                f"layer {layer!r}: this encoder has layers 0 to {backbone.n_layers}; give a "
                f"number, or {LAST}, {MEAN} or {WEIGHTED}",
                "layer-unknown",
            )
        self.mix = LayerMix(len(numbers)) if layer == WEIGHTED else None

    def blocks(self) -> Sequence[nn.Module]:
        """The backbone's blocks that the chosen layer comes from; see :meth:`Encoder.blocks`."""
        blocks = self.backbone.blocks()
        return blocks if self.layer in (LAST, MEAN, WEIGHTED) else blocks[: int(self.layer) + 1]

    def freeze(self) -> None:
        """Train the backbone no longer; the learned sum of its layers is trained still."""
        self.frozen = True
        freeze(self.backbone)

    def _apply(self, fn: Any, recurse: bool = True) -> "ModalityEncoder":
        # What .to(), .half() and .cuda() come down to.
        if not (self.frozen and self.keeps_precision):
            return super()._apply(fn, recurse)
        for child in self.children():
            moved_only = child is self.backbone
            child._apply((lambda t: t.to(fn(t).device)) if moved_only else fn, recurse)
        return self

    def encode(self, **source: Tensor) -> tuple[Tensor, Tensor]:
        """What the backbone says, before anything that is learned on top of it.

        Returns:
            (B, T, K, C), K = L + 1 for ``weighted`` and else 1, and the padding mask (B, T).
        """
        precision = next(self.backbone.parameters()).dtype
        source = {k: x.to(precision) if x.is_floating_point() else x for k, x in source.items()}
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            found, padding_mask = self.backbone.layers(**source)
        if self.layer == LAST:
            return found[-1][:, :, None], padding_mask
        if self.layer == MEAN:
            return torch.stack(found, dim=2).mean(dim=2, keepdim=True), padding_mask
        if self.mix is not None:
            return torch.stack(found, dim=2), padding_mask
        return found[int(self.layer)][:, :, None], padding_mask

    def forward(
        self, present: Tensor, focus: Tensor | None = None, **source: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        Args:
            present: (B,) bool; a row that lacks the modality is masked as a whole.
            focus: (B, T) bool: the only frames that the fusion may look at; of tokens only.
            source: what the leaf collates: the input and its ``padding_mask``; of a frozen encoder
                whose outputs are on disk, ``encoded`` (B, T, K x C) and that mask; nothing where
                no row has the modality.

        Returns:
            Features (B, T, C), and their padding mask (B, T).
        """
        if not source:
            nothing = torch.zeros(len(present), 1, self.embed_dim, device=present.device)
            return nothing, torch.ones_like(present)[:, None]
        if "encoded" in source:
            encoded, padding_mask = source["encoded"], source["padding_mask"]
            encoded = encoded.unflatten(2, (-1, self.embed_dim))
        else:
            encoded, padding_mask = self.encode(**source)
        features = encoded[:, :, 0] if self.mix is None else self.mix(encoded)
        if focus is not None:
            padding_mask = padding_mask | ~focus
        return features, padding_mask | ~present[:, None]
