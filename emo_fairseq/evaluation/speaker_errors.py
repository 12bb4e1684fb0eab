"""Diarization error rate: seconds in which who speaks is predicted wrongly, by pyannote.metrics.

    DER = (missed speech + false alarm + confusion) / seconds of reference speech

Speech of two at once counts twice. Predicted speakers have names of their own: the mapping to those
of the reference that leaves the least confusion in the whole recording is taken (Hungarian
algorithm). A turn without a speaker counts as one of somebody who speaks in this turn alone.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from emo_fairseq.evaluation.recordings import EmotionTurn, RecordingTurns

if TYPE_CHECKING:
    from pyannote.core import Annotation, Segment

_PARTS = ("missed detection", "false alarm", "confusion", "total")


def names_speakers(turns: Sequence[EmotionTurn]) -> bool:
    """Return whether any turn has a speaker."""
    return any(turn.turn.speaker is not None for turn in turns)


def speaker_error_rows(recording: RecordingTurns, collar: float = 0.0) -> np.ndarray:
    """Return the errors in the time of each reference turn.

    Args:
        recording: its turns.
        collar: seconds before and after each start and end of a reference turn that are not scored.
            pyannote.metrics counts both sides together: its collar is twice as large.

    Returns:
        (N, 4) float64, seconds: missed, false alarm, confusion, reference speech.

    Raises:
        ImportError: pyannote.metrics is not installed.
    """
    from pyannote.core import Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate
    from pyannote.metrics.identification import IdentificationErrorRate

    turns = [*recording.reference, *recording.hypothesis]
    whole = Segment(min(turn.start for turn in turns), max(turn.end for turn in turns))
    metric = DiarizationErrorRate()
    reference, hypothesis = _annotation(recording.reference), _annotation(recording.hypothesis)
    scored = metric.extrude(Timeline([whole]), reference, 2.0 * collar)
    # Names of their own kind, so that a predicted speaker is nobody of the reference by its name.
    reference = reference.crop(scored, mode="intersection").rename_labels(generator="string")
    hypothesis = hypothesis.crop(scored, mode="intersection").rename_labels(generator="int")
    mapping = metric.optimal_mapping(reference, hypothesis)
    hypothesis = hypothesis.rename_labels(mapping=mapping)
    rows = np.zeros((len(recording.reference), len(_PARTS)))
    of_span = IdentificationErrorRate()
    for number, span in enumerate(_spans(recording, whole)):
        if timeline := scored.crop(span, mode="intersection"):
            parts = of_span.compute_components(reference, hypothesis, uem=timeline)
            rows[number] = [parts[name] for name in _PARTS]
    return rows


def _annotation(turns: Sequence[EmotionTurn]) -> "Annotation":
    """Return turns as pyannote has them; those of one speaker that overlap are one."""
    from pyannote.core import Annotation, Segment

    annotation = Annotation()
    for number, turn in enumerate(turns):
        speaker = turn.turn.speaker
        name = f"turn {number}" if speaker is None else f"speaker {speaker}"
        annotation[Segment(turn.start, turn.end), number] = name
    return annotation.support()


def _spans(recording: RecordingTurns, whole: "Segment") -> Iterator["Segment"]:
    """Yield the time of each reference turn."""
    from pyannote.core import Segment

    for start, end in pairwise([whole.start, *recording.span_ends.tolist(), whole.end]):
        yield Segment(start, end)
