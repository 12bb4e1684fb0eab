"""Protocols of cross-validation, as pure functions: utterances to folds of ids.

leave_one_session_out    each session is tested once; the dev set is whole speakers drawn from the
                         other sessions, so that it shares dialogues, but no speaker, with train:
                         balanced by gender where it is known, near in labels and in the requested
                         share of rows, and others in each fold
leave_one_speaker_out    each speaker is tested once; the dev set is who shares the speaker's
                         session, and so is heard in the same recordings, else the next speaker
leave_speaker_group_out  speakers in n groups, those who share dialogues in one: the i-th (from 1)
                         is in group i modulo n; fold k tests group k and validates on the next
k_fold                   n folds of like size, drawn: whole speakers, where unknown whole dialogues,
                         where those are unknown rows; fold k validates on what fold k + 1 tests
seed_sessions            one fold: the last session tests, the one before it validates, the rest
                         trains (3/1/1 sessions of IEMOCAP)
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from data_prep.folds.dev_set import draw_dev_set
from data_prep.folds.records import UNITS, Folds, Sets, composition_of
from data_prep.manifest.records import SPLITS, Utterance
from data_prep.messages import first_few

Rows = Sequence[Utterance]
Notes = list[str]


@dataclass(frozen=True)
class FoldOptions:
    """What the protocols can be told; each reads what concerns it."""

    seed: int = 1
    n_folds: int = 5  # leave_speaker_group_out, k_fold
    valid_share: float = 0.2  # of the training rows; leave_one_session_out
    group_by: str | None = None  # k_fold: session, speaker or dialogue
    leave_out_unknown: bool = False  # rows without the unit are in no fold, instead of an error


def make_folds(
    protocol: str, rows: Rows, bases: Sequence[str], options: FoldOptions | None = None
) -> tuple[Folds, Notes]:
    """The folds of a protocol, and what there is to say about them.

    Args:
        protocol: a key of `PROTOCOLS`.
        rows: what is divided, in the order that the sets keep.
        bases: the splits that these are the rows of.
        options: see `FoldOptions`.

    Raises:
        ValueError: an unknown protocol, rows without its unit, or too few units.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"{protocol!r} is none of the protocols {', '.join(PROTOCOLS)}")
    options = options or FoldOptions()
    unit, divide = PROTOCOLS[protocol]
    notes: Notes = []
    if unit == "row":  # k_fold, which takes what there is, but for a unit that it was told
        unit = options.group_by or _best_unit(rows)
    if options.group_by or protocol != "k_fold":
        rows = _with_unit(rows, unit, options, notes)
    folds = {str(k): sets for k, sets in enumerate(divide(rows, options, notes), start=1)}
    composition = composition_of(folds, rows)
    return Folds(protocol, unit, options.seed, tuple(bases), folds, composition), notes


def _best_unit(rows: Rows) -> str:
    kinds = {group_of(row)[0] for row in rows}
    return next(unit for unit in ("speaker", "dialogue", "row") if unit in kinds or unit == "row")


def _with_unit(rows: Rows, unit: str, options: FoldOptions, notes: Notes) -> Rows:
    unknown = [row.id for row in rows if getattr(row, unit) is None]
    if unknown and not options.leave_out_unknown:
        raise ValueError(
            f"{len(unknown)} of {len(rows)} rows name no {unit}, which is held out whole: "
            f"{first_few(unknown)}; fill the column, or add --leave-out-unknown"
        )
    if unknown:
        notes.append(f"{len(unknown)} rows name no {unit} and are in no fold")
    return [row for row in rows if getattr(row, unit) is not None]


def _leave_one_session_out(rows: Rows, options: FoldOptions, notes: Notes) -> list[Sets]:
    sessions = in_order(row.session for row in rows)
    _enough(len(sessions), 2, "sessions")
    _say_groups(rows, notes)
    folds: list[Sets] = []
    drawn: list[frozenset[str]] = []
    for tested in sessions:
        others = [row for row in rows if row.session != tested]
        groups = [_group_name(row) for row in others]
        draw = random.Random(f"{options.seed} {tested}")
        drawn.append(draw_dev_set(others, groups, options.valid_share, draw, drawn))
        names = [_set_of(row, tested, drawn[-1]) for row in rows]
        folds.append(_sets(rows, names))
    return folds


def _set_of(row: Utterance, tested: str, dev: frozenset[str]) -> str:
    if row.session == tested:
        return "test"
    return "valid" if _group_name(row) in dev else "train"


