"""Base class of the encoders of waveforms, which run in stages.

    waveform ──front_end──▶ frames ──embed──▶ state 0 ──layer 1──▶ state 1 … ──layer L──▶ state L
    (B, S)                  (B, T, C0)        (B, T, C)

The front end are the convolutions over samples. Stages that are not trained need to run only once
for each recording: the next one begins with their stored outputs.
"""

from collections.abc import Sequence

import torch
from fairseq.modules import GradMultiply
from torch import Tensor, nn

from emo_fairseq.modules.encoder import Encoder


class StagedEncoder(Encoder):
    """Encode a waveform in stages. Base class.

    Attributes:
        trains_front_end: whether a training in full trains the front end unless options set
            otherwise. It does not for pretrained encoders, as in the recipes of Hugging Face,
            SpeechBrain and SUPERB.
        feature_grad_mult: the gradient of the front end is multiplied by this number, as that of
            wav2vec 2.0 is in fairseq (its pretraining has 0.1).
        n_extra_tokens: E of T positions of all stages, the first ones, that are learned and stand
            for no frame. The layers attend to them; they are no features.
    """

    trains_front_end = False
    feature_grad_mult = 1.0
    n_extra_tokens = 0

    def front_end_modules(self) -> Sequence[nn.Module]:
        """Return the parts that :meth:`front_end` runs."""
        raise NotImplementedError

    def front_end(self, waveform: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve a padded batch of samples to frames.

        Args:
            waveform: (B, S) samples at 16 kHz.
            padding_mask: (B, S), True = padding. No row is all padding.

        Returns:
            Frames (B, T, C0), and their padding mask (B, T).
        """
        raise NotImplementedError

    def embed(self, frames: Tensor, padding_mask: Tensor) -> Tensor:
        """Return the input of the first layer (B, T, C).

        Args:
            frames: (B, T, C0), of :meth:`front_end`.
            padding_mask: (B, T), True = padding.
        """
        raise NotImplementedError

    def run_layers(
        self, state: Tensor, padding_mask: Tensor, first: int, last: int
    ) -> list[Tensor]:
        """Run some of the layers.

        Args:
            state: (B, T, C), the output of layer number `first`; of 0 that of :meth:`embed`.
            padding_mask: (B, T), True = padding.
            first: number of the layer before the first one that runs.
            last: number of the last layer that runs; layers are numbered from 1.

        Returns:
            `last` - `first` tensors (B, T, C), the outputs of the layers; that of the topmost layer
            of the model is normalized, if the model has a final layer norm.
        """
        raise NotImplementedError

    def layers(self, waveform: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode a padded batch of waveforms.

        Args:
            waveform: (B, S) samples at 16 kHz.
            padding_mask: (B, S), True = padding.

        Returns:
            See :meth:`Encoder.layers`.
        """
        frames, frame_mask = self.front_end(waveform, padding_mask)
        if self.feature_grad_mult != 1.0 and torch.is_grad_enabled():
            frames = GradMultiply.apply(frames, self.feature_grad_mult)
        state = self.embed(frames, frame_mask)
        states = [state, *self.run_layers(state, frame_mask, 0, self.highest_layer)]
        return self.drop_extra_tokens(states, frame_mask)

    def drop_extra_tokens(
        self, states: Sequence[Tensor], padding_mask: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Return states (B, T, C) and their mask (B, T) without the positions of extra tokens."""
        n_extra = self.n_extra_tokens
        return [state[:, n_extra:] for state in states], padding_mask[:, n_extra:]

    @property
    def highest_layer(self) -> int:
        """Number of the last layer that has to run."""
        return self.n_layers if self.top_layer is None else self.top_layer
