"""The encoder of one modality in the model: a backbone, a choice of its layers, what is frozen."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from emo_fairseq.errors import UsageError
from emo_fairseq.models.by_length import encode_by_length
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.modules.layer_mix import LayerMix
from emo_fairseq.modules.pooling import POOLINGS
from emo_fairseq.modules.staged_encoder import StagedEncoder
from emo_fairseq.modules.standardization import Standardization
from emo_fairseq.training.freezing import freeze

LAST = "last"
MEAN = "mean"
WEIGHTED = "weighted"
CONCAT = "concat"
LAYERS = (LAST, MEAN, WEIGHTED, CONCAT)  # of --{modality}-layer, beside numbers


class ModalityEncoder(nn.Module):
    """An encoder in the model: the backbone, the choice among its layers, and its tuning.

    Args:
        backbone: the encoder.
        layer: ``last``, ``mean`` of all layers, ``weighted`` (a learned sum of all, as in SUPERB),
            ``concat`` (all side by side), or the number of one, 0 being what enters the first.
        standardizes: whether the outputs of the backbone, which is frozen, are standardized.
        frozen_pooling: one of :data:`~emo_fairseq.modules.pooling.FIXED_POOLINGS`, by which the
            frames of each layer of the backbone, which is frozen, become one; None = they stay.

    Attributes:
        state_dim: C of :meth:`encode`: width of the backbone, or of its pooled frames.
        embed_dim: width of the features: C, or (L + 1) x C of ``concat``.
        frozen: the backbone is never trained; it runs as in evaluation, without gradient.
        frozen_layers: of a backbone whose lower part alone is frozen in that way, how many layers
            that part has; 0 = only the front end of a waveform encoder; None = no part.
        keeps_precision: what is frozen is moved, but not cast: its outputs are on disk, and half
            precision would make them those of other weights.
        groups_lengths: in training, rows are encoded in groups of similar length.

    Raises:
        UsageError: there is no such layer.
    """

    def __init__(
        self,
        backbone: Encoder,
        layer: str = LAST,
        standardizes: bool = False,
        frozen_pooling: str | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.layer = layer
        self.frozen = False
        self.frozen_layers: int | None = None
        self.keeps_precision = False
        self.groups_lengths = False
        check_layer(layer, backbone.n_layers, f"layer {layer!r}: this encoder")
        if layer not in LAYERS:
            backbone.top_layer = int(layer)
        self.mix = LayerMix(backbone.n_layers + 1) if layer == WEIGHTED else None
        self.frozen_pooling = frozen_pooling
        self.pool = POOLINGS[frozen_pooling](backbone.embed_dim) if frozen_pooling else None
        self.state_dim = self.pool.output_dim if self.pool else backbone.embed_dim
        self.embed_dim = self.state_dim * (self.n_states if layer == CONCAT else 1)
        self.standardize = Standardization(self.n_states, self.state_dim) if standardizes else None

    @property
    def n_states(self) -> int:
        """K, the states of layers that :meth:`encode` returns."""
        return self.backbone.n_layers + 1 if self.layer in (WEIGHTED, CONCAT) else 1

    @property
    def used_layers(self) -> int:
        """Number of the highest layer that the features depend on."""
        top = self.backbone.top_layer
        return self.backbone.n_layers if top is None else top

    def blocks(self) -> Sequence[nn.Module]:
        """Return the backbone's blocks that the chosen layer depends on.

        See :meth:`emo_fairseq.modules.encoder.Encoder.blocks`.
        """
        blocks = self.backbone.blocks()
        return blocks if self.layer in LAYERS else blocks[: int(self.layer) + 1]

    def freeze(self) -> None:
        """Stop training the backbone; a learned sum of its layers is still trained."""
        self.frozen = True
        freeze(self.backbone)

    def freeze_lower(self, n_layers: int) -> None:
        """Stop training the lower part of the backbone.

        Args:
            n_layers: lowest layers to freeze, with all that is below them; 0 = the front end of a
                :class:`~emo_fairseq.modules.staged_encoder.StagedEncoder`.
        """
        self.frozen_layers = n_layers
        for part in self.frozen_modules():
            freeze(part)

    def frozen_modules(self) -> Sequence[nn.Module]:
        """Return the parts of the backbone that are frozen."""
        if self.frozen:
            return (self.backbone,)
        if self.frozen_layers is None:
            return ()
        if self.frozen_layers == 0:
            assert isinstance(self.backbone, StagedEncoder)
            return self.backbone.front_end_modules()
        return self.backbone.blocks()[: self.frozen_layers + 1]

    @property
    def has_stored_outputs(self) -> bool:
        """Whether :meth:`forward` can begin with outputs of what is frozen, read from disk."""
        is_cut = self.frozen_layers is not None and isinstance(self.backbone, StagedEncoder)
        return self.frozen or is_cut

    def encode_frozen_once(self, source: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Run what is frozen, and return its outputs in place of the input, as from disk.

        They are equal to the bit to those of :meth:`forward`, which begins with them: what is
        frozen has no dropout.

        Args:
            source: what the modality's dataset collates, see :meth:`forward`.

        Returns:
            The same where nothing is frozen, where the outputs are there already, and where rows
            are encoded in groups.
        """
        kept = {name: x for name, x in source.items() if name in ("present", "focus")}
        inputs = {name: x for name, x in source.items() if name not in kept}
        if not inputs or "encoded" in inputs or not self.has_stored_outputs or self.groups_lengths:
            return source
        encoded, padding_mask = self.encode_frozen(**inputs)
        return {**kept, "encoded": encoded.flatten(2), "padding_mask": padding_mask}

    def _apply(self, fn: Any, recurse: bool = True) -> "ModalityEncoder":
        # .to(), .half() and .cuda() call this.
        if not self.keeps_precision:
            return super()._apply(fn, recurse)
        parts = self.frozen_modules()
        kept = {id(x) for part in parts for x in chain(part.parameters(), part.buffers())}
        return super()._apply(lambda x: x.to(fn(x).device) if id(x) in kept else fn(x), recurse)

    def encode(self, **source: Tensor) -> tuple[Tensor, Tensor]:
        """Run the backbone, without anything that is learned on top of it.

        Args:
            source: the input and its ``padding_mask``, as the modality's dataset collates them.

        Returns:
            (B, T, K, C), K = :attr:`n_states` and C = :attr:`state_dim`, and the padding mask
            (B, T); T = 1 where frames are pooled.
        """
        if self.has_stored_outputs and not self.frozen:
            return self.encode_upper(*self.encode_frozen(**source))
        source = _cast(source, next(self.backbone.parameters(), None))
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            layers, padding_mask = self.backbone.layers(**source)
        return self._pooled(self._choose(layers[: self.used_layers + 1]), padding_mask)

    def encode_frozen(self, **source: Tensor) -> tuple[Tensor, Tensor]:
        """Run the frozen part of the backbone.

        Args:
            source: see :meth:`encode`.

        Returns:
            What :meth:`encode` returns, if the whole backbone is frozen. Of a lower part its output
            (B, T, K, C'), and the padding mask (B, T): frames of the front end, K = 1; or states of
            width C, K = N + 1 if all layers are used, N of them frozen, and else 1.
        """
        if self.frozen:
            return self.encode(**source)
        backbone, n_frozen = self.backbone, self.frozen_layers
        assert isinstance(backbone, StagedEncoder)
        assert n_frozen is not None
        source = _cast(source, next(backbone.parameters()))
        with torch.no_grad():
            frames, padding_mask = backbone.front_end(**source)
            if n_frozen == 0:
                return frames[:, :, None], padding_mask
            state = backbone.embed(frames, padding_mask)
            states = [state, *backbone.run_layers(state, padding_mask, 0, n_frozen)]
        return torch.stack(states if self.uses_all_layers else states[-1:], dim=2), padding_mask

    def encode_upper(self, encoded: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Run the layers above the frozen part.

        Args:
            encoded: (B, T, K, C') of :meth:`encode_frozen`.
            padding_mask: (B, T), True = padding.

        Returns:
            See :meth:`encode`.
        """
        backbone, n_frozen = self.backbone, self.frozen_layers
        assert isinstance(backbone, StagedEncoder)
        assert n_frozen is not None
        encoded = encoded.to(self._upper_dtype)
        states = list(encoded.unbind(dim=2))
        if n_frozen == 0:
            states = [backbone.embed(states[0], padding_mask)]
        states += backbone.run_layers(states[-1], padding_mask, n_frozen, self.used_layers)
        states, padding_mask = backbone.drop_extra_tokens(states, padding_mask)
        return self._choose(states), padding_mask

    @property
    def _upper_dtype(self) -> torch.dtype:
        """Precision of what reads the outputs of the frozen part.

        That of the first parameter: the layers of a sharded model cast their inputs themselves.
        """
        frozen = {id(x) for part in self.frozen_modules() for x in part.parameters()}
        return next(x.dtype for x in self.backbone.parameters() if id(x) not in frozen)

    @property
    def _n_stored(self) -> int:
        """K of :meth:`encode_frozen`."""
        if self.frozen:
            return self.n_states
        return 1 + self.frozen_layers if self.frozen_layers and self.uses_all_layers else 1

    @property
    def uses_all_layers(self) -> bool:
        """Whether the features depend on the states of all layers."""
        return self.layer in (MEAN, WEIGHTED, CONCAT)

    def _choose(self, states: Sequence[Tensor]) -> Tensor:
        """Return (B, T, K, C) of the states (B, T, C) up to the highest layer that is used."""
        if self.n_states > 1:
            return torch.stack(list(states), dim=2)
        if self.layer == MEAN:
            return torch.stack(list(states), dim=2).mean(dim=2, keepdim=True)
        return states[-1][:, :, None]

    def _pooled(self, states: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pool the frames of each state (B, T, K, C); return (B, 1, K, C') and (B, 1)."""
        if self.pool is None:
            return states, padding_mask
        # B x T x K x C -> B x NKC -> B x N x K x C -> B x K x NC, N statistics of each number
        pooled = self.pool(states.flatten(2), padding_mask)
        # Not unflatten, which a traced graph would record with the number of rows of its example.
        by_statistic = pooled.view(pooled.size(0), -1, *states.shape[2:])
        pooled = by_statistic.transpose(1, 2).flatten(2)
        return pooled[:, None], padding_mask.all(dim=1, keepdim=True)

    def forward(
        self, present: Tensor, focus: Tensor | None = None, **source: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        Args:
            present: (B,) bool; a row that lacks the modality is masked as a whole.
            focus: (B, T) bool: the only frames that the fusion may attend to; of tokens only.
            source: what the modality's dataset collates: the input and its ``padding_mask``; of a
                frozen encoder, or lower part, whose outputs are on disk, ``encoded`` (B, T, K x C),
                numbers or the bits of :class:`~emo_fairseq.data.encoded.EncodedDataset`, and that
                mask; nothing where no row has the modality.

        Returns:
            Features (B, T, embed_dim), and their padding mask (B, T).
        """
        if not source:
            features = torch.zeros(len(present), 1, self.embed_dim, device=present.device)
            return features, torch.ones_like(present)[:, None]
        encode: Callable[..., tuple[Tensor, Tensor]] = self.encode
        padded_input = self.backbone.padded_input
        if "encoded" in source:
            outputs = source["encoded"]
            if outputs.dtype == torch.int32:
                outputs = outputs.view(torch.float32)
            # B x T x KC -> B x T x K x C
            source["encoded"] = outputs.unflatten(2, (self._n_stored, -1))
            encode, padded_input = self.encode_upper, 0
        if self.frozen and "encoded" in source:
            encoded, padding_mask = source["encoded"], source["padding_mask"]
        elif self.groups_lengths and self.training and not padded_input:
            encoded, padding_mask = encode_by_length(encode, source)
        else:
            encoded, padding_mask = encode(**source)
        if self.mix is not None:
            features = self.mix(encoded, self.standardize)
        else:
            states = encoded if self.standardize is None else self.standardize(encoded)
            features = states.flatten(2)  # K = 1, or concat
        if self.standardize is not None:
            features = features.masked_fill(padding_mask[:, :, None], 0)
        if focus is not None:
            padding_mask = padding_mask | ~focus
        return features, padding_mask | ~present[:, None]


def _cast(source: Mapping[str, Tensor], parameter: nn.Parameter | None) -> dict[str, Tensor]:
    """Return a batch in the precision of a parameter; ids and masks stay as they are."""
    if parameter is None:
        return dict(source)
    dtype = parameter.dtype
    return {name: x.to(dtype) if x.is_floating_point() else x for name, x in source.items()}


def check_layer(layer: str, n_layers: int, name: str, choices: Sequence[str] = LAYERS) -> None:
    """Raise a `UsageError`, which begins with `name`, unless an encoder has the layer."""
    numbers = map(str, range(n_layers + 1))
    if layer not in (*choices, *numbers):
        raise UsageError(
            f"{name} has layers 0 to {n_layers}; give a number, or {', '.join(choices[:-1])} or "
            f"{choices[-1]}",
            "layer-unknown",
        )
