"""What the card of a model is written from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_prep.schema import Corpus
from emo_fairseq.export.graphs import GraphReport
from emo_fairseq.export.scored_predictions import Scored
from emo_fairseq.task_state import TaskState

UNKNOWN = "unknown"


@dataclass(frozen=True)
class CardFacts:
    """What a card is written from.

    Attributes:
        name: heading.
        state: what the model reads and predicts.
        n_parameters: of the model.
        config: the whole configuration of the checkpoint.
        checkpoint: the name of its file.
        updates: that the checkpoint has had.
        epoch: in which it was saved.
        probe: how ``--probe`` has solved it, as
            :class:`emo_fairseq.checkpoint_schema.ProbeState` has it; empty of a model that was
            trained.
        corpus: of the data dir; None where that is gone.
        scored: metrics of the predictions files.
        graphs: that were written beside the weights.
    """

    name: str
    state: TaskState
    n_parameters: int
    config: Any
    checkpoint: str
    updates: int
    epoch: int
    probe: Mapping[str, Any]
    corpus: Corpus | None
    scored: Sequence[Scored]
    graphs: Sequence[GraphReport] = ()

    @property
    def fold(self) -> str | None:
        """PROTOCOL/FOLD that it was trained on, such as ``leave_one_session_out/1``."""
        fold = self.config.task.get("fold")
        return None if fold is None else str(fold)
