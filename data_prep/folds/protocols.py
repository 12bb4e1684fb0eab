"""Protocols of cross-validation, as pure functions: utterances to folds of ids.

leave_one_session_out    each session is tested once; the dev set is whole speakers drawn from the
                         other sessions, so that it shares dialogues, but no speaker, with train:
                         balanced by gender where it is known, near in labels and in the requested
                         share of rows, and others in each fold
leave_one_session_out_dialogues
                         likewise, but the dev set is whole dialogues, for models that read them: it
                         shares speakers, but no dialogue, with train
leave_one_speaker_out    each speaker is tested once; the dev set is who shares the speaker's
                         session, and so is in the same recordings, else the next speaker
leave_speaker_group_out  speakers in n groups of like size, those who share dialogues in one (with
                         --balance order the i-th, from 1, is in group i modulo n); fold k tests
                         group k and validates on the next
k_fold                   n folds of like size, drawn: whole speakers, where unknown whole dialogues,
                         where those are unknown rows; fold k validates on what fold k + 1 tests
seed_sessions            one fold: the last session tests, the one before it validates, the rest
                         trains (3/1/1 sessions of IEMOCAP)
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from data_prep.errors import CodedError
from data_prep.folds.balance import balance_labels, balance_rows
from data_prep.folds.dev_set import draw_dev_set
from data_prep.folds.records import Folds, Sets, composition_of
from data_prep.messages import first_few
from data_prep.schema import LABEL_COLUMNS, SPLITS, Utterance

Rows = Sequence[Utterance]
Notes = list[str]


ORDER = "order"  # the i-th group is in fold i modulo n
BALANCES = ("rows", *LABEL_COLUMNS, ORDER)  # what folds are alike in


@dataclass(frozen=True)
class FoldOptions:
    """Options of the protocols; each protocol reads its own."""

    seed: int = 1
    n_folds: int = 5  # leave_speaker_group_out, k_fold
    valid_share: float = 0.2  # of the training rows; leave_one_session_out
    group_by: str | None = None  # k_fold: session, speaker or dialogue
    balance: str = "rows"  # leave_speaker_group_out, k_fold: one of BALANCES
    leave_out_unknown: bool = False  # rows without the unit are in no fold, instead of an error


def make_folds(
    protocol: str, rows: Rows, bases: Sequence[str], options: FoldOptions | None = None
) -> tuple[Folds, Notes]:
    """Divide rows into folds; return these, and notes for the user.

    Raises:
        ValueError: an unknown protocol, rows without its unit, or too few units.
    """
    if protocol not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        raise CodedError(f"{protocol!r} is none of the protocols {known}", "protocol-unknown")
    options = options or FoldOptions()
    _check_options(protocol, options)
    unit = PROTOCOLS[protocol].unit
    notes: Notes = []
    if unit == "row":  # k_fold: the unit that was given, else the coarsest that rows have
        unit = options.group_by or _best_unit(rows)
    if options.group_by or protocol != "k_fold":
        rows = _with_unit(rows, unit, options, notes)
    divide = PROTOCOLS[protocol].divide
    folds = {str(k): sets for k, sets in enumerate(divide(rows, options, notes), start=1)}
    composition = composition_of(folds, rows)
    return Folds(protocol, unit, options.seed, tuple(bases), folds, composition), notes


def _check_options(protocol: str, options: FoldOptions) -> None:
    """Refuse options that the protocol does not read."""
    default = FoldOptions()
    for name in ("n_folds", "valid_share", "group_by", "balance"):
        is_given = getattr(options, name) != getattr(default, name)
        if is_given and name not in PROTOCOLS[protocol].options:
            readers = ", ".join(key for key, x in PROTOCOLS.items() if name in x.options)
            raise CodedError(
                f"--{name.replace('_', '-')} does not act on {protocol}; leave it out, or take "
                f"another protocol ({readers})",
                "option-unused",
            )


def _best_unit(rows: Rows) -> str:
    kinds = {group_of(row)[0] for row in rows}
    return next(unit for unit in ("speaker", "dialogue", "row") if unit in kinds or unit == "row")


def _with_unit(rows: Rows, unit: str, options: FoldOptions, notes: Notes) -> Rows:
    unknown = [row.id for row in rows if getattr(row, unit) is None]
    if unknown and not options.leave_out_unknown:
        raise CodedError(
            f"{len(unknown)} of {len(rows)} rows have no {unit}, which is held out whole: "
            f"{first_few(unknown)}; fill the column, or add --leave-out-unknown",
            "unit-missing",
        )
    if unknown:
        notes.append(f"{len(unknown)} rows have no {unit} and are in no fold")
    return [row for row in rows if getattr(row, unit) is not None]


def _leave_one_session_out(rows: Rows, options: FoldOptions, notes: Notes) -> list[Sets]:
    _note_groups(rows, notes)
    return _test_each_session(rows, [_group_name(row) for row in rows], options)


def _leave_one_session_out_dialogues(rows: Rows, options: FoldOptions, notes: Notes) -> list[Sets]:
    if without := [row.id for row in rows if row.dialogue is None]:
        raise CodedError(
            f"{len(without)} of {len(rows)} rows name no dialogue, which the dev set has whole: "
            f"{first_few(without)}; fill the column, or take leave_one_session_out",
            "unit-missing",
        )
    return _test_each_session(rows, [str(row.dialogue) for row in rows], options)


def _test_each_session(rows: Rows, groups: Sequence[str], options: FoldOptions) -> list[Sets]:
    """Test each session once, and draw whole groups of the others for the dev set."""
    sessions = in_order(row.session for row in rows)
    _check_count(len(sessions), 2, "sessions")
    folds: list[Sets] = []
    drawn: list[frozenset[str]] = []
    for tested in sessions:
        others = [n for n, row in enumerate(rows) if row.session != tested]
        draw = random.Random(f"{options.seed} {tested}")
        dev = draw_dev_set(
            [rows[n] for n in others], [groups[n] for n in others], options.valid_share, draw, drawn
        )
        drawn.append(dev)
        names = [
            "test" if row.session == tested else "valid" if group in dev else "train"
            for row, group in zip(rows, groups, strict=True)
        ]
        folds.append(_sets(rows, names))
    return folds


def _leave_one_speaker_out(rows: Rows, options: FoldOptions, notes: Notes) -> list[Sets]:
    speakers = in_order(row.speaker for row in rows)
    _check_count(len(speakers), 3, "speakers")
    partners = partners_of(rows)
    if alone := [speaker for speaker in speakers if speaker not in partners]:
        notes.append(
            f"no other speaker is in the session of {first_few(alone)}: the next speaker validates"
        )
    folds = []
    for position, tested in enumerate(speakers):
        valid = partners.get(tested) or {speakers[(position + 1) % len(speakers)]}
        set_of = {speaker: "valid" if speaker in valid else "train" for speaker in speakers}
        set_of[tested] = "test"
        folds.append(_sets(rows, [set_of[row.speaker or ""] for row in rows]))
    return folds


def _leave_speaker_group_out(rows: Rows, options: FoldOptions, notes: Notes) -> list[Sets]:
    _check_count(options.n_folds, 3, "folds")
    joined = connected_speakers(rows)
    if len(joined) < options.n_folds:
        raise CodedError(
            f"{len(joined)} groups of speakers who share dialogues are too few for "
            f"{options.n_folds} folds; give a smaller --n-folds, or use k_fold",
            "groups-too-few",
        )
    name_of = {speaker: speakers[0] for speakers in joined for speaker in speakers}
    names = [name_of[row.speaker or ""] for row in rows]
    order = [speakers[0] for speakers in joined]
    return _rotate(rows, _balanced(rows, names, order, options, None), options.n_folds)


def _balanced(
    rows: Rows, names: Sequence[str], order: Sequence[str], options: FoldOptions, seed: int | None
) -> list[int]:
    """Return the group, from 1, of each row."""
    if options.balance == ORDER:
        group = {name: i % options.n_folds for i, name in enumerate(order)}
    elif options.balance in LABEL_COLUMNS:
        labels = [getattr(row, options.balance) for row in rows]
        if not any(labels):
            raise CodedError(
                f"--balance {options.balance}: no row has one; balance rows, or fill the column",
                "labels-missing",
            )
        if max(Counter(labels).values()) < options.n_folds:
            raise CodedError(
                f"--balance {options.balance}: no label has rows for {options.n_folds} folds; "
                "balance rows, or give a smaller --n-folds",
                "labels-missing",
            )
        group = balance_labels(names, labels, options.n_folds, seed)
    else:
        sizes = Counter(names)
        group = balance_rows({name: sizes[name] for name in order}, options.n_folds)
    return [group[name] + 1 for name in names]


def _k_fold(rows: Rows, options: FoldOptions, notes: Notes) -> list[Sets]:
    _check_count(options.n_folds, 3, "folds")
    if options.group_by is None:
        _note_groups(rows, notes)
        names = [_group_name(row) for row in rows]
    else:
        names = [str(getattr(row, options.group_by)) for row in rows]
        pairs = {(row.speaker, name) for row, name in zip(rows, names, strict=True)}
        counts = Counter(speaker for speaker, _ in pairs)
        if repeated := in_order(speaker for speaker, n in counts.items() if n > 1):
            notes.append(
                f"{len(repeated)} speakers are in more than one {options.group_by}, and may be in "
                f"several sets: {first_few(repeated)}"
            )
    sizes = Counter(names)
    _check_count(len(sizes), options.n_folds, "groups")
    groups = sorted(sizes)
    random.Random(options.seed).shuffle(groups)
    return _rotate(rows, _balanced(rows, names, groups, options, options.seed), options.n_folds)


def _group_name(row: Utterance) -> str:
    return " ".join(group_of(row))


def _note_groups(rows: Rows, notes: Notes) -> None:
    kinds = Counter(group_of(row)[0] for row in rows)
    if kinds["dialogue"]:
        named = {row.dialogue for row in rows if row.speaker is not None}
        n_mixed = sum(kind == "dialogue" and name in named for kind, name in map(group_of, rows))
        mixed = (
            f", but for {n_mixed} beside rows of speakers, who may be the same and in another set"
        )
        notes.append(
            f"{kinds['dialogue']} rows have no speaker: their dialogues are kept whole"
            f"{mixed if n_mixed else ''}"
        )
    if kinds["row"]:
        notes.append(
            f"{kinds['row']} rows have neither speaker nor dialogue: they are drawn one by one, "
            "and a speaker may be in several sets"
        )


def _seed_sessions(rows: Rows, options: FoldOptions, notes: Notes) -> list[Sets]:
    sessions = in_order(row.session for row in rows)
    _check_count(len(sessions), 3, "sessions")
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
    sets: dict[str, list[str]] = {split: [] for split in SPLITS}
    for row, name in zip(rows, names, strict=True):
        sets[name].append(row.id)
    return {split: tuple(ids) for split, ids in sets.items()}


def _check_count(count: int, least: int, unit: str) -> None:
    if count < least:
        raise CodedError(
            f"{count} {unit} are too few: at least {least} are needed", "groups-too-few"
        )


# -- Groups: rows that are divided as a whole ------------------------------------------------------

_NUMBER = re.compile(r"(\d+)")


def group_of(row: Utterance) -> tuple[str, str]:
    """Return a row's speaker, else its dialogue, else its id, such as ("speaker", "Ses01_F")."""
    if row.speaker is not None:
        return "speaker", row.speaker
    return ("dialogue", row.dialogue) if row.dialogue is not None else ("row", row.id)