def _leave_one_speaker_out(rows: Rows, options: FoldOptions, notes: Notes) -> list[Sets]:
    speakers = in_order(row.speaker for row in rows)
    _enough(len(speakers), 3, "speakers")
    partners = partners_of(rows)
    if alone := [speaker for speaker in speakers if speaker not in partners]:
        notes.append(f"nobody shares the session of {first_few(alone)}: the next speaker validates")
    folds = []
    for position, tested in enumerate(speakers):
        valid = partners.get(tested) or {speakers[(position + 1) % len(speakers)]}
        set_of = {speaker: "valid" if speaker in valid else "train" for speaker in speakers}
        set_of[tested] = "test"
        folds.append(_sets(rows, [set_of[row.speaker or ""] for row in rows]))
    return folds


def _leave_speaker_group_out(rows: Rows, options: FoldOptions, notes: Notes) -> list[Sets]:
    _enough(options.n_folds, 3, "folds")
    joined = circles(rows)
    if len(joined) < options.n_folds:
        raise ValueError(
            f"{len(joined)} circles of speakers who share dialogues are too few for "
            f"{options.n_folds} groups; ask for fewer with --n-folds, or use k_fold"
        )
    group = {speaker: i for i, circle in enumerate(joined, start=1) for speaker in circle}
    return _rotate(rows, [group[row.speaker or ""] for row in rows], options.n_folds)


def _k_fold(rows: Rows, options: FoldOptions, notes: Notes) -> list[Sets]:
    _enough(options.n_folds, 3, "folds")
    if options.group_by is None:
        _say_groups(rows, notes)
        names = [_group_name(row) for row in rows]
    else:
        names = [str(getattr(row, options.group_by)) for row in rows]
        places = {(row.speaker, name) for row, name in zip(rows, names, strict=True)}
        often = [who for who, n in Counter(who for who, _ in places).items() if who and n > 1]
        if often:
            what = f"speakers are in more than one {options.group_by}, and may be in several sets"
            notes.append(f"{len(often)} {what}: {first_few(in_order(often))}")
    sizes = Counter(names)
    _enough(len(sizes), options.n_folds, "groups")
    groups = sorted(sizes)
    random.Random(options.seed).shuffle(groups)
    groups.sort(key=lambda group: -sizes[group])  # stable: equal sizes stay as drawn
    load = [0] * options.n_folds
    fold_of = {}
    for group in groups:  # the largest first, each to the emptiest fold
        fold_of[group] = load.index(min(load))
        load[fold_of[group]] += sizes[group]
    return _rotate(rows, [fold_of[name] + 1 for name in names], options.n_folds)


def _group_name(row: Utterance) -> str:
    return " ".join(group_of(row))


def _say_groups(rows: Rows, notes: Notes) -> None:
    kinds = Counter(group_of(row)[0] for row in rows)
    if kinds["dialogue"]:
        notes.append(f"{kinds['dialogue']} rows name no speaker: their dialogues are kept whole")
    if kinds["row"]:
        notes.append(
            f"{kinds['row']} rows name neither speaker nor dialogue: they are drawn one by one, "
            "and who speaks may be in several sets"
        )


def _seed_sessions(rows: Rows, options: FoldOptions, notes: Notes) -> list[Sets]:
    sessions = in_order(row.session for row in rows)
    _enough(len(sessions), 3, "sessions")
    set_of = {**dict.fromkeys(sessions, "train"), sessions[-2]: "valid", sessions[-1]: "test"}
    return [_sets(rows, [set_of[row.session or ""] for row in rows])]


def _rotate(rows: Rows, groups: Sequence[int], n_folds: int) -> list[Sets]:
    """Fold k = 1 ... n: group k modulo n is tested, the next one validates, the rest trains."""
    folds = []
    for k in range(n_folds):
        set_of = {(k + 1) % n_folds: "test", (k + 2) % n_folds: "valid"}
        folds.append(_sets(rows, [set_of.get(group % n_folds, "train") for group in groups]))
    return folds


def _sets(rows: Rows, names: Sequence[str]) -> Sets:
    found: dict[str, list[str]] = {split: [] for split in SPLITS}
    for row, name in zip(rows, names, strict=True):
        found[name].append(row.id)
    return {split: tuple(ids) for split, ids in found.items()}


def _enough(count: int, least: int, what: str) -> None:
    if count < least:
        raise ValueError(f"{count} {what} are too few: there have to be {least}")


PROTOCOLS: dict[str, tuple[str, Callable[[Rows, FoldOptions, Notes], list[Sets]]]] = {
    "leave_one_session_out": ("session", _leave_one_session_out),
    "leave_one_speaker_out": ("speaker", _leave_one_speaker_out),
    "leave_speaker_group_out": ("speaker", _leave_speaker_group_out),
    "k_fold": ("row", _k_fold),  # or coarser, as the rows have it
    "seed_sessions": ("session", _seed_sessions),
}


