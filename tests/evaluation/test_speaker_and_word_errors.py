"""DER against every mapping at each millisecond, WER against an edit distance."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import pytest

pytest.importorskip("pyannote.metrics", reason="needs the extra conversations")
pytest.importorskip("jiwer", reason="needs the extra conversations")

from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from data_prep.segmentation.turn import Turn
from emo_fairseq.evaluation.recordings import EmotionTurn, RecordingTurns, recording_statistics
from emo_fairseq.evaluation.speaker_errors import speaker_error_rows
from emo_fairseq.evaluation.word_errors import normalized_words, word_error_rows


def turn(
    start: float, end: float, speaker: str | None = None, text: str | None = None
) -> EmotionTurn:
    return EmotionTurn(Turn(Decimal(str(start)), Decimal(str(end)), speaker, text))


def draw_turns(seed: int, speakers: str) -> list[EmotionTurn]:
    draw = random.Random(seed)
    turns = []
    for speaker in speakers:
        time = 0
        for _ in range(4):
            start = time + draw.randint(20, 700)
            time = start + draw.randint(50, 900)
            turns.append(turn(start / 1000, time / 1000, speaker))
    return sorted(turns, key=lambda x: (x.start, x.end))


def sampled_errors(recording: RecordingTurns, collar: float, mapping: dict[str, str]) -> list[int]:
    """Count milliseconds: missed, false alarm, confusion, reference speech."""
    edges = [time for x in recording.reference for time in (x.start, x.end)]
    sums = [0, 0, 0, 0]
    ends = [x.end for x in (*recording.reference, *recording.hypothesis)]
    for n in range(round(max(ends) * 1000)):
        at = (n + 0.5) / 1000
        if any(abs(at - edge) < collar for edge in edges):
            continue
        true, predicted = (
            Counter(x.turn.speaker for x in of if x.start < at < x.end)
            for of in (recording.reference, recording.hypothesis)
        )
        mapped = Counter(mapping.get(str(k), f"nobody {k}") for k in predicted.elements())
        n_true, n_predicted, n_correct = true.total(), mapped.total(), (true & mapped).total()
        sums[0] += max(0, n_true - n_predicted)
        sums[1] += max(0, n_predicted - n_true)
        sums[2] += min(n_true, n_predicted) - n_correct
        sums[3] += n_true
    return sums


@pytest.mark.parametrize(("seed", "collar"), [(0, 0.0), (1, 0.1)])
def test_der_is_that_of_the_best_mapping(seed: int, collar: float) -> None:
    # Names on both sides, so that no name alone may make a speaker the same.
    recording = RecordingTurns("r", draw_turns(seed, "AB"), draw_turns(seed + 50, "BCD"))
    mappings = [dict(zip(chosen, "AB", strict=True)) for chosen in itertools.permutations("BCD", 2)]
    tried = [sampled_errors(recording, collar, mapping) for mapping in mappings]
    best = min(tried, key=lambda sums: sums[2])
    rows = speaker_error_rows(recording, collar)
    assert len(rows) == len(recording.reference)
    assert rows.sum(axis=0) * 1000 == pytest.approx(best, abs=1e-6)
    values = recording_statistics([recording], (), speaker_errors=[rows]).metrics()
    assert values["der"] == pytest.approx(sum(best[:3]) / best[3])


@pytest.mark.parametrize("collar", [0.0, 0.05])
def test_der_is_that_of_pyannote(collar: float) -> None:
    recording = RecordingTurns("r", draw_turns(7, "ABC"), draw_turns(8, "AXYZ"))
    sides = []
    for turns in (recording.reference, recording.hypothesis):
        annotation = Annotation()
        for number, x in enumerate(turns):
            annotation[Segment(x.start, x.end), number] = x.turn.speaker
        sides.append(annotation)
    whole = Timeline([Segment(0, 100)])
    expected = DiarizationErrorRate(2 * collar).compute_components(*sides, uem=whole)
    keys = ("missed detection", "false alarm", "confusion", "total")
    found = speaker_error_rows(recording, collar).sum(axis=0)
    assert found.tolist() == pytest.approx([expected[key] for key in keys], abs=1e-6)
    assert min(found) > 0.0


def test_turns_as_they_are_have_no_error_under_other_names() -> None:
    reference = draw_turns(1, "AB")
    names = {"A": "B", "B": "x"}
    hypothesis = [turn(x.start, x.end, names[str(x.turn.speaker)]) for x in reference]
    rows = speaker_error_rows(RecordingTurns("r", reference, hypothesis))
    assert rows[:, :3].sum() == pytest.approx(0.0, abs=1e-9)
    assert rows[:, 3].sum() == pytest.approx(sum(x.end - x.start for x in reference))


def test_a_turn_without_a_speaker_is_somebody_else() -> None:
    reference = [turn(0, 2, "A"), turn(2, 4, "A")]
    hypothesis = [turn(0, 2, "s1"), turn(2, 4)]
    rows = speaker_error_rows(RecordingTurns("r", reference, hypothesis))
    assert rows.sum(axis=0).tolist() == pytest.approx([0.0, 0.0, 2.0, 4.0])


# -- words -----------------------------------------------------------------------------------------


def edit_distance(truth: Sequence[str], prediction: Sequence[str]) -> int:
    row = list(range(len(prediction) + 1))
    for i, word in enumerate(truth, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(prediction, start=1):
            best = min(diagonal + (word != other), row[j] + 1, row[j - 1] + 1)
            diagonal, row[j] = row[j], best
    return row[-1]


@pytest.mark.parametrize("seed", range(2))
def test_errors_are_the_edit_distance_of_all_texts(seed: int) -> None:
    draw = random.Random(seed)
    sides = [
        [
            turn(n, n + 1, text=" ".join(draw.choices("abcde", k=draw.randint(1, 6))))
            for n in range(10)
        ]
        for _ in range(2)
    ]
    rows = word_error_rows(RecordingTurns("r", *sides))
    truth, prediction = (" ".join(str(x.turn.text) for x in of).split() for of in sides)
    assert rows.sum(axis=0).tolist() == [edit_distance(truth, prediction), len(truth)]


def test_errors_are_of_the_turn_that_they_are_in() -> None:
    reference = [turn(0, 1, text="One two."), turn(1, 2), turn(2, 3, text="three"), turn(3, 4)]
    hypothesis = [
        turn(0, 1, text="one"),
        turn(1.1, 2, text="what nobody has written down"),
        turn(2, 3, text="three four"),
    ]
    rows = word_error_rows(RecordingTurns("r", reference, hypothesis))
    assert rows.tolist() == [[1.0, 2.0], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    assert recording_statistics(
        [RecordingTurns("r", reference, hypothesis)], (), word_errors=[rows]
    ).metrics() == {"wer": pytest.approx(2 / 3)}


@pytest.mark.parametrize(("text", "n_errors"), [(None, 3), ("a b c d", 1), ("x", 3)])
def test_missing_and_further_words(text: str | None, n_errors: int) -> None:
    recording = RecordingTurns("r", [turn(0, 1, text="A, b & c")], [turn(0, 1, text=text)])
    assert word_error_rows(recording).tolist() == [[n_errors, 3]]


def test_words_are_normalized_alike() -> None:
    assert normalized_words("It’s Mr. O'Neil—twenty-one…") == [
        "its",
        "mr",
        "oneil",
        "twenty",
        "one",
    ]
    assert normalized_words(" ") == []
