"""Score the predicted turns of recordings against reference turns: all metrics with intervals."""

import importlib.util
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.messages import first_few
from data_prep.schema import AXES
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.bootstrap import MIN_SPEAKERS, Estimate, Speakers, estimates
from emo_fairseq.evaluation.recordings import EmotionTurn, RecordingTurns, recording_statistics
from emo_fairseq.evaluation.speaker_errors import names_speakers, speaker_error_rows
from emo_fairseq.evaluation.tables import format_count
from emo_fairseq.evaluation.turn_files import Paired, TurnFiles, pair_recordings
from emo_fairseq.evaluation.word_errors import compared_predictions, has_text, word_error_rows

_HINTS = defaultdict(
    str,
    {("predicted", "speaker"): " (see --speakers)", ("predicted", "text"): " (see --transcribe)"},
)
_EXTRA = "pip install 'emo_fairseq[conversations]'"


@dataclass(frozen=True)
class RecordingScores:
    """The metrics of some recordings.

    Attributes:
        recordings: names of those that are scored.
        labels: that are scored; empty without emotions.
        axes: that are scored.
        n_turns: reference turns.
        seconds: of these.
        estimates: metrics with intervals, by key.
        unit: what the intervals are over.
        notes: sentences on what is left out, and on metrics that are not there.
    """

    recordings: Sequence[str]
    labels: Sequence[str]
    axes: Sequence[str]
    n_turns: int
    seconds: float
    estimates: Mapping[str, Estimate]
    unit: str
    notes: Sequence[str]


def score_recordings(
    reference: TurnFiles,
    hypothesis: TurnFiles,
    *,
    collar: float = 0.0,
) -> RecordingScores:
    """Return all metrics that both sides have the turns for.

    Intervals are over recordings, and over turns where fewer than
    :data:`~emo_fairseq.evaluation.bootstrap.MIN_SPEAKERS` recordings, weighted by their turns, are
    there; see :mod:`emo_fairseq.evaluation.bootstrap`.

    Args:
        reference: annotated turns.
        hypothesis: predicted turns.
        collar: of DER; see :func:`emo_fairseq.evaluation.speaker_errors.speaker_error_rows`.

    Raises:
        UsageError: there is nothing to compare: no recording in common, or neither emotions nor
            values, speakers or texts on both sides; values on another scale.
    """
    paired = pair_recordings(reference, hypothesis)
    sides = _Sides.of(paired.recordings, hypothesis)
    notes = [*_recording_notes(paired), *sides.notes()]
    speaker_errors, note = sides.speaker_errors(collar)
    notes += [note] if note else []
    word_errors, word_notes = sides.word_errors()
    notes += word_notes
    labels, axes = sides.labels, sides.axes
    if not (labels or axes or speaker_errors or word_errors):
        raise UsageError(
            f"{hypothesis.path}: nothing of it can be compared with {reference.path}: "
            f"{'; '.join(notes)}",
            "turns-incomparable",
        )
    rows, derive = recording_statistics(
        paired.recordings, labels, axes, speaker_errors=speaker_errors, word_errors=word_errors
    )
    names = [recording.name for recording in paired.recordings for _ in recording.reference]
    recordings = Speakers.from_names(names)
    if recordings.refusal:
        values = estimates(rows, derive)
        unit = f"turns, since there are fewer than {MIN_SPEAKERS} recordings of like size"
    else:
        values = estimates(rows, derive, recordings)
        unit = format_count(len(paired.recordings), "recording")
    of_reference = [turn for recording in paired.recordings for turn in recording.reference]
    return RecordingScores(
        [recording.name for recording in paired.recordings],
        labels,
        axes,
        len(of_reference),
        sum(turn.end - turn.start for turn in of_reference),
        values,
        unit,
        notes,
    )


def _recording_notes(paired: Paired) -> Iterator[str]:
    for names, why in (
        (paired.without_hypothesis, "no predicted turns: not scored"),
        (paired.without_reference, "no reference turns: not scored"),
    ):
        if names:
            yield f"{format_count(len(names), 'recording')} with {why} ({first_few(names)})"


