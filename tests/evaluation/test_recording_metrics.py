"""Metrics of whole recordings, against sampling of time at each millisecond."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pytest

from data_prep.segmentation.turn import Turn
from emo_fairseq.evaluation import functional
from emo_fairseq.evaluation.bootstrap import estimates
from emo_fairseq.evaluation.recordings import (
    EmotionTurn,
    RecordingTurns,
    recording_statistics,
    segment_rows,
    time_confusion_rows,
    time_moment_rows,
)

LABELS = ("angry", "happy", "sad")
N = len(LABELS)


def turn(
    start: float,
    end: float,
    emotion: str | None = None,
    speaker: str | None = None,
    text: str | None = None,
    **values: float,
) -> EmotionTurn:
    times = (Decimal(str(start)), Decimal(str(end)))
    return EmotionTurn(Turn(*times, speaker, text), emotion, values)


def draw_turns(seed: int, n_turns: int, labels: Sequence[str | None]) -> list[EmotionTurn]:
    """Turns of three speakers, which pause and interrupt, at whole milliseconds."""
    draw = random.Random(seed)
    turns, time = [], 0
    for _ in range(n_turns):
        start = max(0, time + draw.randint(-400, 600))
        time = start + draw.randint(50, 1500)
        speaker = draw.choice("ABC")
        if any(x.turn.speaker == speaker and x.end * 1000 > start for x in turns):
            continue
        values = {"valence": draw.random()} if draw.random() < 0.8 else {}
        emotion = draw.choice(labels)
        turns.append(turn(start / 1000, time / 1000, emotion, speaker, **values))
    return sorted(turns, key=lambda x: (x.start, x.end))


def draw_recording(seed: int, n_turns: int = 14) -> RecordingTurns:
    reference = draw_turns(seed, n_turns, [*LABELS, None, "boredom"])
    hypothesis = draw_turns(seed + 1000, n_turns, [*LABELS, None])
    return RecordingTurns(f"r{seed}", reference, hypothesis)


def active(turns: Sequence[EmotionTurn], millisecond: int) -> list[EmotionTurn]:
    at = (millisecond + 0.5) / 1000
    return [x for x in turns if x.start < at < x.end]


def milliseconds(recording: RecordingTurns) -> range:
    ends = [x.end for x in (*recording.reference, *recording.hypothesis)]
    return range(round(max(ends) * 1000))


def sampled_confusion(recording: RecordingTurns) -> np.ndarray:
    """Pair the turns of each millisecond one by one."""
    cells = np.zeros((N + 2, N + 1))
    for at in milliseconds(recording):
        true = Counter(x.emotion for x in active(recording.reference, at))
        predicted = Counter(x.emotion for x in active(recording.hypothesis, at) if x.emotion)
        for label in LABELS:
            both = min(true[label], predicted[label])
            cells[LABELS.index(label), LABELS.index(label)] += both
            true[label] -= both
            predicted[label] -= both
        left = [LABELS.index(k) if k in LABELS else N for k in true.elements()]
        others = [LABELS.index(k) for k in predicted.elements()]
        size = max(len(left), len(others), 1)
        # Each is as often beside each of the other side, whose missing ones are "nothing".
        for i, j in itertools.product(range(size), range(size)):
            row = left[i] if i < len(left) else N + 1
            column = others[j] if j < len(others) else N
            if (row, column) != (N + 1, N):
                cells[row, column] += 1 / size
    return cells / 1000


@pytest.mark.parametrize("seed", range(2))
def test_seconds_are_those_of_each_millisecond(seed: int) -> None:
    recording = draw_recording(seed)
    rows = time_confusion_rows(recording, LABELS)
    assert len(rows) == len(recording.reference)
    np.testing.assert_allclose(rows.sum(axis=0), sampled_confusion(recording), atol=1e-9)


def test_all_reference_speech_is_counted_once() -> None:
    recording = draw_recording(7, 40)
    counts = time_confusion_rows(recording, LABELS).sum(axis=0)
    for number, label in enumerate(LABELS):
        seconds = sum(x.end - x.start for x in recording.reference if x.emotion == label)
        assert counts[number].sum() == pytest.approx(seconds)
        predicted = sum(x.end - x.start for x in recording.hypothesis if x.emotion == label)
        assert counts[:, number].sum() == pytest.approx(predicted)


def test_a_row_holds_the_time_around_its_turn() -> None:
    reference = [turn(0, 2, "sad"), turn(4, 6, "happy"), turn(6, 7, "happy")]
    rows = time_confusion_rows(RecordingTurns("r", reference, [turn(1, 6.5, "sad")]), LABELS)
    # Until 3 s, the middle of the pause, and until 6 s.
    assert rows[:, 2, 2].tolist() == [1.0, 0.0, 0.0]
    assert rows[:, 1, 2].tolist() == [0.0, 2.0, 0.5]
    assert rows[:, N + 1, 2].tolist() == [1.0, 1.0, 0.0]
    assert rows[:, :N, N].sum(axis=1).tolist() == [1.0, 0.0, 0.5]


def test_both_figures_of_missed_speech() -> None:
    reference = [turn(0, 4, "sad"), turn(5, 7, "happy")]
    hypothesis = [turn(1, 4, "sad"), turn(4, 4.5, "sad"), turn(5, 7, None)]
    values = recording_statistics([RecordingTurns("r", reference, hypothesis)], LABELS).metrics()
    assert values["time_recall_sad"] == pytest.approx(3 / 4)
    assert values["time_recall_happy"] == 0.0
    assert math.isnan(values["time_recall_angry"])
    assert values["time_uar"] == pytest.approx(3 / 8)
    assert values["time_uar_predicted"] == 1.0  # of sad alone: happy has no prediction
    assert values["time_wa"] == pytest.approx(3 / 6)
    assert values["time_missed"] == pytest.approx(3 / 6)
    assert values["time_false_alarm"] == pytest.approx(0.5 / 6)
    assert values["time_uar_majority"] == 0.5
    assert values["time_wa_majority"] == pytest.approx(4 / 6)


def test_turns_as_they_are_have_the_metrics_of_utterances() -> None:
    """With the turns of the reference, each a second long, seconds are utterances."""
    draw = random.Random(3)
    truth, prediction = ([draw.choice(LABELS) for _ in range(50)] for _ in range(2))
    sides = [[turn(2 * n, 2 * n + 1, k) for n, k in enumerate(of)] for of in (truth, prediction)]
    values = recording_statistics([RecordingTurns("r", *sides)], LABELS).metrics()
    expected = functional.uar(truth, prediction)
    assert values["time_uar"] == values["time_uar_predicted"] == pytest.approx(expected)
    assert values["time_wa"] == pytest.approx(functional.wa(truth, prediction))
    assert values["segment_f1"] == pytest.approx(functional.macro_f1(truth, prediction))
    for label, recall in functional.recall(truth, prediction).items():
        assert values[f"time_recall_{label}"] == pytest.approx(recall)


# -- segments --------------------------------------------------------------------------------------


def most_matches(recording: RecordingTurns, label: str) -> int:
    """Try every subset of the pairs that overlap enough, by recursion."""

    def iou(a: EmotionTurn, b: EmotionTurn) -> float:
        both = max(0.0, min(a.end, b.end) - max(a.start, b.start))
        return both / (a.end - a.start + b.end - b.start - both)

    pairs = [
        (i, j)
        for i, a in enumerate(recording.reference)
        for j, b in enumerate(recording.hypothesis)
        if a.emotion == b.emotion == label and iou(a, b) >= 0.5
    ]

    def search(left: list[tuple[int, int]]) -> int:
        if not left:
            return 0
        (i, j), *others = left
        free = [pair for pair in others if pair[0] != i and pair[1] != j]
        return max(1 + search(free), search(others))

    return search(pairs)


def shifted(recording: RecordingTurns, seed: int) -> RecordingTurns:
    """Predict the turns of the reference, moved a little, sometimes with another label."""
    draw = random.Random(seed)
    hypothesis = []
    for x in recording.reference:
        start, end = (round(time + draw.uniform(-0.3, 0.3), 3) for time in (x.start, x.end))
        if end > start >= 0:
            emotion = x.emotion if draw.random() < 0.6 else draw.choice(LABELS)
            emotion = emotion if emotion in LABELS else None
            hypothesis.append(turn(start, end, emotion))
    return RecordingTurns(recording.name, recording.reference, sorted(hypothesis, key=_start))


def _start(x: EmotionTurn) -> float:
    return x.start


@pytest.mark.parametrize("seed", range(6))
def test_as_many_turns_are_matched_as_can_be(seed: int) -> None:
    recording = shifted(draw_recording(seed, 30), seed)
    sums = segment_rows(recording, LABELS).sum(axis=0)
    for number, label in enumerate(LABELS):
        assert sums[number, 0] == most_matches(recording, label)
        assert sums[number, 1] == sum(x.emotion == label for x in recording.reference)
    assert sums[:, 0].sum() > 0


def test_an_iou_of_a_half_is_a_match_and_one_turn_has_one_partner() -> None:
    reference = [turn(0, 2, "sad"), turn(10, 12, "sad")]
    hypothesis = [turn(0, 1, "sad"), turn(1, 2, "sad"), turn(10, 10.999, "sad")]
    sums = segment_rows(RecordingTurns("r", reference, hypothesis), LABELS).sum(axis=0)
    assert sums[2].tolist() == [1.0, 2.0, 3.0]


def test_a_prediction_for_a_turn_without_a_known_emotion_is_not_counted() -> None:
    reference = [turn(0, 2, "boredom"), turn(3, 5, "sad")]
    hypothesis = [turn(0, 2, "sad"), turn(3, 5, "happy")]
    recording = RecordingTurns("r", reference, hypothesis)
    assert segment_rows(recording, LABELS).sum(axis=0)[:, 2].tolist() == [0.0, 1.0, 0.0]
    values = recording_statistics([recording], LABELS).metrics()
    assert values["time_false_alarm"] == 0.0
    assert values["segment_f1"] == 0.0


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_ccc_is_that_of_each_millisecond(seed: int) -> None:
    recording = draw_recording(seed)
    truth, prediction = [], []
    for at in milliseconds(recording):
        sides = [
            [x.values["valence"] for x in active(of, at) if "valence" in x.values]
            for of in (recording.reference, recording.hypothesis)
        ]
        if all(sides):
            truth.append(float(np.mean(sides[0])))
            prediction.append(float(np.mean(sides[1])))
    rows = time_moment_rows(recording, ["valence"])
    assert rows.sum(axis=0)[0, 0] == pytest.approx(len(truth) / 1000)
    values = recording_statistics([recording], (), ["valence"]).metrics()
    assert values["time_ccc"] == pytest.approx(functional.ccc(truth, prediction))


def test_constant_values_have_no_ccc_and_an_axis_without_truth_does_not_count() -> None:
    reference = [turn(n, n + 1, valence=0.1) for n in range(9)]
    hypothesis = [turn(n + 0.3, n + 1.1, valence=n / 9, arousal=0.5) for n in range(9)]
    recording = RecordingTurns("r", reference, hypothesis)
    values = recording_statistics([recording], (), ["valence", "arousal"]).metrics()
    assert math.isnan(values["time_ccc_valence"])
    assert math.isnan(values["time_ccc_arousal"])
    assert time_moment_rows(recording, ["arousal"]).sum() == 0.0


# -- sums ------------------------------------------------------------------------------------------


def test_recordings_add_up_and_have_intervals() -> None:
    recordings = [draw_recording(seed) for seed in range(5)]
    whole = recording_statistics(recordings, LABELS, ["valence"])
    parts = [recording_statistics([one], LABELS, ["valence"]).rows for one in recordings]
    np.testing.assert_allclose(whole.rows, np.concatenate(parts))
    uar = estimates(*whole, n_resamples=50)["time_uar"]
    assert uar.low <= uar.value <= uar.high


def test_a_recording_without_predictions_is_missed() -> None:
    recording = RecordingTurns("r", [turn(0, 1, "sad"), turn(1, 2, "happy")], [])
    values = recording_statistics([recording], LABELS).metrics()
    assert (values["time_uar"], values["time_missed"], values["segment_f1"]) == (0.0, 1.0, 0.0)
    assert math.isnan(values["time_uar_predicted"])
