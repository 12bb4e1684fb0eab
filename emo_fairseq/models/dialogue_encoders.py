"""Encoders of dialogues: the values of ``--dialogue-encoder``, and the options of each.

A new one is a module in :mod:`emo_fairseq.modules.dialogue`, a builder and a row of
:data:`DIALOGUE_ENCODERS` here, and a field of :class:`DialogueEncoderConfig` for each new option.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Optional

from fairseq.dataclass import FairseqDataclass

from emo_fairseq.errors import UsageError
from emo_fairseq.modules.dialogue import (
    ContextEncoder,
    DialogueEncoder,
    GruContext,
    TransformerContext,
)
from emo_fairseq.options.conditions import Condition
from emo_fairseq.options.option import PROBABILITY, WIDTH, Range, option
from emo_fairseq.task_state import NO_DIALOGUE_ENCODER, TaskOptions

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from emo_fairseq.models.config import RobertaEMOConfig  # which has DialogueEncoderConfig

TRANSFORMER = "transformer"


# -- builders: (options of the model, of the task) -> context --------------------------------------


def _n_layers(cfg: "RobertaEMOConfig") -> int:
    assert cfg.dialogue_layers is not None  # complete_dialogue_config has filled it in
    return cfg.dialogue_layers


def _gru(cfg: "RobertaEMOConfig", task: TaskOptions) -> ContextEncoder:
    return GruContext(
        cfg.dialogue_embed_dim,
        _n_layers(cfg),
        cfg.dialogue_dropout,
        task.dialogue_causal,
        not cfg.no_dialogue_speakers,
    )


def _transformer(cfg: "RobertaEMOConfig", task: TaskOptions) -> ContextEncoder:
    if cfg.dialogue_embed_dim % cfg.dialogue_attention_heads:
        raise UsageError(
            f"--dialogue-attention-heads {cfg.dialogue_attention_heads} does not divide "
            f"--dialogue-embed-dim {cfg.dialogue_embed_dim}; change one of them",
            "heads-indivisible",
        )
    return TransformerContext(
        cfg.dialogue_embed_dim,
        _n_layers(cfg),
        cfg.dialogue_attention_heads,
        cfg.dialogue_dropout,
        task.dialogue_causal,
        not cfg.no_dialogue_speakers,
    )


# -- the registry ----------------------------------------------------------------------------------


class DialogueEncoderEntry(NamedTuple):
    """A row of :data:`DIALOGUE_ENCODERS`.

    Attributes:
        build: makes the encoder of the context, of the options of the model and of the task.
        n_layers: its layers without ``--dialogue-layers``.
    """

    build: Callable[["RobertaEMOConfig", TaskOptions], ContextEncoder]
    n_layers: int


DIALOGUE_ENCODERS: Mapping[str, DialogueEncoderEntry] = {
    "gru": DialogueEncoderEntry(_gru, n_layers=1),
    TRANSFORMER: DialogueEncoderEntry(_transformer, n_layers=2),
}


def complete_dialogue_config(cfg: "RobertaEMOConfig | DictConfig", task: TaskOptions) -> None:
    """Put the number of layers into the options of the model, in place, where it is not given."""
    if cfg.dialogue_layers is None and task.dialogue_encoder in DIALOGUE_ENCODERS:
        cfg.dialogue_layers = DIALOGUE_ENCODERS[task.dialogue_encoder].n_layers


def build_dialogue_encoder(
    cfg: "RobertaEMOConfig", task: TaskOptions, embedding_dim: int
) -> DialogueEncoder | None:
    """Build the encoder of ``--dialogue-encoder``; None for ``none``.

    Raises:
        UsageError: there is no such encoder, or options do not go together.
    """
    name = task.dialogue_encoder
    if name == NO_DIALOGUE_ENCODER:
        return None
    if name not in DIALOGUE_ENCODERS:
        raise UsageError(
            f"--dialogue-encoder {name}: there is no such encoder; give one of "
            f"{', '.join(DIALOGUE_ENCODERS)}",
            "task-option-invalid",
        )
    context = DIALOGUE_ENCODERS[name].build(cfg, task)
    return DialogueEncoder(embedding_dim, context, cfg.dialogue_embed_dim, cfg.dialogue_dropout)


# -- options ---------------------------------------------------------------------------------------

HAS_DIALOGUE_ENCODER = Condition(
    lambda context: str(context.task.dialogue_encoder) != NO_DIALOGUE_ENCODER,
    "there is no --dialogue-encoder",
)
_ATTENDS_TO_TURNS = Condition(
    lambda context: str(context.task.dialogue_encoder) == TRANSFORMER,
    f"--dialogue-encoder is not {TRANSFORMER}",
)


@dataclass
class DialogueEncoderConfig(FairseqDataclass):
    """Sizes of the encoder of dialogues, which ``--dialogue-encoder`` names."""

    dialogue_layers: Optional[int] = option(
        None,
        "layers over the turns of a dialogue (default: "
        + ", ".join(f"{entry.n_layers} of {name}" for name, entry in DIALOGUE_ENCODERS.items())
        + ")",
        within=Range(1, most=1000),
        acts=HAS_DIALOGUE_ENCODER,
    )
    dialogue_embed_dim: int = option(
        128, "width of these layers", within=WIDTH, acts=HAS_DIALOGUE_ENCODER
    )
    dialogue_attention_heads: int = option(
        4,
        "attention heads of these layers",
        within=WIDTH,
        acts=(HAS_DIALOGUE_ENCODER, _ATTENDS_TO_TURNS),
    )
    dialogue_dropout: float = option(
        0.3,
        "dropout rate before, within and after these layers",
        within=PROBABILITY,
        acts=HAS_DIALOGUE_ENCODER,
    )
    no_dialogue_speakers: bool = option(
        False,
        "do not distinguish turns of the same speaker from those of others",
        acts=HAS_DIALOGUE_ENCODER,
    )
