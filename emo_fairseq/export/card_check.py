"""Whether predictions that a card takes its figures from are those of its model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.audio.segment import audio_of
from data_prep.schema import Utterance, read_corpus, read_manifest
from emo_fairseq.data.dialogue import has_context
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.predictions import (
    PREDICTION_OF,
    PROBABILITY,
)
from emo_fairseq.inference.loading import LoadedModel
from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.types import (
    FROZEN,
    MODALITIES,
    SPEECH,
    TEXT,
)

_ROWS = 5  # of a split, that are scored again
# A probability or value may differ by so much: in single precision, and where the file may have
# been written in half precision or from the outputs of frozen encoders, which are kept in it.
_TOLERANCE, _COARSE = 1e-3, 2e-2


class PredictionsChecker:
    """Looks for the utterances of a file in the corpus, and scores a few of them again.

    Args:
        loaded: the model, out of its folder.
        config: the whole configuration of its checkpoint.
        data: the data dir; None where it is gone.
    """

    def __init__(self, loaded: LoadedModel, config: Any, data: Path | None) -> None:
        self._loaded = loaded
        self._config = config
        self._data = data
        self._predictor: EmotionPredictor | None = None

    def check(self, file: Path, split: str) -> str:
        """What the card is to say of the origin of one split's predictions.

        Raises:
            UsageError: it has utterances that the corpus has not in this split, or predictions
                that the model does not give.
        """
        as_given = f"Taken from `{file.name}` as given, and not checked to be this model's: "
        if self._data is None:
            return f"{as_given}the data dir was not at hand."
        rows = [row for row in predictions.read(file) if row["split"] == split]
        utterances = self._utterances(split)
        unknown = [row["id"] for row in rows if row["id"] not in utterances]
        if unknown:
            raise UsageError(
                f"{file}: {unknown[0]} (one of {len(unknown)} such) is not in the split {split} of "
                f"{self._data}; give predictions on this corpus"
            )
        if reason := self._why_not():
            return f"{as_given}{reason}."
        chosen = rows[:: max(1, len(rows) // _ROWS)][:_ROWS]
        n_same = sum(self._is_same(file, row, utterances[row["id"]]) for row in chosen)
        if not n_same:
            return f"{as_given}the inputs of the rows that were tried are not at hand."
        return f"{n_same} of these utterances were scored again by this model: the same answers."

    def _utterances(self, split: str) -> Mapping[str, Utterance]:
        """Those of the split, or of the splits that a fold divides anew, by id."""
        assert self._data is not None
        known = read_corpus(self._data).splits
        names = known if self._config.task.get("fold") is not None else {split} & set(known)
        files = [self._data / f"{name}.tsv" for name in names]
        return {row.id: row for file in files for row in read_manifest(file)}

    def _why_not(self) -> str:
        task, missing = self._loaded.task, self._loaded.front_end.missing
        if missing:
            return f"the model cannot be asked about {' and '.join(missing)}"
        if has_context(task.cfg):
            return "it reads turns in their dialogues, which are not put together for a card"
        return ""

    def _is_same(self, file: Path, row: Mapping[str, str], utterance: Utterance) -> bool:
        """Whether the model answers as the row does; False where it cannot be asked."""
        reads = self._loaded.task.modalities
        audio = None
        if SPEECH in reads and utterance.audio is not None:
            audio = audio_of(utterance, self._audio_root())
        text = utterance.text or None if TEXT in reads else None
        try:
            self._predictor = self._predictor or EmotionPredictor(self._loaded)
            found = self._predictor.predict(audio, text)
        except UsageError:
            return False
        said = {PROBABILITY + name: value for name, value in found.probabilities.items()}
        said |= {PREDICTION_OF + name: value for name, value in found.values.items()}
        difference = max(abs(float(row[name] or "nan") - value) for name, value in said.items())
        if not difference <= self._tolerance():
            raise UsageError(
                f"{file}: {row['id']}: the model's answer differs from the file's by "
                f"{difference:.2g}; give those of fairseq-validate with this checkpoint, in "
                "full precision and without --mask-modality"
            )
        return True

    def _audio_root(self) -> Path:
        assert self._data is not None
        return Path(self._config.task.get("data_raw") or self._data)

    def _tolerance(self) -> float:
        common, model = self._config.common, self._config.model
        halves: Sequence[str] = ("fp16", "bf16", "memory_efficient_fp16", "memory_efficient_bf16")
        is_half = any(common.get(name) for name in halves)
        is_kept = not self._config.task.get("no_encoder_cache") and any(
            str(model.get(f"{name}_tuning")) == FROZEN for name in MODALITIES
        )
        return _COARSE if is_half or is_kept else _TOLERANCE
