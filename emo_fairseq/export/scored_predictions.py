"""Metrics of predictions files for a card, and whether the predictions are the model's.

A few utterances are predicted again.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from data_prep.audio.segment import AudioSegment, audio_of
from data_prep.manifest.audio_root import audio_root, video_root
from data_prep.manifest.provenance import allowed_leaks, model_beside, transductive_notes
from data_prep.schema import Utterance, read_corpus, read_manifest
from data_prep.video.segment import VideoSegment, video_of
from emo_fairseq.checkpoint_schema import head_digest
from emo_fairseq.data.neighbors import has_context
from emo_fairseq.data.turn_order import has_turn
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.bootstrap import Estimate, estimates
from emo_fairseq.evaluation.names import OF_NUMBERS, OF_VOTES
from emo_fairseq.evaluation.predictions import PREDICTION_OF, PROBABILITY
from emo_fairseq.evaluation.statistics import LabelPredictions, Predictions, read_predictions
from emo_fairseq.inference.engine import ModelEngine
from emo_fairseq.inference.model import LoadedModel
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.modalities import SPEECH, TEXT, VIDEO
from emo_fairseq.options.conditions import OptionContext
from emo_fairseq.task_state import TaskOptions

_OF_LABELS = ("weighted_f1", "macro_f1", "uar", "wa")
_OF_AXIS = ("ccc", "mae")

_ROWS = 5  # of a split, that are predicted again
_DIALOGUE = "dialogue"  # the name of the only one
# By how much a probability or value may differ: in single precision, and where the file may have
# been written in half precision or from the cache of frozen encoders, which has half precision.
_TOLERANCE, _HALF_TOLERANCE = 1e-3, 2e-2
_HALF_OPTIONS = ("fp16", "bf16", "memory_efficient_fp16", "memory_efficient_bf16")


class Scored(NamedTuple):
    """The metrics of one split of a predictions file.

    Attributes:
        file: its name, without its folders.
        split: that was scored.
        n_rows: scored utterances.
        metrics: by their keys in :mod:`emo_fairseq.evaluation.names`.
        origin: whether the predictions are known to be this model's, as a sentence.
    """

    file: str
    split: str
    n_rows: int
    metrics: Mapping[str, Estimate]
    origin: str = ""


def score_file(file: Path, labels: Sequence[str], has_labels: bool) -> list[Scored]:
    """Return the metrics of a predictions file, split by split.

    Raises:
        UsageError: no such file, no rows, or predictions of other labels or axes.
    """
    by_split = read_predictions(file)
    for scored in by_split.values():
        is_same_kind = isinstance(scored, LabelPredictions) is has_labels
        if not is_same_kind or scored.names != tuple(labels):
            names = ", ".join(scored.names) or "other things"
            raise UsageError(
                f"{file}: holds predictions of {names}, and the model gives "
                f"{', '.join(labels)}; give predictions of this model",
                "predictions-other-labels",
            )
    return [
        Scored(file.name, split, len(scored.ids), _estimates(scored))
        for split, scored in by_split.items()
    ]


def _estimates(scored: Predictions) -> Mapping[str, Estimate]:
    """Return each metric with its interval over utterances, all from the same resamples."""
    if isinstance(scored, LabelPredictions):
        keys = list(_OF_LABELS)
        keys += [] if scored.votes is None else OF_VOTES
    else:
        axes = scored.names if len(scored.names) > 1 else ()
        keys = list(OF_NUMBERS) + [f"{key}_{axis}" for axis in axes for key in _OF_AXIS]
    rows, derive = scored.statistics()
    of_all = estimates(rows, derive)
    return {key: of_all[key] for key in keys}


def _reads_dialogues(options: TaskOptions) -> bool:
    """Return whether other turns of its dialogue are read with a turn."""
    return has_context(options) or options.has_dialogue_encoder


class PredictionsChecker:
    """Checks that predictions are of a model and its corpus: a few utterances are predicted again.

    Args:
        loaded: the model.
        config: the whole configuration of its checkpoint.
        data: the data dir; None where it is gone.
    """

    def __init__(self, loaded: LoadedModel, config: Any, data: Path | None) -> None:
        self._loaded = loaded
        self._config = config
        self._data = data
        self._predictor: EmotionPredictor | None = None

    def score(self, file: Path) -> list[Scored]:
        """Return the metrics of a predictions file, with the origin of the predictions.

        Raises:
            UsageError: see :func:`score_file` and :meth:`check`.
        """
        state = self._loaded.state
        marks = [f"Leak allowed: {leak}." for leak in allowed_leaks(file)]
        marks += [f"Transductive: {note}." for note in transductive_notes(file)]
        return [
            scored._replace(origin=" ".join([self.check(file, scored.split), *marks]))
            for scored in score_file(file, state.labels, state.target.has_labels)
        ]

    def check(self, file: Path, split: str) -> str:
        """Return the card's sentence on the origin of one split's predictions.

        Raises:
            UsageError: it has utterances that the corpus does not have in this split, or
                predictions that the model does not give.
        """
        recorded = model_beside(file)
        if recorded and recorded != head_digest(self._loaded.model.state_dict()):
            raise UsageError(
                f"{file}: holds predictions of another model; give those of fairseq-validate with "
                "this checkpoint",
                "predictions-other-model",
            )
        unchecked = f"Taken from `{file.name}` as given, and not checked to be this model's: "
        if self._data is None:
            return f"{unchecked}the data dir was not there."
        rows = [row for row in predictions.read(file) if row["split"] == split]
        utterances = self._utterances(split)
        unknown = [row["id"] for row in rows if row["id"] not in utterances]
        if unknown:
            raise UsageError(
                f"{file}: {unknown[0]} (one of {len(unknown)} such) is not in the split {split} of "
                f"{self._data}; give predictions on this corpus",
                "predictions-other-corpus",
            )
        if reason := self._cannot_predict():
            return f"{unchecked}{reason}."
        chosen = rows[:: max(1, len(rows) // _ROWS)][:_ROWS]
        n_same = sum(self._is_same(file, row, utterances) for row in chosen)
        if not n_same:
            return f"{unchecked}the inputs of the rows that were tried are not there."
        return f"{n_same} of these utterances were predicted again by this model: equal."

    def _utterances(self, split: str) -> Mapping[str, Utterance]:
        """Return those of the split, or of all splits where a fold divides them anew, by id."""
        assert self._data is not None
        splits = read_corpus(self._data).splits
        names = splits if self._config.task.get("fold") is not None else {split} & set(splits)
        files = [self._data / f"{name}.tsv" for name in names]
        return {row.id: row for file in files for row in read_manifest(file)}

    def _cannot_predict(self) -> str:
        """Return why the model cannot predict what it did while it was trained; empty if it can."""
        if missing := self._loaded.processor.missing:
            return f"the model cannot predict from {' and '.join(missing)}"
        if _reads_dialogues(self._loaded.state.options) and self._config.task.get("fold"):
            return "it reads turns in their dialogues, of which a fold may hold a part"
        if self._loaded.state.transductive_note:
            by = self._loaded.state.normalize_by
            return f"its frames are normalized by {by}, whose rows are not put together for a card"
        return ""

    def _is_same(
        self, file: Path, row: Mapping[str, str], utterances: Mapping[str, Utterance]
    ) -> bool:
        """Return whether the model predicts a row; False where its input is not there."""
        prediction = self._predict(utterances[row["id"]], utterances.values())
        if prediction is None:
            return False
        numbers = {PROBABILITY + name: value for name, value in prediction.probabilities.items()}
        numbers |= {PREDICTION_OF + name: value for name, value in prediction.values.items()}
        difference = max(abs(float(row[name] or "nan") - value) for name, value in numbers.items())
        if not difference <= self._tolerance():
            raise UsageError(
                f"{file}: {row['id']}: the model's prediction differs from the file's by "
                f"{difference:.2g}; give those of fairseq-validate with this checkpoint, in "
                "full precision and without --mask-modality",
                "predictions-other-model",
            )
        return True

    def _predict(self, utterance: Utterance, rows: Collection[Utterance]) -> Prediction | None:
        """Predict for a row among the turns of its dialogue; None where an input is not there."""
        turns = [utterance]
        if _reads_dialogues(self._loaded.state.options) and has_turn(utterance):
            dialogue = [row for row in rows if row.dialogue == utterance.dialogue and has_turn(row)]
            turns = sorted(dialogue, key=lambda row: row.turn or 0)
        reads_text = TEXT in self._loaded.state.modalities
        try:
            self._predictor = self._predictor or EmotionPredictor(ModelEngine.of(self._loaded))
            results = self._predictor.predict_each(
                [self._audio(row) for row in turns],
                [(row.text or None) if reads_text else None for row in turns],
                video=[self._video(row) for row in turns],
                speaker=[row.speaker for row in turns],
                dialogue=_DIALOGUE,
            )
        except UsageError:
            return None
        errors = [result for result in results if isinstance(result, UsageError)]
        if any(error.code != "item-empty" for error in errors):  # a row without input is no turn
            return None
        prediction = results[turns.index(utterance)]
        return None if isinstance(prediction, UsageError) else prediction

    def _audio(self, utterance: Utterance) -> AudioSegment | None:
        if SPEECH not in self._loaded.state.modalities or utterance.audio is None:
            return None
        assert self._data is not None
        raw = self._config.task.get("data_raw")
        return audio_of(utterance, audio_root(self._data, raw, must_exist=False))

    def _video(self, utterance: Utterance) -> VideoSegment | None:
        if VIDEO not in self._loaded.state.modalities or utterance.video is None:
            return None
        assert self._data is not None
        task = self._config.task
        raws = task.get("video_raw"), task.get("data_raw")
        return video_of(utterance, video_root(self._data, *raws, must_exist=False))

    def _tolerance(self) -> float:
        config = self._config
        is_half = any(config.common.get(name) for name in _HALF_OPTIONS)
        options = SimpleNamespace(**config.model)
        context = OptionContext(self._loaded.state.encoders, self._config.task, model=options)
        is_cached = not config.task.get("no_encoder_cache") and context.stores_outputs
        return _HALF_TOLERANCE if is_half or is_cached else _TOLERANCE
