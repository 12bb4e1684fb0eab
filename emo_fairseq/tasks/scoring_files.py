"""The files that scoring writes: predictions, embeddings and attention."""

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
from emo_fairseq.evaluation.attention import Attended
from emo_fairseq.tasks.config import EmotionPredictionConfig

logger = logging.getLogger(__name__)


def check_files_writable(cfg: EmotionPredictionConfig) -> None:
    """Raise a `UsageError`, before anything is scored, for a file that cannot be written."""
    for flag, file in _files(cfg).items():
        check_writable(file, flag)


def _files(cfg: EmotionPredictionConfig) -> dict[str, Path]:
    files = {
        "--save-predictions": cfg.save_predictions,
        "--save-embeddings": cfg.save_embeddings,
        "--save-attention": cfg.save_attention,
    }
    return {flag: Path(file) for flag, file in files.items() if file}


class ScoringFiles:
    """Writes everything that was scored so far into the files that the options name.

    Args:
        cfg: options of the task.
        read_provenance: of the model that is scored; None where nothing records it.
        read_head: see :func:`emo_fairseq.checkpoint_schema.head_digest`, of the model.

    Attributes:
        attention_ids: utterances whose attention is saved.

    Raises:
        UsageError: ``--save-attention`` without ``--attention-ids``, or the other way round.
    """

    def __init__(
        self,
        cfg: EmotionPredictionConfig,
        read_provenance: Callable[[], Provenance | None],
        read_head: Callable[[], str],
    ) -> None:
        self._cfg, self._read_provenance, self._read_head = cfg, read_provenance, read_head
        self.attention_ids = _attention_ids(cfg)
        self._predictions: list[predictions.Row] = []
        self._embeddings: list[embeddings.Embedded] = []
        self._attention: list[Attended] = []
        self._written: set[Path] = set()

    def add(self, logging_outputs: Sequence[dict[str, Any]], n_rows: Mapping[str, int]) -> None:
        """Add the outputs of a subset, of all ranks, and write the files again.

        Args:
            logging_outputs: of the batches.
            n_rows: by loaded split how many utterances are to be scored.

        Raises:
            UsageError: utterances were scored twice or not at all, or a prediction is no number.
        """
        cfg = self._cfg
        if cfg.save_predictions:
            scored = _collect("predictions", logging_outputs)
            _check_all_scored(scored, n_rows)
            self._predictions += scored
            file = Path(cfg.save_predictions)
            provenance_path(file).unlink(missing_ok=True)
            predictions.write(file, self._predictions)
            if (provenance := self._read_provenance()) is not None:
                write_beside(file, provenance, self._read_head())
            self._log_written(file)
        if cfg.save_embeddings:
            self._embeddings += _collect("embeddings", logging_outputs)
            file = Path(cfg.save_embeddings)
            embeddings.write(file, self._embeddings)
            self._log_written(file)
        if cfg.save_attention:
            self._attention += _collect("attention", logging_outputs)
            if self._attention:
                file = Path(cfg.save_attention)
                attention.write(file, self._attention)
                self._log_written(file)
            missing = {*self.attention_ids} - {row.id for row in self._attention}
            if missing:
                logger.warning("--attention-ids: not scored so far: %s", first_few(sorted(missing)))

    def _log_written(self, file: Path) -> None:
        """Log the path of a file once: it is written again after every subset."""
        if file not in self._written:
            logger.info("written: %s", file)
        self._written.add(file)


def _attention_ids(cfg: EmotionPredictionConfig) -> tuple[str, ...]:
    if bool(cfg.save_attention) != bool(cfg.attention_ids):
        raise UsageError(
            "--save-attention FILE and --attention-ids ID,ID belong together: attention is written "
            "of a few utterances, not of all",
            "option-incomplete",
        )
    return tuple(name.strip() for name in (cfg.attention_ids or "").split(",") if name.strip())


def refuse_undefined_loss(logging_outputs: Sequence[dict[str, Any]]) -> None:
    """Raise a `UsageError` if a scored batch has a loss of NaN or infinity.

    No metric means anything then, and a command that ends well would be trusted.
    """
    losses = [float(output.get("loss", 0.0)) for output in logging_outputs]
    if odd := [loss for loss in losses if not math.isfinite(loss)]:
        raise UsageError(
            f"the loss of {len(odd)} of {len(losses)} batches is {odd[0]}: the model's outputs are "
            "no numbers; score in full precision, without --fp16, or take another checkpoint",
            "loss-undefined",
        )


def _check_all_scored(rows: Sequence[predictions.Row], n_rows: Mapping[str, int]) -> None:
    for split, count in Counter(str(row["split"]) for row in rows).items():
        if count != n_rows[split]:
            raise UsageError(
                f"--save-predictions: {count} predictions for the {n_rows[split]} utterances of "
                f"{split}; score each once, on one process",
                "rows-not-scored",
            )


def _collect(name: str, logging_outputs: Sequence[dict[str, Any]]) -> list[Any]:
    return [row for output in logging_outputs for row in output.get(name, [])]
