"""Fusions: ``--fusion``, its options, and how each is built from them.

A new fusion is a module in :mod:`emo_fairseq.modules.fusion`, a builder and a row of
:data:`FUSIONS` here, and a field of :class:`FusionConfig` for each new option.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH, TEXT, TOKENS, VIDEO
from emo_fairseq.modules.fusion import (
    AdaptiveFusion,
    ConcatFusion,
    CrossAttentionFusion,
    CrossmodalTransformer,
    Fusion,
    GatedFusion,
    LowRankFusion,
    SubspaceFusion,
    TensorFusion,
)
from emo_fairseq.modules.pooling import POOLINGS, Pooling
from emo_fairseq.option_values import CONCAT, CROSS_ATTENTION, MISA, default_fusion
from emo_fairseq.options.conditions import Condition, OptionContext, is_none_of, is_read
from emo_fairseq.options.option import WIDTH, Range, option

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from emo_fairseq.models.config import RobertaEMOConfig  # which has FusionConfig as a base

FIRST_TOKEN, ALL_TOKENS = "first_token", "all_tokens"
MULT = "mult"

Widths = Mapping[str, int]  # C of each modality
Inputs = Mapping[str, str]  # what the encoder of each modality reads


# -- builders: (options, width of each modality, input of each modality) -> fusion -----------------


def _filled(size: int | None) -> int:
    """Return a size that the architecture has filled in."""
    assert size is not None
    return size


def _concat(cfg: "RobertaEMOConfig", widths: Widths, inputs: Inputs) -> Fusion:
    return ConcatFusion(_poolers(cfg, widths, inputs))


def _gated(cfg: "RobertaEMOConfig", widths: Widths, inputs: Inputs) -> Fusion:
    return GatedFusion(_poolers(cfg, widths, inputs), _filled(cfg.fusion_embed_dim), cfg.dropout)


def _adaptive(cfg: "RobertaEMOConfig", widths: Widths, inputs: Inputs) -> Fusion:
    return AdaptiveFusion(_poolers(cfg, widths, inputs), _filled(cfg.fusion_embed_dim), cfg.dropout)


def _low_rank(cfg: "RobertaEMOConfig", widths: Widths, inputs: Inputs) -> Fusion:
    poolers = _poolers(cfg, widths, inputs)
    return LowRankFusion(poolers, _filled(cfg.fusion_embed_dim), _filled(cfg.lmf_rank), cfg.dropout)


def _tensor(cfg: "RobertaEMOConfig", widths: Widths, inputs: Inputs) -> Fusion:
    poolers = _poolers(cfg, widths, inputs)
    return TensorFusion(poolers, cfg.tfn_factor_dim, _filled(cfg.fusion_embed_dim), cfg.dropout)


def _crossmodal(cfg: "RobertaEMOConfig", widths: Widths, inputs: Inputs) -> Fusion:
    return CrossmodalTransformer(
        widths,
        pooling=_pooling_of_queries(cfg, widths),
        fusion_dim=_filled(cfg.fusion_embed_dim),
        n_cross_layers=_filled(cfg.encoder_layers_cross),
        n_self_layers=cfg.encoder_layers_self,
        n_heads=_filled(cfg.encoder_attention_heads),
        dropout=cfg.dropout,
        attention_dropout=cfg.attention_dropout,
    )


def _subspaces(cfg: "RobertaEMOConfig", widths: Widths, inputs: Inputs) -> Fusion:
    return SubspaceFusion(
        _poolers(cfg, widths, inputs),
        _filled(cfg.fusion_embed_dim),
        _filled(cfg.encoder_attention_heads),
        cfg.dropout,
        cfg.attention_dropout,
    )


def _cross_attention(cfg: "RobertaEMOConfig", widths: Widths, inputs: Inputs) -> Fusion:
    return CrossAttentionFusion(
        widths,
        pooling=_pooling_of_queries(cfg, widths),
        fusion_dim=_filled(cfg.fusion_embed_dim),
        n_layers=_filled(cfg.encoder_layers_cross),
        n_heads=_filled(cfg.encoder_attention_heads),
        dropout=cfg.dropout,
        attention_dropout=cfg.attention_dropout,
        first_token_only=cross_attention_query(cfg) == FIRST_TOKEN,
        ffn=not cfg.cross_attention_no_ffn,
    )


def _pooling_of_queries(
    cfg: "RobertaEMOConfig", names: Iterable[str]
) -> dict[str, Callable[[int], Pooling]]:
    """Return the pooling of attended frames: their mean, unless that of the modality is given."""
    return {name: POOLINGS[str(getattr(cfg, f"{name}_pooling") or "mean")] for name in names}


def _poolers(cfg: "RobertaEMOConfig", widths: Widths, inputs: Inputs) -> dict[str, Pooling]:
    kinds = {
        name: str(getattr(cfg, f"{name}_pooling") or ("first" if kind == TOKENS else "mean"))
        for name, kind in inputs.items()
    }
    return {name: POOLINGS[kinds[name]](width) for name, width in widths.items()}


# -- the registry ----------------------------------------------------------------------------------


class FusionEntry(NamedTuple):
    """A row of :data:`FUSIONS`.

    Attributes:
        build: makes the fusion of the options, and of the width and input of each modality.
        options: those of :class:`FusionConfig` that act on this fusion.
    """

    build: Callable[["RobertaEMOConfig", Widths, Inputs], Fusion]
    options: Collection[str] = ()


FUSIONS: Mapping[str, FusionEntry] = {
    CONCAT: FusionEntry(_concat),
    CROSS_ATTENTION: FusionEntry(
        _cross_attention,
        (
            "encoder_layers_cross",
            "encoder_attention_heads",
            "cross_attention_query",
            "cross_attention_no_ffn",
            "fusion_embed_dim",
        ),
    ),
    "gated": FusionEntry(_gated, ("fusion_embed_dim",)),
    "adaptive": FusionEntry(_adaptive, ("fusion_embed_dim",)),
    "lmf": FusionEntry(_low_rank, ("fusion_embed_dim", "lmf_rank")),
    "tfn": FusionEntry(_tensor, ("fusion_embed_dim", "tfn_factor_dim")),
    MULT: FusionEntry(
        _crossmodal,
        (
            "encoder_layers_cross",
            "encoder_layers_self",
            "encoder_attention_heads",
            "fusion_embed_dim",
        ),
    ),
    MISA: FusionEntry(_subspaces, ("encoder_attention_heads", "fusion_embed_dim")),
}


def build_fusion(cfg: "RobertaEMOConfig", widths: Widths, inputs: Inputs) -> Fusion:
    """Build the fusion of ``--fusion``, with its poolings.

    Raises:
        UsageError: options that do not go together.
    """
    check_fusion(cfg, inputs)
    return FUSIONS[fusion_name(cfg, len(widths))].build(cfg, widths, inputs)


def check_fusion(cfg: "RobertaEMOConfig", inputs: Inputs) -> None:
    """Check that the options of the fusion fit each other, and the inputs.

    Raises:
        UsageError: they do not.
    """
    name = fusion_name(cfg, len(inputs))
    if "encoder_attention_heads" in FUSIONS[name].options:
        _check_heads(cfg)
    if name != CROSS_ATTENTION:
        return
    first_token_only = cross_attention_query(cfg) == FIRST_TOKEN
    frames = [name for name, kind in inputs.items() if kind != TOKENS]
    if first_token_only and frames:
        option = "--stack-up" if cfg.stack_up else "--cross-attention-query first_token"
        raise UsageError(
            f"{option}: the first frame of {frames[0]} ({inputs[frames[0]]}) carries nothing of "
            f"the rest; leave {option} out, or give {frames[0]} an encoder of tokens",
            "query-without-tokens",
        )


def _check_heads(cfg: "RobertaEMOConfig") -> None:
    if _filled(cfg.fusion_embed_dim) % _filled(cfg.encoder_attention_heads):
        raise UsageError(
            f"--encoder-attention-heads {cfg.encoder_attention_heads} does not divide "
            f"--fusion-embed-dim {cfg.fusion_embed_dim}; change one of them",
            "heads-indivisible",
        )


def fusion_name(cfg: "RobertaEMOConfig | DictConfig", n_modalities: int) -> str:
    """Return the name of the fusion, defaults resolved: one modality is pooled by ``concat``.

    Args:
        cfg: options of the model, such as those of an old checkpoint, without a fusion in them.
        n_modalities: that are read.

    Raises:
        UsageError: ``--stack-up`` or cross-attention where it cannot act.
    """
    if n_modalities == 1:
        if cfg.stack_up or cfg.fusion in (CROSS_ATTENTION, MULT):
            option = "--stack-up" if cfg.stack_up else f"--fusion {cfg.fusion}"
            raise UsageError(
                f"{option} needs two modalities; add one to --modality or leave the option out",
                "fusion-of-one",
            )
        return str(cfg.fusion or default_fusion(n_modalities))
    if cfg.stack_up and cfg.fusion not in (None, CROSS_ATTENTION):
        raise UsageError(
            f"--stack-up is cross-attention and contradicts --fusion {cfg.fusion}; leave out one "
            "of the two options",
            "fusion-contradictory",
        )
    return str(cfg.fusion or default_fusion(n_modalities))


def cross_attention_query(cfg: "RobertaEMOConfig") -> str:
    """Return which tokens are queries; ``--stack-up`` means the first, as in BERT-like.

    Raises:
        UsageError: the two options contradict each other.
    """
    chosen: str | None = cfg.cross_attention_query
    if cfg.stack_up and chosen == ALL_TOKENS:
        raise UsageError(
            "--stack-up makes the first token the query; leave out one of the two options",
            "query-contradictory",
        )
    return FIRST_TOKEN if cfg.stack_up else str(chosen or ALL_TOKENS)


# -- options ---------------------------------------------------------------------------------------


def has_fusion(*names: str) -> Condition:
    """Return the condition of an option that acts on these fusions only."""
    return Condition(
        lambda context: fusion_of(context) in names,
        is_none_of("--fusion", names),
        needs="model",
    )


def _used_by_fusion(name: str) -> tuple[Condition, Condition]:
    """Return the conditions of an option of fusions: there are modalities to fuse, and it is read.

    Legacy commands for one modality carry the options of the cross-attention, too.
    """
    acting = has_fusion(*(fusion for fusion, entry in FUSIONS.items() if name in entry.options))
    nothing_to_fuse = Condition(
        lambda context: len(context.encoders) > 1 or acting.holds(context),
        "there is one modality, and nothing to fuse",
        needs="model",
        only_warns=True,
    )
    return nothing_to_fuse, acting


def fusion_of(context: OptionContext) -> str:
    """Return the fusion that the options choose."""
    return fusion_name(context.model, len(context.encoders))


def _pools(modality: str) -> tuple[Condition, ...]:
    """Return the conditions of the pooling of a modality's frames."""
    has_frames = Condition(
        lambda context: getattr(context.model, f"{modality}_frozen_pooling", None) is None,
        f"--{modality}-frozen-pooling has pooled the frames",
        needs="model",
    )
    return is_read(modality), has_frames