@dataclass(frozen=True)
class _Sides:
    """The turns of both sides, and what of them can be compared."""

    recordings: Sequence[RecordingTurns]
    reference: Sequence[EmotionTurn]
    hypothesis: Sequence[EmotionTurn]
    labels: Sequence[str]
    axes: Sequence[str]
    knows_labels: bool

    @classmethod
    def of(cls, recordings: Sequence[RecordingTurns], predicted: TurnFiles) -> "_Sides":
        """Collect the turns of all recordings.

        Raises:
            UsageError: valence, arousal or dominance of the reference is on another scale.
        """
        reference = [turn for recording in recordings for turn in recording.reference]
        hypothesis = [turn for recording in recordings for turn in recording.hypothesis]
        _check_scale(recordings)
        true, hypothesis_emotions = (_emotions(side) for side in (reference, hypothesis))
        labels = dict.fromkeys([*predicted.labels, *sorted(hypothesis_emotions)])
        if not predicted.labels:  # which other labels the model has is not known
            labels |= dict.fromkeys(sorted(true))
        has_labels = true and (predicted.labels or hypothesis_emotions)
        known = {axis for turn in reference for axis in turn.values}
        axes = [axis for axis in predicted.axes if axis in known]
        names = list(labels) if has_labels else []
        return cls(recordings, reference, hypothesis, names, axes, bool(predicted.labels))

    def notes(self) -> Iterator[str]:
        """Yield what of the emotions and values is not scored."""
        yield from self._label_notes()
        known = {axis for turn in self.reference for axis in turn.values}
        if alone := sorted(known - {*self.axes}):
            yield f"{', '.join(alone)} of the reference not scored: no predicted turn has values"

    def _label_notes(self) -> Iterator[str]:
        true = _emotions(self.reference)
        if not self.labels:
            side = "predicted" if true else "reference"
            yield f"no {side} turn has an emotion: no metrics of emotions"
            return
        if unknown := {label: n for label, n in true.items() if label not in self.labels}:
            named = ", ".join(f"{label} {n}" for label, n in unknown.items())
            turns = [turn for turn in self.reference if turn.emotion in unknown]
            yield f"{_amount(turns)} with an emotion that is not predicted, not scored: {named}"
        if without := [turn for turn in self.reference if turn.emotion is None]:
            yield f"{_amount(without)} without an emotion, not scored"
        if errors := [turn for turn in self.hypothesis if turn.emotion is None]:
            n_errors = format_count(len(errors), "predicted turn")
            yield f"{n_errors} without an emotion, which predict none: missed"
        if not self.knows_labels:
            yield "the predicted turns name no probabilities: their labels are those that occur"

    def speaker_errors(self, collar: float) -> tuple[list[np.ndarray], str]:
        """Return the errors of each recording; or none, and why."""
        for name, side in (("reference", self.reference), ("predicted", self.hypothesis)):
            if side and not names_speakers(side):  # without any turn, all speech is missed
                return [], f"no DER: no {name} turn names a speaker{_HINTS[name, 'speaker']}"
        if not _is_installed("pyannote.metrics"):
            return [], f"no DER: it needs pyannote.metrics; {_EXTRA}"
        n_unknown = sum(turn.turn.speaker is None for turn in (*self.reference, *self.hypothesis))
        note = f"DER: {format_count(n_unknown, 'turn')} without a speaker" if n_unknown else ""
        return [speaker_error_rows(recording, collar) for recording in self.recordings], note

    def word_errors(self) -> tuple[list[np.ndarray], list[str]]:
        """Return the errors of each recording, or none; and notes."""
        for name, side in (("reference", self.reference), ("predicted", self.hypothesis)):
            if not has_text(side):
                return [], [f"no WER: no {name} turn has a text{_HINTS[name, 'text']}"]
        if not _is_installed("jiwer"):
            return [], [f"no WER: it needs jiwer; {_EXTRA}"]
        compared = [turn for of in self.recordings for turn in compared_predictions(of)]
        n_left_out = sum(has_text([turn]) for turn in self.hypothesis)
        n_left_out -= sum(has_text([turn]) for turn in compared)
        notes = []
        if n_left_out:
            counted = format_count(n_left_out, "predicted turn")
            notes.append(f"WER: {counted} left out, whose reference turn has no text")
        if n_marked := sum((turn.turn.text or "").startswith("[") for turn in self.hypothesis):
            counted = format_count(n_marked, "predicted turn")
            notes.append(
                f"WER: {counted} with a text that begins in brackets, as subtitles of analyze "
                "begin with their emotions: these are counted as words; give its csv instead"
            )
        return [word_error_rows(recording) for recording in self.recordings], notes


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # of the namespace that it is in
        return False


def _emotions(turns: Sequence[EmotionTurn]) -> Counter[str]:
    return Counter(turn.emotion for turn in turns if turn.emotion is not None)


def _amount(turns: Sequence[EmotionTurn]) -> str:
    seconds = sum(turn.end - turn.start for turn in turns)
    return f"{format_count(len(turns), 'reference turn')} ({seconds:.1f} s)"


def _check_scale(recordings: Sequence[RecordingTurns]) -> None:
    for recording in recordings:
        for turn in recording.reference:
            for axis in AXES:
                if not 0.0 <= turn.values.get(axis, 0.0) <= 1.0:
                    raise UsageError(
                        f"{recording.name}: {turn.turn.where}: {axis} of the reference is "
                        f"{turn.values[axis]:g}, and predictions are on the scale [0, 1]; map "
                        "ratings from 1 to 5 by (x - 1) / 4",
                        "vad-scale",
                    )
