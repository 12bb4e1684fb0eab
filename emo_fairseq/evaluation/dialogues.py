"""Emotion shifts and memory of speakers: labels predicted for the turns of dialogues.

The turns of a dialogue are those that were scored, in the order of their numbers. A turn is a shift
if its true emotion is not that of its speaker's previous turn, and no shift if it is the same; the
first turn of a speaker is neither. What a model gains by context is what it gains at shifts and at
later turns, since most turns repeat the emotion of the one before:

    uar_shift, uar_stay          the metric at turns that are shifts, and at those that are not
    uar_stay_minus_shift         their difference
    uar_speaker, uar_dialogue    at turns that have a previous turn of the speaker, of the dialogue
    uar_speaker_reference, ...   of predicting the true emotion of that previous turn: it uses truth
                                 that no model has, and is no system to compare with
    uar_speaker_minus_reference  the difference of the model and that reference

and so for ``weighted_f1`` and ``wa``; ``uar_earlier_3`` is the UAR of turns in the bin of
:data:`BINS` that begins with 3 earlier turns of the speaker, ``uar_position_3`` of the dialogue.
The UAR of a group is over the emotions that are true in it.

Intervals are the percentile bootstrap over dialogues: all of these are measured in the same
resamples, so that differences are paired. Below :data:`MIN_DIALOGUES` dialogues there are none.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.schema import Utterance
from emo_fairseq import metrics
from emo_fairseq.evaluation.bootstrap import NO_INTERVAL, Estimate, intervals, sum_by
from emo_fairseq.evaluation.names import N_RESAMPLES
from emo_fairseq.evaluation.statistics import LabelPredictions, Metrics, Statistics, side_by_side

MIN_DIALOGUES = 10  # an ordinary bootstrap of fewer units is too narrow
ABOUT_REFERENCES = (
    "a reference predicts the true emotion of the previous turn: it uses truth, and is no system "
    "to compare with"
)
KEYS = ("uar", "weighted_f1", "wa")
SPEAKER, DIALOGUE = "speaker", "dialogue"
SHIFT, STAY = "shift", "stay"
EARLIER, POSITION = "earlier", "position"
# Earlier turns: the first and the last number of each bin.
BINS: tuple[tuple[int, int | None], ...] = ((0, 0), (1, 2), (3, 5), (6, 10), (11, None))


@dataclass(frozen=True, eq=False)
class DialogueTurns:
    """Where N utterances are in their dialogues.

    Attributes:
        dialogues: (N,) int64, the dialogue of each, from 0; -1 where it is not known.
        previous: by "speaker" and "dialogue" (N,) int64, the row of the previous turn; -1 = none.
        earlier: by "speaker" and "dialogue" (N,) int64, how many turns are before; -1 where it is
            not known.
    """

    dialogues: np.ndarray
    previous: Mapping[str, np.ndarray]
    earlier: Mapping[str, np.ndarray]

    @property
    def n_dialogues(self) -> int:
        """Of which at least one turn is known."""
        return int(self.dialogues.max()) + 1


def find_dialogues(rows: Sequence[Utterance | None]) -> DialogueTurns | None:
    """Return where the rows of a manifest are in their dialogues.

    Args:
        rows: N rows; None for one that is not known. Of two rows with the same number of a turn
            the first one comes first.

    Returns:
        None where no dialogue has two turns.

    >>> rows = [Utterance(f"u{n}", dialogue="d", turn=n, speaker="ab"[n % 2]) for n in range(3)]
    >>> find_dialogues(rows).previous["speaker"].tolist()
    [-1, -1, 0]
    """
    members: dict[tuple[str | None, str], list[tuple[int, int]]] = {}
    for number, row in enumerate(rows):
        if row is not None and row.dialogue is not None and row.turn is not None:
            members.setdefault((row.corpus, row.dialogue), []).append((row.turn, number))
    if all(len(turns) < 2 for turns in members.values()):
        return None
    nothing = np.full(len(rows), -1, dtype=np.int64)
    dialogues = nothing.copy()
    previous = {name: nothing.copy() for name in (SPEAKER, DIALOGUE)}
    earlier = {name: nothing.copy() for name in (SPEAKER, DIALOGUE)}
    for dialogue, turns in enumerate(members.values()):
        last: dict[str | None, int] = {}
        counts: dict[str | None, int] = {}
        before = -1
        for position, (_, number) in enumerate(sorted(turns)):
            row = rows[number]
            speaker = None if row is None else row.speaker
            dialogues[number] = dialogue
            previous[DIALOGUE][number], earlier[DIALOGUE][number] = before, position
            if speaker is not None:
                previous[SPEAKER][number] = last.get(speaker, -1)
                earlier[SPEAKER][number] = counts.get(speaker, 0)
                last[speaker], counts[speaker] = number, counts.get(speaker, 0) + 1
            before = number
    return DialogueTurns(dialogues, previous, earlier)


@dataclass(frozen=True, eq=False)
class DialogueScores:
    """What the module's docstring names, of one split.

    Attributes:
        n_dialogues: that are scored.
        counts: turns of each group, such as ``shift`` or ``earlier_3``.
        estimates: by key, such as ``uar_shift``; NaN ends below :data:`MIN_DIALOGUES`.
    """

    n_dialogues: int
    counts: Mapping[str, int]
    estimates: Mapping[str, Estimate]

    @property
    def shift_share(self) -> float:
        """Shifts among the turns that have a previous turn of their speaker; NaN without any."""
        n_turns = self.counts[SHIFT] + self.counts[STAY]
        return self.counts[SHIFT] / n_turns if n_turns else math.nan


def score_dialogues(
    of: LabelPredictions, rows: Sequence[Utterance | None], n_resamples: int = N_RESAMPLES
) -> DialogueScores | None:
    """Return the metrics of shifts, of references, and by earlier turns.

    Returns:
        None where no dialogue has two turns.
    """
    # Of votes some rows have no majority label: they are no turns here.
    known = of.has_truth.tolist()
    turns = find_dialogues([row if has else None for row, has in zip(rows, known, strict=True)])
    if turns is None:
        return None
    groups = _groups(of, turns)
    statistics = dialogue_statistics(of, turns)
    values = statistics.metrics()
    ends = dict.fromkeys(values, NO_INTERVAL)
    if turns.n_dialogues >= MIN_DIALOGUES:
        ends = intervals(*statistics, n_resamples=n_resamples)
    counts = {name: int(mask.sum()) for name, mask in groups.items()}
    return DialogueScores(
        turns.n_dialogues, counts, {key: Estimate(x, *ends[key]) for key, x in values.items()}
    )


def _groups(of: LabelPredictions, turns: DialogueTurns) -> dict[str, np.ndarray]:
    """Return which turns are in each group, (N,) bool by its name."""
    truth, before = of.truth, turns.previous[SPEAKER]
    has_previous = before >= 0
    is_shift = has_previous & (truth[before] != truth)  # -1 is the last row, not used
    groups = {SHIFT: is_shift, STAY: has_previous & ~is_shift}
    groups |= {name: rows >= 0 for name, rows in turns.previous.items()}
    for name, unit in ((EARLIER, SPEAKER), (POSITION, DIALOGUE)):
        counts = turns.earlier[unit]
        for first, last in BINS:
            inside = (counts >= first) & (counts <= (counts.max() if last is None else last))
            groups[f"{name}_{first}"] = inside
    return groups


def dialogue_statistics(of: LabelPredictions, turns: DialogueTurns) -> Statistics:
    """Return confusions of every group, a row a dialogue, and the metrics of their sum."""
    truth, n = of.truth.clip(min=0), len(of.names)  # rows without truth are in no group
    groups = _groups(of, turns)
    predicted = metrics.confusion_rows(truth, of.prediction, n)  # (N, K, K)
    parts = {name: predicted * mask[:, None, None] for name, mask in groups.items()}
    for name, before in turns.previous.items():
        of_truth = metrics.confusion_rows(truth, truth[before], n)
        parts[f"{name}_reference"] = of_truth * groups[name][:, None, None]
    by_dialogue = {name: _sum_by_dialogue(part, turns) for name, part in parts.items()}
    return side_by_side(by_dialogue, _derive)


def _sum_by_dialogue(rows: np.ndarray, turns: DialogueTurns) -> np.ndarray:
    """Return the sums of rows (N, ...) of each dialogue, (D, ...)."""
    known = turns.dialogues >= 0
    return sum_by(turns.dialogues[known], rows[known], turns.n_dialogues)


def _derive(sums: Mapping[str, np.ndarray]) -> Metrics:
    values: Metrics = {}
    for name, counts in sums.items():
        keys = KEYS[:1] if name.startswith((EARLIER, POSITION)) else KEYS
        for key in keys:
            values[f"{key}_{name}"] = metrics.CONFUSION_METRICS[key](counts)
    for key in KEYS:
        values[f"{key}_stay_minus_shift"] = values[f"{key}_{STAY}"] - values[f"{key}_{SHIFT}"]
        for name in (SPEAKER, DIALOGUE):
            difference = values[f"{key}_{name}"] - values[f"{key}_{name}_reference"]
            values[f"{key}_{name}_minus_reference"] = difference
    return values


def bin_name(first: int, last: int | None) -> str:
    """Return the name of a bin of earlier turns.

    >>> bin_name(0, 0), bin_name(3, 5), bin_name(11, None)
    ('0', '3 to 5', '11 or more')
    """
    if last is None:
        return f"{first} or more"
    return str(first) if first == last else f"{first} to {last}"
