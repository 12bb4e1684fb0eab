"""The encoder of one modality: built from its spec, with a choice of its layers and its tuning."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from data_prep.features.log_mel import N_MELS
from emo_fairseq import pretrained
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.models.by_length import encode_by_length
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.modules.convolutions import parse_conv_layers
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.modules.frame_encoder import FrameEncoder
from emo_fairseq.modules.identity_encoder import IdentityEncoder
from emo_fairseq.modules.layer_mix import LayerMix
from emo_fairseq.modules.log_mel_encoder import LogMelEncoder
from emo_fairseq.modules.staged_encoder import StagedEncoder
from emo_fairseq.modules.stored_layers import StoredLayers
from emo_fairseq.modules.token_encoder import TokenEncoder
from emo_fairseq.modules.transformer import TransformerSize
from emo_fairseq.modules.waveform_encoder import WaveformEncoder
from emo_fairseq.task_state import TaskState
from emo_fairseq.training.freezing import freeze
from emo_fairseq.types import (
    BY_UTTERANCE,
    CROSS_ATTENTION,
    FRAMES,
    LOG_MEL,
    TOKENS,
    WAVEFORM,
)


def build_encoder(modality: str, config: RobertaEMOConfig, state: TaskState) -> Encoder:
    """Build the encoder of a modality's spec, with random weights.

    Args:
        modality: that it reads.
        config: options of the model, filled in.
        state: has the spec, and what else the sizes of the encoder follow from.

    Raises:
        UsageError: sizes that do not fit each other.
    """
    spec = state.encoders[modality]
    if spec.is_pretrained:
        return pretrained.build(spec.with_dropout(getattr(config, f"{modality}_encoder_dropout")))
    size = transformer_size(modality, config, spec)
    if size.embed_dim == 0:
        _check_pooling_varies(modality, config, state)
        return _on_stored_layers(modality, config, state, IdentityEncoder)
    return _FROM_SCRATCH[spec.input](modality, config, state, size)


def _check_pooling_varies(modality: str, config: RobertaEMOConfig, state: TaskState) -> None:
    """Refuse frames that are pooled to what their normalization has made equal in every row.

    Raises:
        UsageError: they are.
    """
    pooling = str(getattr(config, f"{modality}_pooling") or "mean")
    is_cross_attention = str(config.fusion) == CROSS_ATTENTION
    removes = state.normalize_by == BY_UTTERANCE and pooling in ("mean", "mean_std")
    if removes and not is_cross_attention:
        raise UsageError(
            f"--normalize-by utterance: the mean and deviation of {modality} frames, which are "
            "pooled without an encoder, are then 0 and 1 in every row; normalize by speaker or "
            "train",
            "normalization-removes-input",
        )


def transformer_size(modality: str, config: RobertaEMOConfig, spec: EncoderSpec) -> TransformerSize:
    """Return the size of an encoder that is not pretrained; its width is 0 where there is none.

    Args:
        modality: that it reads.
        config: options of the model, filled in.
        spec: of the encoder.

    Raises:
        UsageError: a width of 0 for what is not read as frames, or layers whose heads do not divide
            the width.
    """
    size = TransformerSize(
        embed_dim=getattr(config, f"{modality}_embed_dim"),
        ffn_embed_dim=getattr(config, f"{modality}_ffn_embed_dim"),
        n_layers=getattr(config, f"{modality}_encoder_layers"),
        n_heads=getattr(config, f"{modality}_attention_heads"),
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
    )
    if size.embed_dim == 0 and spec.input not in (FRAMES, LOG_MEL):
        raise UsageError(
            f"--{modality}-embed-dim 0: {spec.input} need an encoder; give the width of one, or "
            "frames: features:NAME, or --speech-input log_mel",
            "width-without-encoder",
        )
    if size.n_layers and size.embed_dim % size.n_heads:
        raise UsageError(
            f"--{modality}-attention-heads {size.n_heads} does not divide --{modality}-embed-dim "
            f"{size.embed_dim}; change one of them",
            "heads-indivisible",
        )
    return size


def _tokens(
    modality: str, config: RobertaEMOConfig, state: TaskState, size: TransformerSize
) -> Encoder:
    vocabulary = state.vocabularies[modality]
    return TokenEncoder(
        vocabulary_size=vocabulary.size,
        max_tokens=state.limits.max_tokens(modality),
        size=size,
        padding_id=vocabulary.specials.pad,
    )


def _waveform(
    modality: str, config: RobertaEMOConfig, state: TaskState, size: TransformerSize
) -> Encoder:
    assert config.speech_conv_layers is not None  # the architecture has filled it in
    layers = parse_conv_layers(config.speech_conv_layers, "--speech-conv-layers")
    return WaveformEncoder(conv_layers=layers, size=size)


def _log_mel(
    modality: str, config: RobertaEMOConfig, state: TaskState, size: TransformerSize
) -> Encoder:
    assert config.speech_conv_channels is not None  # as above
    return LogMelEncoder(n_mels=N_MELS, conv_channels=config.speech_conv_channels, size=size)


def _frames(
    modality: str, config: RobertaEMOConfig, state: TaskState, size: TransformerSize
) -> Encoder:
    return _on_stored_layers(modality, config, state, partial(FrameEncoder, size=size))


def _on_stored_layers(
    modality: str, config: RobertaEMOConfig, state: TaskState, build: Callable[[int], Encoder]
) -> Encoder:
    """Build the encoder of frames, by their width, on the layer that is chosen of each.

    Raises:
        UsageError: the frames do not hold it.
    """
    spec, width = state.encoders[modality], len(state.frame_statistics[modality].mean)
    layer, n_stored = str(getattr(config, f"{modality}_layer")), spec.stored_layers
    if n_stored == 1:
        return build(width)
    if n_stored < 1 or width % n_stored:
        raise UsageError(
            f"{spec.spec}: frames of {width} numbers are not those of {n_stored} layers; extract "
            "them again",
            "features-width",
        )
    _check_layer(layer, n_stored - 1, f"--{modality}-layer {layer}: {spec.spec}")
    choose: nn.Module | Callable[[Tensor], Tensor]
    if layer == WEIGHTED:
        choose = LayerMix(n_stored)
    elif layer == MEAN:
        choose = partial(torch.mean, dim=2)
    else:
        choose = partial(torch.select, dim=2, index=n_stored - 1 if layer == LAST else int(layer))
    return StoredLayers(n_stored, layer, choose, build(width // n_stored))


_Builder = Callable[[str, RobertaEMOConfig, TaskState, TransformerSize], Encoder]
_FROM_SCRATCH: Mapping[str, _Builder] = {  # by what the encoder reads
    TOKENS: _tokens,
    WAVEFORM: _waveform,
    LOG_MEL: _log_mel,
    FRAMES: _frames,
}


LAST = "last"
MEAN = "mean"
WEIGHTED = "weighted"


def layer_of_backbone(modality: str, config: RobertaEMOConfig, state: TaskState) -> str:
    """Return the layer of what :func:`build_encoder` returns that is used: ``--{modality}-layer``.

    Of features of several layers, the option chooses the one that is encoded.
    """
    chooses_inside = state.encoders[modality].stored_layers > 1
    return LAST if chooses_inside else str(getattr(config, f"{modality}_layer"))


def _check_layer(layer: str, n_layers: int, name: str) -> None:
    numbers = map(str, range(n_layers + 1))
    if layer not in (LAST, MEAN, WEIGHTED, *numbers):
        raise UsageError(
            f"{name} has layers 0 to {n_layers}; give a number, or {LAST}, {MEAN} or {WEIGHTED}",
            "layer-unknown",
        )


class ModalityEncoder(nn.Module):
    """An encoder in the model: the backbone, the choice among its layers, and its tuning.

    Args:
        backbone: the encoder.
        layer: ``last``, ``mean`` of all layers, ``weighted`` (a learned sum of all, as in SUPERB),
            or the number of one, 0 being what enters the first layer.

    Attributes:
        embed_dim: C, width of the features.
        frozen: the backbone is never trained; it runs as in evaluation, without gradient.
        frozen_layers: of a backbone whose lower part alone is frozen in that way, how many layers
            that part has; 0 = only the front end of a waveform encoder; None = no part.
        keeps_precision: what is frozen is moved, but not cast: its outputs are on disk, and half
            precision would make them those of other weights.
        groups_lengths: in training, rows are encoded in groups of similar length.

    Raises:
        UsageError: there is no such layer.
    """

    def __init__(self, backbone: Encoder, layer: str = LAST) -> None:
        super().__init__()
        self.backbone = backbone
        self.layer = layer
        self.embed_dim = backbone.embed_dim
        self.frozen = False
        self.frozen_layers: int | None = None
        self.keeps_precision = False
        self.groups_lengths = False
        _check_layer(layer, backbone.n_layers, f"layer {layer!r}: this encoder")
        if layer not in (LAST, MEAN, WEIGHTED):
            backbone.top_layer = int(layer)
        self.mix = LayerMix(backbone.n_layers + 1) if layer == WEIGHTED else None

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
        return blocks if self.layer in (LAST, MEAN, WEIGHTED) else blocks[: int(self.layer) + 1]

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
            (B, T, K, C), K = L + 1 for ``weighted`` and else 1, and the padding mask (B, T).
        """
        if self.has_stored_outputs and not self.frozen:
            return self.encode_upper(*self.encode_frozen(**source))
        source = _cast(source, next(self.backbone.parameters(), None))
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            layers, padding_mask = self.backbone.layers(**source)
        return self._choose(layers[: self.used_layers + 1]), padding_mask

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
        encoded = encoded.to(next(backbone.blocks()[-1].parameters()).dtype)
        states = list(encoded.unbind(dim=2))
        if n_frozen == 0:
            states = [backbone.embed(states[0], padding_mask)]
        states += backbone.run_layers(states[-1], padding_mask, n_frozen, self.used_layers)
        states, padding_mask = backbone.drop_extra_tokens(states, padding_mask)
        return self._choose(states), padding_mask

    @property
    def _n_stored(self) -> int:
        """K of :meth:`encode_frozen`."""
        if self.frozen:
            return 1 if self.mix is None else self.backbone.n_layers + 1
        return 1 + self.frozen_layers if self.frozen_layers and self.uses_all_layers else 1

    @property
    def uses_all_layers(self) -> bool:
        """Whether the features are a mean of all layers."""
        return self.layer in (MEAN, WEIGHTED)

    def _choose(self, states: Sequence[Tensor]) -> Tensor:
        """Return (B, T, K, C) of the states (B, T, C) up to the highest layer that is used."""
        if self.mix is not None:
            return torch.stack(list(states), dim=2)
        if self.layer == MEAN:
            return torch.stack(list(states), dim=2).mean(dim=2, keepdim=True)
        return states[-1][:, :, None]

    def forward(
        self, present: Tensor, focus: Tensor | None = None, **source: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        Args:
            present: (B,) bool; a row that lacks the modality is masked as a whole.
            focus: (B, T) bool: the only frames that the fusion may attend to; of tokens only.
            source: what the modality's dataset collates: the input and its ``padding_mask``; of a
                frozen encoder, or lower part, whose outputs are on disk, ``encoded`` (B, T, K x C)
                and that mask; nothing where no row has the modality.

        Returns:
            Features (B, T, C), and their padding mask (B, T).
        """
        if not source:
            features = torch.zeros(len(present), 1, self.embed_dim, device=present.device)
            return features, torch.ones_like(present)[:, None]
        encode: Callable[..., tuple[Tensor, Tensor]] = self.encode
        padded_input = self.backbone.padded_input
        if "encoded" in source:
            # B x T x KC -> B x T x K x C
            source["encoded"] = source["encoded"].unflatten(2, (self._n_stored, -1))
            encode, padded_input = self.encode_upper, 0
        if self.frozen and "encoded" in source:
            encoded, padding_mask = source["encoded"], source["padding_mask"]
        elif self.groups_lengths and self.training and not padded_input:
            encoded, padding_mask = encode_by_length(encode, source)
        else:
            encoded, padding_mask = encode(**source)
        features = encoded[:, :, 0] if self.mix is None else self.mix(encoded)
        if focus is not None:
            padding_mask = padding_mask | ~focus
        return features, padding_mask | ~present[:, None]


def _cast(source: Mapping[str, Tensor], parameter: nn.Parameter | None) -> dict[str, Tensor]:
    """Return a batch in the precision of a parameter; ids and masks stay as they are."""
    if parameter is None:
        return dict(source)
    dtype = parameter.dtype
    return {name: x.to(dtype) if x.is_floating_point() else x for name, x in source.items()}
