"""Diarization error rate: seconds in which who speaks is predicted wrongly.

    DER = (missed speech + false alarm + confusion) / seconds of reference speech

Speech of two at once counts twice. Predicted speakers have names of their own: the mapping to those
of the reference that leaves the least confusion in the whole recording is taken, by
pyannote.metrics (Bredin 2017). A turn without a speaker counts as one of somebody who speaks in
this turn alone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emo_fairseq.evaluation.recordings import EmotionTurn, RecordingTurns, Stretches

if TYPE_CHECKING:
    from pyannote.core import Annotation


def names_speakers(turns: Sequence[EmotionTurn]) -> bool:
    """Return whether any turn has a speaker."""
    return any(turn.turn.speaker is not None for turn in turns)


def speaker_error_rows(recording: RecordingTurns, collar: float = 0.0) -> np.ndarray:
    """Return the errors in the time of each reference turn.

    With n speakers of the reference and m predicted ones at a time, of whom c are the same: missed
    max(0, n - m), false alarm max(0, m - n), confusion min(n, m) - c.

    Args:
        recording: its turns.
        collar: seconds before and after each start and end of a reference turn that are not scored.
            pyannote.metrics counts both sides together: its collar is twice as large.

    Returns:
        (N, 4) float64, seconds: missed, false alarm, confusion, reference speech.

    Raises:
        ImportError: pyannote.metrics is not installed.
    """
    edges = np.unique([time for turn in recording.reference for time in (turn.start, turn.end)])
    stretches = Stretches.of(recording, np.concatenate([edges - collar, edges + collar]).tolist())
    true_names, predicted_names = map(_names, (recording.reference, recording.hypothesis))
    speakers = list(dict.fromkeys(true_names))
    mapping = _mapping(recording, true_names, predicted_names, collar)
    # A predicted speaker that is nobody of the reference has a column of its own.
    mapped = [mapping.get(name, ("nobody", f"{name}")) for name in predicted_names]
    speakers += [name for name in dict.fromkeys(mapped) if name not in speakers]
    number = {name: index for index, name in enumerate(speakers)}
    active = []
    for turns, names in ((recording.reference, true_names), (recording.hypothesis, mapped)):
        columns = [number[name] for name in names]
        counts = stretches.count_active(turns, columns, len(speakers))
        active.append(np.minimum(counts, 1.0))  # of one speaker who interrupts himself
    true, predicted = active  # (I, S)
    n_true, n_predicted = true.sum(axis=1), predicted.sum(axis=1)
    n_correct = np.minimum(true, predicted).sum(axis=1)
    errors = [
        np.maximum(n_true - n_predicted, 0.0),
        np.maximum(n_predicted - n_true, 0.0),
        np.minimum(n_true, n_predicted) - n_correct,
        n_true,
    ]
    cells = np.stack(errors, axis=1)  # (I, 4)
    nearest = np.abs(stretches.middles[:, None] - _neighbors(edges, stretches.middles)).min(axis=1)
    return stretches.rows(cells * (nearest >= collar)[:, None], len(recording.reference))


def _neighbors(edges: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the edges before and after each of some times, (I, 2)."""
    after = np.searchsorted(edges, times)
    return edges[np.clip(np.stack([after - 1, after], axis=1), 0, len(edges) - 1)]


_Name = tuple[str, str | int]


def _names(turns: Sequence[EmotionTurn]) -> list[_Name]:
    """Return a name for the speaker of each turn."""
    return [
        ("turn", number) if turn.turn.speaker is None else ("speaker", turn.turn.speaker)
        for number, turn in enumerate(turns)
    ]


def _mapping(
    recording: RecordingTurns,
    true_names: Sequence[_Name],
    predicted_names: Sequence[_Name],
    collar: float,
) -> dict[_Name, _Name]:
    """Return who of the reference each predicted speaker is; those who are nobody are not in it."""
    from pyannote.core import Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate

    turns = [*recording.reference, *recording.hypothesis]
    whole = Segment(min(turn.start for turn in turns), max(turn.end for turn in turns))
    # Labels of two kinds, so that nobody is the same by his name.
    of_reference = {name: f"{name}" for name in true_names}
    of_hypothesis = {name: number for number, name in enumerate(dict.fromkeys(predicted_names))}
    reference = _annotation(recording.reference, [of_reference[name] for name in true_names])
    hypothesis = _annotation(recording.hypothesis, [of_hypothesis[x] for x in predicted_names])
    metric = DiarizationErrorRate()
    scored = metric.extrude(Timeline([whole]), reference, 2.0 * collar)
    mapping = metric.optimal_mapping(reference, hypothesis, scored)
    name_of = {label: name for name, label in of_reference.items()}
    return {
        name: name_of[mapping[label]] for name, label in of_hypothesis.items() if label in mapping
    }


def _annotation(turns: Sequence[EmotionTurn], labels: Sequence[str | int]) -> "Annotation":
    """Return turns as pyannote has them; those of one speaker that overlap are one."""
    from pyannote.core import Annotation, Segment

    annotation = Annotation()
    for number, (turn, label) in enumerate(zip(turns, labels, strict=True)):
        annotation[Segment(turn.start, turn.end), number] = label
    return annotation.support()
