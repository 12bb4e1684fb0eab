"""Encoders of dialogues: each turn's embedding (U, E) -> the same in its dialogue (U, E).

| context | of a turn |
|---|---|
| :class:`GruContext` | GRUs over the turns, and over those of its speaker, in both directions |
| :class:`TransformerContext` | attention to the turns, by distance and by speaker |

:mod:`emo_fairseq.modules.dialogue.base` describes the batches.
"""

from emo_fairseq.modules.dialogue.base import (
    ContextEncoder,
    DialogueEncoder,
    single_turns,
)
from emo_fairseq.modules.dialogue.gru import GruContext
from emo_fairseq.modules.dialogue.transformer import TransformerContext

__all__ = [
    "ContextEncoder",
    "DialogueEncoder",
    "GruContext",
    "TransformerContext",
    "single_turns",
]