BY_ARCHITECTURE = " (default: by --arch)"  # of the help of sizes
_POOLING_HELP = (
    "how the vectors of tokens or frames become one (default: first of tokens, mean of frames)"
)


@dataclass
class FusionConfig(FairseqDataclass):
    """How modalities are combined."""

    text_pooling: Optional[ChoiceEnum(list(POOLINGS))] = option(  # type: ignore[valid-type]
        None, _POOLING_HELP, acts=is_read(TEXT)
    )
    speech_pooling: Optional[ChoiceEnum(list(POOLINGS))] = option(  # type: ignore[valid-type]
        None, _POOLING_HELP, acts=_pools(SPEECH)
    )
    video_pooling: Optional[ChoiceEnum(list(POOLINGS))] = option(  # type: ignore[valid-type]
        None, _POOLING_HELP, acts=_pools(VIDEO)
    )
    fusion: Optional[ChoiceEnum(list(FUSIONS))] = option(  # type: ignore[valid-type]
        None, "how modalities are combined (default: cross_attention; concat for one)"
    )
    stack_up: bool = option(
        False,
        "the cross-attention of BERT-like (Siriwardhana et al. 2020): only the first token of each "
        "modality is a query (the same as --fusion cross_attention --cross-attention-query "
        "first_token)",
    )
    cross_attention_query: Optional[ChoiceEnum([ALL_TOKENS, FIRST_TOKEN])] = option(  # type: ignore[valid-type]
        None,
        "which tokens of a modality attend to those of the other one (default: all_tokens)",
        acts=_used_by_fusion("cross_attention_query"),
    )
    cross_attention_no_ffn: bool = option(
        False,
        "no feed-forward layer after each cross-attention",
        acts=_used_by_fusion("cross_attention_no_ffn"),
    )
    fusion_embed_dim: Optional[int] = option(
        None,
        "width of the fusion" + BY_ARCHITECTURE,
        within=WIDTH,
        acts=_used_by_fusion("fusion_embed_dim"),
    )
    encoder_layers_cross: Optional[int] = option(
        None,
        "layers of cross-attention" + BY_ARCHITECTURE,
        within=Range(1, most=1000),
        acts=_used_by_fusion("encoder_layers_cross"),
    )
    encoder_attention_heads: Optional[int] = option(
        None,
        "heads of the attention between modalities" + BY_ARCHITECTURE,
        within=WIDTH,
        acts=_used_by_fusion("encoder_attention_heads"),
    )
    encoder_layers_self: int = option(
        1,
        "layers of self-attention after the cross-attention",
        within=Range(1, most=1000),
        acts=_used_by_fusion("encoder_layers_self"),
    )
    tfn_factor_dim: int = option(
        32,
        "width of each modality in the products of tensor fusion, whose number is this width plus "
        "1 to the power of the number of modalities",
        within=Range(1, most=128),
        acts=_used_by_fusion("tfn_factor_dim"),
    )
    lmf_rank: Optional[int] = option(
        None,
        "rank of the low-rank fusion (default: by --arch)",
        within=Range(1),
        acts=_used_by_fusion("lmf_rank"),
    )