def in_order(values: Iterable[str | None]) -> list[str]:
    """Return the distinct values but None, sorted with numbers in them by size.

    >>> in_order(["s10", "s9", None, "s9"])
    ['s9', 's10']
    """
    return sorted({value for value in values if value is not None}, key=_by_number)


def _by_number(value: str) -> tuple[list[str | int], str]:
    parts = _NUMBER.split(value)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], value


def connected_speakers(rows: Sequence[Utterance]) -> list[list[str]]:
    """Return the connected components of speakers who share dialogues, by their first names."""
    component_of = {speaker: {speaker} for speaker in in_order(row.speaker for row in rows)}
    first_speaker: dict[str, str] = {}  # of a dialogue
    for row in rows:
        if row.dialogue is None or row.speaker is None:
            continue
        own = component_of[row.speaker]
        other = component_of[first_speaker.setdefault(row.dialogue, row.speaker)]
        if own is not other:
            own |= other
            component_of.update(dict.fromkeys(other, own))
    unique = {id(component): component for component in component_of.values()}
    return [in_order(component) for component in unique.values()]


def partners_of(rows: Sequence[Utterance]) -> dict[str, set[str]]:
    """Return {speaker: the others in the speaker's only session}, unless these are all speakers.

    Empty if a speaker is in several sessions, or has rows without one.
    """
    sessions: dict[str, set[str | None]] = {}
    for row in rows:
        if row.speaker is not None:
            sessions.setdefault(row.speaker, set()).add(row.session)
    if any(len(names) > 1 or None in names for names in sessions.values()):
        return {}
    partners = {
        speaker: {other for other in sessions if other != speaker and sessions[other] == names}
        for speaker, names in sessions.items()
    }
    return {s: others for s, others in partners.items() if 0 < len(others) < len(sessions) - 1}


