r"""Metrics of whole recordings: predicted turns against reference turns, weighted by time.

Predicted turns begin and end elsewhere than those of the reference, so that they cannot be paired
one by one. Everything here is a sum over time. Where a turn of either side begins or ends, time is
divided; between two such points the same turns are active:

    reference    |------sad------|        |------happy------|
    hypothesis        |----sad----|  |---sad---|    |-happy-|
    seconds      |miss| correct  |F  |FA  |conf|miss|correct|      F, FA: false alarms

With the reference turns and the predicted turns that are active at a time t: an emotion is correct
as often as it is on both sides. What is left of both sides is paired evenly: of n reference turns
and m predictions, each reference turn is confused with each prediction for 1 / max(n, m) of the
time. A reference turn for which no prediction is left is missed; a prediction for which no
reference turn is left is a false alarm.

Without overlapping speech that is the plain rule, one turn against at most one. A predicted turn
without an emotion, such as one with an error, is no prediction. A reference turn without an
emotion, or with one that the model does not predict, takes up predictions and is not scored.

Metrics, of seconds S[true, predicted] summed over all recordings:

    time_recall_<label>  S[label, label] / (seconds of reference speech of the label); what is
                         missed is wrong
    time_uar             mean of time_recall over the labels of the reference
    time_uar_predicted   the same over the seconds that have a prediction: missed ones are left out
    time_wa              sum of S[label, label] / seconds of reference speech
    time_missed          seconds of reference speech without a prediction / all of them
    time_false_alarm     seconds of predictions without reference speech / seconds of the latter
    segment_f1_<label>   2 matched turns / (reference turns + predicted turns); a match has the same
                         label and an intersection over union in time of at least .5, one to one
    segment_f1           mean of them over the labels of reference or prediction
    time_ccc_<axis>      CCC over the time in which both sides have a value of the axis
    ..._majority         of always predicting the label of most seconds, for all reference speech

The statistics of a recording have a row for each reference turn, which holds what falls into the
time around it: from the middle of the pause before it to the middle of the pause after it. Rows add
up over turns and recordings; metrics derive from their sum.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from data_prep.segmentation.turn import Turn
from emo_fairseq import metrics
from emo_fairseq.evaluation.statistics import Metrics, Statistics, side_by_side

MIN_IOU = 0.5  # of a reference turn and the predicted turn that it is matched with
MAJORITY_KEYS = ("time_uar", "time_uar_predicted", "time_wa")


@dataclass(frozen=True)
class EmotionTurn:
    """A turn with its emotion, annotated or predicted.

    Attributes:
        turn: when it is, who speaks, and what is said.
        emotion: its label; None where there is none.
        values: of axes, such as valence; without those that are not known.
    """

    turn: Turn
    emotion: str | None = None
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def start(self) -> float:
        """In seconds."""
        return float(self.turn.start)

    @property
    def end(self) -> float:
        """In seconds."""
        return float(self.turn.end)


@dataclass(frozen=True)
class RecordingTurns:
    """The turns of one recording.

    Attributes:
        name: of the recording.
        reference: N annotated turns, at least one, in order of their starts.
        hypothesis: predicted turns, in order of their starts.
    """

    name: str
    reference: Sequence[EmotionTurn]
    hypothesis: Sequence[EmotionTurn]

    @cached_property
    def span_ends(self) -> np.ndarray:
        """(N - 1,) where the time of each reference turn ends and that of the next one begins."""
        starts = np.array([turn.start for turn in self.reference])
        ends = np.maximum.accumulate([turn.end for turn in self.reference])
        return (ends[:-1] + starts[1:]) / 2.0

    def spans_of(self, times: np.ndarray) -> np.ndarray:
        """Return the number of the reference turn whose time each of some points is in."""
        return np.searchsorted(self.span_ends, times, side="right")


# -- sums over time --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stretches:
    """I stretches of time in which no turn begins or ends.

    Attributes:
        edges: (I + 1,) in seconds.
        spans: (I,) the number of the reference turn whose time each is in.
    """

    edges: np.ndarray
    spans: np.ndarray

    @classmethod
    def of(cls, recording: RecordingTurns, further: Sequence[float] = ()) -> "Stretches":
        """Divide the time of a recording, at the starts and ends of turns and further points."""
        turns = [*recording.reference, *recording.hypothesis]
        times = np.array([time for turn in turns for time in (turn.start, turn.end)])
        edges: np.ndarray = np.unique(np.concatenate([times, recording.span_ends, further]))
        return cls(edges, recording.spans_of((edges[:-1] + edges[1:]) / 2.0))

    @property
    def seconds(self) -> np.ndarray:
        """Length of each, (I,)."""
        return np.diff(self.edges)

    @property
    def middles(self) -> np.ndarray:
        """The point in the middle of each, (I,)."""
        return (self.edges[:-1] + self.edges[1:]) / 2.0

    def sum_active(
        self, turns: Sequence[EmotionTurn], columns: Sequence[int], weights: np.ndarray, n: int
    ) -> np.ndarray:
        """Return the sum of the weights of the turns that are active in each stretch, (I, n).

        Args:
            turns: M turns.
            columns: (M,) the column that each is added to.
            weights: (M,)
            n: number of columns.
        """
        changes = np.zeros((len(self.edges), n))
        for times, sign in (([t.start for t in turns], 1.0), ([t.end for t in turns], -1.0)):
            at = np.searchsorted(self.edges, times)
            np.add.at(changes, (at, np.array(columns, dtype=np.int64)), sign * weights)
        return changes.cumsum(axis=0)[:-1]

    def count_active(
        self, turns: Sequence[EmotionTurn], columns: Sequence[int], n: int
    ) -> np.ndarray:
        """Return how many turns of each column are active in each stretch, (I, n)."""
        return self.sum_active(turns, columns, np.ones(len(turns)), n)

    def rows(self, cells: np.ndarray, n_turns: int) -> np.ndarray:
        """Return values of stretches (I, ...), weighted by seconds, summed by span, (N, ...).

        Args:
            cells: of each stretch.
            n_turns: N, reference turns.
        """
        shape = (-1, *[1] * (cells.ndim - 1))
        rows = np.zeros((n_turns, *cells.shape[1:]))
        np.add.at(rows, self.spans, cells * self.seconds.reshape(shape))
        return rows


def time_confusion_rows(recording: RecordingTurns, labels: Sequence[str]) -> np.ndarray:
    """Return the confusion in seconds in the time of each reference turn.

    Args:
        recording: its turns.
        labels: K names, among them that of every prediction.

    Returns:
        (N, K + 2, K + 1) float64. Rows: the true label, then reference turns without one of the
        labels, then time for which no reference turn is left (false alarms). Columns: the
        predicted label, then no prediction (missed).

    >>> from decimal import Decimal as D
    >>> reference = [EmotionTurn(Turn(D(0), D(4)), "sad")]
    >>> hypothesis = [EmotionTurn(Turn(D(1), D(3)), "sad"), EmotionTurn(Turn(D(3), D(6)), "happy")]
    >>> time_confusion_rows(RecordingTurns("r", reference, hypothesis), ["sad", "happy"])[0]
    array([[2., 1., 1.],
           [0., 0., 0.],
           [0., 0., 0.],
           [0., 2., 0.]])
    """
    n, stretches = len(labels), Stretches.of(recording)
    number = {label: index for index, label in enumerate(labels)}
    predictions = [turn for turn in recording.hypothesis if turn.emotion is not None]
    columns = [number.get(turn.emotion or "", n) for turn in recording.reference]
    true = stretches.count_active(recording.reference, columns, n + 1)  # (I, K + 1)
    columns = [number[turn.emotion or ""] for turn in predictions]
    predicted = stretches.count_active(predictions, columns, n)  # (I, K)
    correct = np.minimum(true[:, :n], predicted)
    predicted_left = predicted - correct
    true_left = true.copy()
    true_left[:, :n] -= correct
    n_true, n_predicted = true_left.sum(axis=1), predicted_left.sum(axis=1)
    most = np.maximum(np.maximum(n_true, n_predicted), 1.0)
    cells = np.zeros((len(true), n + 2, n + 1))
    cells[:, : n + 1, :n] = true_left[:, :, None] * predicted_left[:, None, :] / most[:, None, None]
    cells[:, np.arange(n), np.arange(n)] += correct
    cells[:, : n + 1, n] = true_left * (1.0 - n_predicted / most)[:, None]
    cells[:, n + 1, :n] = predicted_left * (1.0 - n_true / most)[:, None]
    return stretches.rows(cells, len(recording.reference))


def time_moment_rows(recording: RecordingTurns, axes: Sequence[str]) -> np.ndarray:
    """Return moments of values, weighted by seconds, in the time of each reference turn.

    Over the time in which a reference turn and a predicted one have a value of the axis; of several
    active turns of a side the mean of their values.

    Returns:
        (N, A, 8) float64 of A axes, as :func:`emo_fairseq.metrics.moments` with seconds for rows.
    """
    stretches = Stretches.of(recording)
    cells = np.zeros((len(stretches.spans), len(axes), 8))
    for number, axis in enumerate(axes):
        truth = _mean_active(stretches, recording.reference, axis)  # (I,), NaN where none is
        prediction = _mean_active(stretches, recording.hypothesis, axis)
        truth[np.isnan(prediction)] = np.nan
        cells[:, number] = metrics.moment_rows(truth, prediction)
    return stretches.rows(cells, len(recording.reference))


def _mean_active(stretches: Stretches, turns: Sequence[EmotionTurn], axis: str) -> np.ndarray:
    """Return the mean value of the turns that are active in each stretch, (I,); NaN if none is."""
    known = [turn for turn in turns if axis in turn.values]
    columns = [0] * len(known)
    n_active = stretches.count_active(known, columns, 1)[:, 0].round()
    values = np.array([turn.values[axis] for turn in known])
    sums = stretches.sum_active(known, columns, values, 1)[:, 0]
    return np.divide(sums, n_active, out=np.full_like(sums, np.nan), where=n_active > 0.0)


# -- turns by overlap ------------------------------------------------------------------------------


def overlaps(
    reference: Sequence[EmotionTurn], hypothesis: Sequence[EmotionTurn]
) -> Iterator[tuple[int, int, float]]:
    """Yield the turns that overlap, as number in either list, and for how many seconds.

    Args:
        reference: in order of their starts.
        hypothesis: in any order.
    """
    starts = np.array([turn.start for turn in reference])
    ends = np.array([turn.end for turn in reference])
    latest = np.maximum.accumulate(ends)
    for number, turn in enumerate(hypothesis):
        first = int(np.searchsorted(latest, turn.start, side="right"))
        last = int(np.searchsorted(starts, turn.end, side="left"))
        for other in range(first, last):
            seconds = min(ends[other], turn.end) - max(starts[other], turn.start)
            if seconds > 0.0:
                yield other, number, float(seconds)


def segment_rows(recording: RecordingTurns, labels: Sequence[str]) -> np.ndarray:
    """Return how many turns of each emotion are matched, in the time of each reference turn.

    A reference turn and a predicted turn of the same emotion can be matched if their intersection
    over union in time is at least :data:`MIN_IOU`, each with one other at most; as many as possible
    are. A predicted turn without a match that so overlaps a reference turn whose emotion is none of
    the labels is not counted.

    Args:
        recording: its turns.
        labels: K names, among them that of every prediction.

    Returns:
        (N, K, 3) float64: matched reference turns, reference turns, predicted turns.
    """
    number = {label: index for index, label in enumerate(labels)}
    reference, hypothesis = recording.reference, recording.hypothesis
    pairs, ignored = [], set()
    for i, j, seconds in overlaps(reference, hypothesis):
        true, predicted = reference[i], hypothesis[j]
        union = (true.end - true.start) + (predicted.end - predicted.start) - seconds
        if seconds / union < MIN_IOU - _ROUNDING:
            continue
        if true.emotion not in number:
            ignored.add(j)
        elif true.emotion == predicted.emotion:
            pairs.append((i, j))
    matched = _match(pairs, len(reference), len(hypothesis))  # (N,), -1 = not matched
    rows = np.zeros((len(reference), len(labels), 3))
    for i, turn in enumerate(reference):
        if turn.emotion in number:
            rows[i, number[turn.emotion], :2] += (matched[i] >= 0, 1.0)
    taken = {int(j) for j in matched}
    middles = np.array([(turn.start + turn.end) / 2.0 for turn in hypothesis])
    for j, span in enumerate(recording.spans_of(middles)):
        emotion = hypothesis[j].emotion
        if emotion is not None and (j in taken or j not in ignored):
            rows[span, number[emotion], 2] += 1.0
    return rows


_ROUNDING = 1e-9  # of times in seconds as float64


def _match(pairs: Sequence[tuple[int, int]], n_rows: int, n_columns: int) -> np.ndarray:
    """Return the partner of each row in a largest one-to-one matching, (n_rows,); -1 = none."""
    if not pairs:
        return np.full(n_rows, -1)
    at = np.array(pairs).T
    graph = csr_matrix((np.ones(len(pairs)), (at[0], at[1])), shape=(n_rows, n_columns))
    return np.asarray(maximum_bipartite_matching(graph, perm_type="column"))


# -- metrics ---------------------------------------------------------------------------------------


def recording_statistics(
    recordings: Sequence[RecordingTurns],
    labels: Sequence[str],
    axes: Sequence[str] = (),
    *,
    speaker_errors: Sequence[np.ndarray] = (),
    word_errors: Sequence[np.ndarray] = (),
) -> Statistics:
    """Return the statistics of some recordings, a row for each reference turn, in their order.

    Args:
        recordings: at least one.
        labels: K names, among them that of every prediction; empty without emotions.
        axes: A names; empty without values.
        speaker_errors: of each recording, by
            :func:`emo_fairseq.evaluation.speaker_errors.speaker_error_rows`; empty: no DER.
        word_errors: of each recording, by
            :func:`emo_fairseq.evaluation.word_errors.word_error_rows`; empty: no WER.
    """
    parts: dict[str, Sequence[np.ndarray]] = {}
    if labels:
        parts["time"] = [time_confusion_rows(recording, labels) for recording in recordings]
        parts["segments"] = [segment_rows(recording, labels) for recording in recordings]
    if axes:
        parts["moments"] = [time_moment_rows(recording, axes) for recording in recordings]
    parts |= {"speakers": speaker_errors} if speaker_errors else {}
    parts |= {"words": word_errors} if word_errors else {}

    def derive(sums: Mapping[str, np.ndarray]) -> Metrics:
        values: Metrics = {}
        if labels:
            values |= _label_metrics(sums["time"], sums["segments"], labels)
        if axes:
            of_axis = {"time_ccc": metrics.concordance_cc}
            values |= metrics.number_metrics(sums["moments"], axes, of_axis)
        if "speakers" in sums:
            values |= _speaker_metrics(sums["speakers"])
        if "words" in sums:
            values["wer"] = _share(sums["words"][0], sums["words"][1])
        return values

    rows = {name: np.concatenate(of) for name, of in parts.items()}
    return side_by_side(rows, derive)


def _label_metrics(time: np.ndarray, segments: np.ndarray, labels: Sequence[str]) -> Metrics:
    """Return the metrics of labels, from (K + 2, K + 1) seconds and (K, 3) counts of turns."""
    n = len(labels)
    scored = time[:n]  # (K, K + 1), seconds of reference speech
    # No prediction is a column, and so a class, that is never true.
    square = np.concatenate([scored, np.zeros((1, n + 1))])
    total, true = scored.sum(), scored.sum(axis=1)
    values = {
        "time_uar": metrics.unweighted_average_recall(square),
        "time_uar_predicted": metrics.unweighted_average_recall(scored[:, :n]),
        "time_wa": metrics.accuracy(square),
        "time_missed": _share(scored[:, n].sum(), total),
        "time_false_alarm": _share(time[n + 1].sum(), total),
    }
    recalls = zip(labels, metrics.recall_per_class(square), strict=False)
    values |= {f"time_recall_{label}": recall for label, recall in recalls}
    f1 = [_share(2.0 * matched, of_both) for matched, of_both in _matched_and_all(segments)]
    defined = [value for value in f1 if not math.isnan(value)]
    values["segment_f1"] = math.fsum(defined) / len(defined) if defined else math.nan
    values |= {f"segment_f1_{label}": value for label, value in zip(labels, f1, strict=True)}
    majority = metrics.constant_confusion(scored[:, :n] + _missed(scored), int(true.argmax()))
    constant = {
        "time_uar": metrics.unweighted_average_recall(majority),
        "time_wa": metrics.accuracy(majority),
    }
    constant["time_uar_predicted"] = constant["time_uar"]
    return values | {f"{key}_majority": constant[key] for key in MAJORITY_KEYS}


def _missed(scored: np.ndarray) -> np.ndarray:
    """Return the missed seconds of each label on the diagonal of (K, K)."""
    return np.diag(scored[:, -1])


def _matched_and_all(segments: np.ndarray) -> Iterator[tuple[float, float]]:
    for matched, reference, predicted in segments.tolist():
        yield matched, reference + predicted


def _speaker_metrics(sums: np.ndarray) -> Metrics:
    """Return DER and its parts, from (4,) seconds: missed, false alarm, confusion, all."""
    *errors, total = sums
    names = ("der_missed", "der_false_alarm", "der_confusion")
    parts = {name: _share(error, total) for name, error in zip(names, errors, strict=True)}
    return {"der": math.fsum(parts.values()), **parts}


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else math.nan
