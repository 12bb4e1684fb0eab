"""The files that scoring writes: predictions, embeddings and attention."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from data_prep.manifest.provenance import (
    Provenance,
    provenance_path,
    write_beside,
)
from data_prep.messages import first_few
from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.text_tokenizers import TextTokenizer, load_text_tokenizer
from emo_fairseq.errors import UsageError, check_writable
from emo_fairseq.evaluation import (
    attention,
    embeddings,
    predictions,
)
from emo_fairseq.evaluation.attention import Attended
from emo_fairseq.tasks.predicting import run
from emo_fairseq.types import (
    SPEECH,
    TEXT,
    TOKENS,
    masked_modalities,
)


def attention_ids(cfg: Any) -> tuple[str, ...]:
    """The utterances that are asked for.

    Raises:
        UsageError: one of the two options without the other.
    """
    if bool(cfg.save_attention) != bool(cfg.attention_ids):
        raise UsageError(
            "--save-attention FILE and --attention-ids ID,ID belong together: attention is written "
            "of a few utterances, not of all"
        )
    return tuple(name.strip() for name in (cfg.attention_ids or "").split(",") if name.strip())


def attend(task: Any, model: Any, split: str, ids: Sequence[str]) -> list[Attended]:
    """Score each utterance alone, so that nothing is padded, and keep what was looked at.

    Args:
        task: an :class:`emo_fairseq.tasks.emotion_prediction.EmotionPredictionTask`.
        model: in evaluation.
        split: loaded by the task.
        ids: of utterances in it.

    Raises:
        UsageError: the model has no attention in its fusion.
    """
    dataset, device = task.dataset(split), next(model.parameters()).device
    places = {name: place for place, name in enumerate(dataset.utterance_ids)}
    found = []
    for name in ids:
        attention = run(model, dataset, [places[name]], device, return_attention=True).attention
        if not attention:
            raise UsageError(
                "--save-attention: the fusion of this model attends to nothing; train with "
                "--fusion cross_attention, or with --text-pooling or --speech-pooling attention"
            )
        weights = {key: value[0].float().cpu().numpy() for key, value in attention.items()}
        # Of a modality that the row lacks, or that is masked, all are 0.
        told = {key: values for key, values in weights.items() if values.any()}
        found.append(Attended(name, split, *_heard(task, split, name), told))
    return found


def _heard(task: Any, split: str, name: str) -> tuple[list[str] | None, float | None]:
    """The words and the seconds of an utterance, of what the model reads."""
    part = task.source.split(split)
    row = next(n for n, utterance in enumerate(part.utterances) if utterance.id == name)
    words = seconds = None
    masked = masked_modalities(task.cfg.mask_modality, task.modalities)
    read = [modality for modality in task.modalities if modality not in masked]
    if TEXT in read and task.encoder_cards()[TEXT].input == TOKENS:
        texts = task.source.build_dataset(TEXT, part, task.vocabularies()[TEXT])
        words = _words(texts[row][0], _tokenizer(task))
    n_samples = part.utterances[row].n_samples
    if SPEECH in read and n_samples:
        seconds = min(n_samples / SAMPLE_RATE, float(task.cfg.max_speech_seconds))
    return words, seconds


def _tokenizer(task: Any) -> TextTokenizer | None:
    """None in the seed's layout, which has ids only."""
    return None if task.source.is_legacy else load_text_tokenizer(task.source.folder / TEXT)


def _words(tokens: torch.Tensor, tokenizer: TextTokenizer | None) -> list[str]:
    if tokenizer is None:
        return [str(token) for token in tokens.tolist()]
    return [tokenizer.decode([token]).strip() or "·" for token in tokens.tolist()]


# -- What scoring writes to files that it is told of, and where ------------------------------------

logger = logging.getLogger(__name__)

_OPTIONS = ("save_predictions", "save_embeddings", "save_attention")


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