@dataclass(frozen=True)
class Protocol:
    """How one protocol divides rows, and what its sets may not share.

    Attributes:
        unit: what is held out whole: "session", "speaker", "dialogue" or "row".
        divide: makes the sets of each fold.
        options: of `FoldOptions` that it reads, beside the seed and unknown units.
        train_test: columns of which train and test share no value; likewise the other pairs.
            Empty: the unit alone.
    """

    unit: str
    divide: Callable[[Rows, FoldOptions, Notes], list[Sets]]
    options: tuple[str, ...] = ()
    train_test: tuple[str, ...] = ()
    valid_test: tuple[str, ...] = ()
    train_valid: tuple[str, ...] = ()

    def disjoint(self, pair: Collection[str]) -> tuple[str, ...]:
        """Return the columns of which two sets share no value."""
        if "test" not in pair:
            return self.train_valid
        return self.train_test if "train" in pair else self.valid_test


_TALK = ("speaker", "dialogue")
_ALL_UNITS = ("session", "speaker", "dialogue")
PROTOCOLS = {
    "leave_one_session_out": Protocol(
        "session", _leave_one_session_out, ("valid_share",), _ALL_UNITS, _ALL_UNITS, ("speaker",)
    ),
    "leave_one_session_out_dialogues": Protocol(
        "session",
        _leave_one_session_out_dialogues,
        ("valid_share",),
        _ALL_UNITS,
        _ALL_UNITS,
        ("dialogue",),
    ),
    "leave_one_speaker_out": Protocol(  # may validate on the tested speaker's dialogue partner
        "speaker", _leave_one_speaker_out, (), _TALK, ("speaker",), ("speaker",)
    ),
    "leave_speaker_group_out": Protocol(
        "speaker", _leave_speaker_group_out, ("n_folds", "balance"), _TALK, _TALK, _TALK
    ),
    # The unit is a coarser one than the row, if the rows have one.
    "k_fold": Protocol("row", _k_fold, ("n_folds", "group_by", "balance")),
    "seed_sessions": Protocol("session", _seed_sessions, (), _ALL_UNITS, _ALL_UNITS, _ALL_UNITS),
}


# -- Leaks: what two sets of a fold share though the protocol keeps it apart -----------------------


def check_leaks(folds: Folds, utterances: Iterable[Utterance]) -> list[str]:
    """Return a sentence for each value that two sets of a fold share against the protocol.

    A missing value (None) is shared with nobody: "Unknown" is no speaker. For a protocol that is
    not in `PROTOCOLS`, only its unit is checked.
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
    protocol = PROTOCOLS.get(folds.protocol)
    unit = "id" if folds.unit == "row" else folds.unit
    for key in (protocol and protocol.disjoint(pair)) or (unit,):
        first, second = (
            {value: None for id_ in ids if (value := getattr(row_of[id_], key)) is not None}
            for ids in pair.values()
        )
        if shared := [value for value in first if value in second]:
            subject = f"{key} {shared[0]} is" if len(shared) == 1 else f"{len(shared)} {key}s are"
            names = "" if len(shared) == 1 else f": {first_few(shared)}"
            yield f"{subject} in {' and '.join(pair)}{names}"