# -- Who must not be on two sides of a fold: groups of utterances that are divided whole -----------

_NUMBER = re.compile(r"(\d+)")


def group_of(row: Utterance) -> tuple[str, str]:
    """Its speaker, if unknown its dialogue, if that is unknown itself: ("speaker", "Ses01_F")."""
    if row.speaker is not None:
        return "speaker", row.speaker
    return ("dialogue", row.dialogue) if row.dialogue is not None else ("row", row.id)


def in_order(values: Iterable[str | None]) -> list[str]:
    """The different values, numbers in them by size; None is left out.

    >>> in_order(["s10", "s9", None, "s9"])
    ['s9', 's10']
    """
    return sorted({value for value in values if value is not None}, key=_by_number)


def _by_number(value: str) -> tuple[list[str | int], str]:
    parts = _NUMBER.split(value)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], value


def circles(rows: Sequence[Utterance]) -> list[list[str]]:
    """Speakers who share dialogues, directly or by way of others, in order of their first names."""
    circle_of = {speaker: {speaker} for speaker in in_order(row.speaker for row in rows)}
    heard_first: dict[str, str] = {}
    for row in rows:
        if row.dialogue is None or row.speaker is None:
            continue
        ours = circle_of[row.speaker]
        theirs = circle_of[heard_first.setdefault(row.dialogue, row.speaker)]
        if ours is not theirs:
            ours |= theirs
            circle_of.update(dict.fromkeys(theirs, ours))
    unique = {id(circle): circle for circle in circle_of.values()}
    return [in_order(circle) for circle in unique.values()]


def partners_of(rows: Sequence[Utterance]) -> dict[str, set[str]]:
    """Speaker -> who else is in the speaker's only session, unless that is everybody.

    {} where one speaker is in several sessions, or in none that has a name.
    """
    sessions: dict[str, set[str | None]] = {}
    for row in rows:
        if row.speaker is not None:
            sessions.setdefault(row.speaker, set()).add(row.session)
    if any(len(found) > 1 or None in found for found in sessions.values()):
        return {}
    partners = {
        speaker: {other for other in sessions if other != speaker and sessions[other] == found}
        for speaker, found in sessions.items()
    }
    return {s: found for s, found in partners.items() if 0 < len(found) < len(sessions) - 1}


# -- What two sets of a fold share though the protocol keeps it apart ------------------------------

# Protocol -> what its test set shares with no other, and what train and valid do not share.
# leave_one_speaker_out may validate on the tested speaker's partner in dialogue.
_APART: dict[str, dict[frozenset[str], tuple[str, ...]]] = {
    protocol: {
        frozenset(("train", "test")): train_test,
        frozenset(("valid", "test")): valid_test,
        frozenset(("train", "valid")): train_valid,
    }
    for protocol, train_test, valid_test, train_valid in (
        ("leave_one_session_out", UNITS[:3], UNITS[:3], ("speaker",)),
        ("leave_one_speaker_out", ("speaker", "dialogue"), ("speaker",), ("speaker",)),
        ("leave_speaker_group_out", *(("speaker", "dialogue"),) * 3),
        ("seed_sessions", *(UNITS[:3],) * 3),
    )
}


def check_leaks(folds: Folds, utterances: Iterable[Utterance]) -> list[str]:
    """A sentence for whatever two sets of a fold share against the protocol; [] where nothing.

    A value that is not known (None) is shared with nobody: "Unknown" is no speaker. A protocol of
    another name is held to its unit.
    """
    row_of = {row.id: row for row in utterances}
    return [
        f"fold {name}: {sentence}"
        for name, sets in folds.folds.items()
        for pair in combinations(SPLITS, 2)
        for sentence in _shared(folds, {split: sets[split] for split in pair}, row_of)
    ]


def _shared(
    folds: Folds, pair: Mapping[str, Iterable[str]], row_of: Mapping[str, Utterance]
) -> Iterator[str]:
    unit = "id" if folds.unit == "row" else folds.unit
    for key in _APART.get(folds.protocol, {}).get(frozenset(pair), (unit,)):
        ours, theirs = (
            {value: None for id_ in ids if (value := getattr(row_of[id_], key)) is not None}
            for ids in pair.values()
        )
        if shared := [value for value in ours if value in theirs]:
            what = f"{key} {shared[0]} is" if len(shared) == 1 else f"{len(shared)} {key}s are"
            named = "" if len(shared) == 1 else f": {first_few(shared)}"
            yield f"{what} in {' and '.join(pair)}{named}"
