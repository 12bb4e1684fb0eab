"""What scoring writes to files that it is told of, and where."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.manifest.provenance import (
    Provenance,
    provenance_path,
    write_beside,
)
from data_prep.messages import first_few
from emo_fairseq.errors import UsageError, check_writable
from emo_fairseq.evaluation import (
    attention,
    embeddings,
    predictions,
)
from emo_fairseq.tasks.attention_maps import attention_ids

logger = logging.getLogger(__name__)

_OPTIONS = ("save_predictions", "save_embeddings", "save_attention")


def refuse_saving(cfg: Any) -> None:
    """Raise a `UsageError` for a file that a training would never write."""
    for flag in _files(cfg):
        raise UsageError(f"{flag} belongs to fairseq-validate; leave it out here")


def check_places(cfg: Any) -> None:
    """Raise a `UsageError`, before anything is scored, for a file that cannot be written."""
    for flag, file in _files(cfg).items():
        check_writable(file, flag)


def _files(cfg: Any) -> dict[str, Path]:
    given = {option: getattr(cfg, option, None) for option in _OPTIONS}
    return {f"--{name.replace('_', '-')}": Path(file) for name, file in given.items() if file}


class Saved:
    """All that was scored so far, in the files of ``--save-predictions`` and its kin.

    Args:
        cfg: options of the task.
        read_provenance: of the model that is scored; None where nothing records it.

    Attributes:
        attention_ids: utterances whose attention is asked for.
    """

    def __init__(self, cfg: Any, read_provenance: Callable[[], Provenance | None]) -> None:
        self._cfg, self._read_provenance = cfg, read_provenance
        self.attention_ids = attention_ids(cfg)
        self._predictions: list[predictions.Row] = []
        self._embeddings: list[embeddings.Embedded] = []
        self._attention: list[attention.Attended] = []

    def add(self, logging_outputs: Sequence[dict[str, Any]], n_rows: Mapping[str, int]) -> None:
        """Add what the batches of a subset gave, of all ranks, and write the files again.

        Args:
            logging_outputs: of the batches.
            n_rows: of every split that is loaded how many utterances are to be scored.

        Raises:
            UsageError: utterances were scored twice or not at all, or a prediction is no number.
        """
        cfg = self._cfg
        if cfg.save_predictions:
            scored = _collected("predictions", logging_outputs)
            _check_all_scored(scored, n_rows)
            self._predictions += scored
            file = Path(cfg.save_predictions)
            provenance_path(file).unlink(missing_ok=True)
            predictions.write(file, self._predictions)
            if (provenance := self._read_provenance()) is not None:
                write_beside(file, provenance)
        if cfg.save_embeddings:
            self._embeddings += _collected("embeddings", logging_outputs)
            embeddings.write(Path(cfg.save_embeddings), self._embeddings)
        if cfg.save_attention:
            self._attention += _collected("attention", logging_outputs)
            if self._attention:
                attention.write(Path(cfg.save_attention), self._attention)
            missing = {*self.attention_ids} - {row.id for row in self._attention}
            if missing:
                logger.warning("--attention-ids: not scored so far: %s", first_few(sorted(missing)))


def refuse_undefined_loss(logging_outputs: Sequence[dict[str, Any]]) -> None:
    """Raise a `UsageError` where a scored batch has a loss of NaN or infinity.

    No figure means anything then, and a command that ends well would be taken at its word.
    """
    losses = [float(output.get("loss", 0.0)) for output in logging_outputs]
    if odd := [loss for loss in losses if not math.isfinite(loss)]:
        raise UsageError(
            f"the loss of {len(odd)} of {len(losses)} batches is {odd[0]}: the model's outputs are "
            "no numbers; score in full precision, without --fp16, or take another checkpoint"
        )


def _check_all_scored(rows: Sequence[predictions.Row], n_rows: Mapping[str, int]) -> None:
    for split, count in Counter(str(row["split"]) for row in rows).items():
        if count != n_rows[split]:
            raise UsageError(
                f"--save-predictions: {count} predictions for the {n_rows[split]} utterances of "
                f"{split}; score each once, on one process"
            )


def _collected(name: str, logging_outputs: Sequence[dict[str, Any]]) -> list[Any]:
    return [row for output in logging_outputs for row in output.get(name, [])]
