"""The tables of a page on dialogues: emotion shifts, references that see the truth, memory."""

from collections.abc import Iterator

from emo_fairseq.evaluation.bootstrap import Estimate
from emo_fairseq.evaluation.dialogues import (
    ABOUT_REFERENCES,
    BINS,
    DIALOGUE,
    EARLIER,
    KEYS,
    MIN_DIALOGUES,
    POSITION,
    SHIFT,
    SPEAKER,
    STAY,
    DialogueScores,
    bin_name,
)
from emo_fairseq.evaluation.names import display_name
from emo_fairseq.evaluation.tables import (
    NONE,
    Table,
    format_count,
    format_interval,
    format_number,
)

_GROUPS = {
    SHIFT: "shift: another emotion than in the speaker's previous turn",
    STAY: "no shift: the same emotion",
}
_DIFFERENCE = "stay_minus_shift"
_OF_UNIT = {SPEAKER: "previous turn of the speaker", DIALOGUE: "previous turn of the dialogue"}
_UNIT_OF = {EARLIER: "earlier turns of the speaker", POSITION: "earlier turns of the dialogue"}


def tables(scores: DialogueScores) -> Iterator[tuple[str, Table]]:
    """Yield caption and table of each part."""
    about = f"{format_count(scores.n_dialogues, 'dialogue')}, "
    if scores.n_dialogues >= MIN_DIALOGUES:
        about += "95 % bootstrap intervals over dialogues"
    else:
        about += f"fewer than {MIN_DIALOGUES}: no intervals over dialogues"
    share = format_number(scores.shift_share)
    yield f"Emotion shifts, {share} of turns with a previous turn; {about}", _shift_table(scores)
    caption = f"References: {ABOUT_REFERENCES}; {about}"
    yield caption, _reference_table(scores)
    for name, unit in _UNIT_OF.items():
        yield f"By {unit}; {about}", _bin_table(scores, name)


def _shift_table(scores: DialogueScores) -> Table:
    rows = []
    for group, name in _GROUPS.items():
        cells = [_cell(scores.estimates[f"{key}_{group}"]) for key in KEYS]
        rows.append([name, f"{scores.counts[group]:,}", *cells])
    differences = [_cell(scores.estimates[f"{key}_{_DIFFERENCE}"], sign=True) for key in KEYS]
    rows.append(["difference", "", *differences])
    return Table(["turns", "n", *map(display_name, KEYS)], rows)


def _reference_table(scores: DialogueScores) -> Table:
    rows = []
    for unit, name in _OF_UNIT.items():
        for key in KEYS:
            values = [scores.estimates[f"{key}_{unit}{end}"] for end in ("", "_reference")]
            difference = scores.estimates[f"{key}_{unit}_minus_reference"]
            cells = [*map(_cell, values), _cell(difference, sign=True)]
            rows.append([name, display_name(key), f"{scores.counts[unit]:,}", *cells])
    return Table(["turns with a", "metric", "n", "model", "reference", "difference"], rows)


def _bin_table(scores: DialogueScores, name: str) -> Table:
    key = KEYS[0]
    rows = []
    for first, last in BINS:
        group = f"{name}_{first}"
        value = scores.estimates[f"{key}_{group}"]
        if n_turns := scores.counts[group]:
            rows.append([bin_name(first, last), f"{n_turns:,}", _cell(value)])
    return Table([_UNIT_OF[name], "n", display_name(key)], rows)


def _cell(estimate: Estimate, sign: bool = False) -> str:
    value = format_number(estimate.value, sign=sign)
    ends = format_interval((estimate.low, estimate.high), sign=sign, undefined=NONE)
    return value if ends == NONE else f"{value} ({ends})"
