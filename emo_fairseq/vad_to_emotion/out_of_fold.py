"""Predictions of the train split by models that had not seen these rows, and the proof of it.

A regressor is better on its own training rows than on others, so a forest that is fitted on those
trusts it too much. Each train row has to be predicted by a model that has not seen it. The proof is
the record of rows beside each predictions file, or, where that is missing, what the sweep wrote
beside it and the file of folds.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_prep.folds.file import FOLDS_FOLDER, read_folds
from data_prep.folds.records import Folds
from data_prep.manifest.provenance import (
    Provenance,
    read_beside,
    seen_rows,
)
from data_prep.messages import first_few
from data_prep.schema import SPLITS, Utterance, read_corpus, read_manifest
from emo_fairseq.data.leaks import (
    HeldOut,
    LeakGuard,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.options.option import Kind
from emo_fairseq.options.registered import kind_of
from emo_fairseq.types import (
    SPEECH,
    TEXT,
    parse_modalities,
)
from emo_fairseq.vad_to_emotion.forest import RECORD
from emo_fairseq.vad_to_emotion.rows import (
    VadRows,
    check_truth,
    gold_vad,
    read_vad,
)

TRAIN = "train"
MADE_BY_ZERO_SHOT = "zero_shot"  # key of what stands beside predictions by untrained models
_HEARD: Mapping[str, Callable[[Utterance], object]] = {
    TEXT: lambda row: row.text,
    SPEECH: lambda row: row.audio,
}


class Unseen(NamedTuple):
    """Predictions of the train split, each row by a model that had not seen it.

    Attributes:
        vad: the rows in the order of train.tsv.
        system: the options of the models.
        record: the rows that the models have seen; of all folds together, every row.
        notes: on rows without a prediction.
    """

    vad: VadRows
    system: dict[str, Any]
    record: Provenance
    notes: list[str]


def read_unseen(files: Sequence[Path], data: Path, allows: bool = False) -> Unseen:
    """Out-of-fold (or zero-shot) predictions of the train split, each row once.

    Args:
        files: of the folds, as ``experiments.sweep`` or ``experiments.score`` wrote them, each with
            its JSON; or one of ``zero-shot --split train``.
        data: the data dir.
        allows: ``--allow-leak``: rows that a model has seen are warned of, not refused.

    Raises:
        UsageError: a file without a record of what its model has seen, or which has seen its own;
            rows double or missing; models that differ in more than their folds.
    """
    rows = {row.id: row for row in read_manifest(data / f"{TRAIN}.tsv")}
    facts = [read_facts(file) for file in files]
    parts, record = [], Provenance()
    for file, about in zip(files, facts, strict=True):
        part, seen = read_vad(file), read_beside(file)
        if seen is None or about.get(MADE_BY_ZERO_SHOT):
            _check_facts(part, about, data)
        elif strange := [name for name in part.ids if name not in rows]:
            raise UsageError(
                f"{file}: {len(strange)} of {len(part)} rows are not in {TRAIN} of {data}, which "
                f"the forest is fitted on: {first_few(strange)}; give predictions of its rows"
            )
        check_truth(part, rows, data)
        if seen is not None:
            name = f"test ({file.name})"  # which may not have selected the checkpoint either
            guard = guard_of(name, (rows[row_id] for row_id in part.ids), data, allows)
            guard.check("--predictions", file, seen)
            record = record.merged(guard.accepted)
        parts.append(part)
    _refuse_doubles(parts)
    systems = [system_of(one) for one in facts]
    for file, system in zip(files, systems, strict=True):
        if changed := changes(systems[0], system):
            raise UsageError(
                f"{file}: another model than that of {files[0]} ({', '.join(changed[:3])}); "
                "give the folds of one regressor"
            )
    order = [name for part in parts for name in part.ids]
    joined = VadRows(
        files[0],
        TRAIN,
        tuple(order),
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.prediction for part in parts]),
    )
    there = set(order)
    notes = _absent(rows, there, facts[0])
    vad = joined.of([name for name in rows if name in there])
    return Unseen(vad, systems[0], record, notes)


def _check_facts(found: VadRows, facts: Mapping[str, Any], data: Path) -> None:
    """See by the facts beside a file without a record that its model had not seen its rows."""
    file = found.file
    if facts.get(MADE_BY_ZERO_SHOT):
        if found.split != TRAIN:
            raise UsageError(f"{file}: of the split {found.split}; make it with --split {TRAIN}")
        return
    fold = _fold_of(file, facts, data)
    refuse_other_runs(file, facts)
    protocol, _, number = fold.partition("/")
    folds = _read_folds(data, protocol)
    if number not in folds.folds:
        raise UsageError(f"{file}: of fold {fold}, which {data} does not have")
    sets = folds.folds[number]
    seen = {name for split in SPLITS[:2] for name in sets[split]}
    if known := [name for name in found.ids if name in seen]:
        raise UsageError(
            f"{file}: {len(known)} of {len(found)} rows trained the model of fold {fold}, or chose "
            f"its checkpoint: {first_few(known)}; score its own test set"
        )
    if strange := [name for name in found.ids if name not in set(sets["test"])]:
        raise UsageError(
            f"{file}: {len(strange)} rows are not in the test set of fold {fold}: "
            f"{first_few(strange)}; the folds were made anew, so train them again"
        )


def _fold_of(file: Path, facts: Mapping[str, Any], data: Path) -> str:
    """``k_fold/1``, as it was recorded when the file was written."""
    refuse_unknown(
        file, facts, "make it with python -m emo_fairseq.experiments.sweep --folds PROTOCOL"
    )
    name = read_corpus(data).name
    scored_elsewhere = (facts.get("set") or {}).get("data")
    if scored_elsewhere or facts.get("trained_on") != name:
        raise UsageError(
            f"{file}: of a model that was trained on {facts.get('trained_on')}, not on a fold of "
            f"{name}; give the predictions that the sweep over {data} wrote"
        )
    fold = (facts.get("options") or {}).get("task.fold")
    if not fold:
        raise UsageError(
            f"{file}: its model was trained on the whole train split, so it has seen the rows that "
            "the forest is fitted on; give the predictions of a sweep with --folds PROTOCOL"
        )
    return str(fold)


def _read_folds(data: Path, protocol: str) -> Folds:
    try:
        folds = read_folds(data / FOLDS_FOLDER / f"{protocol}.json")
    except ValueError as error:
        raise UsageError(str(error)) from error
    if folds.bases != (TRAIN,):
        raise UsageError(
            f"{data}: the folds of {protocol} divide {', '.join(folds.bases)}, so that other rows "
            f"than those of {TRAIN} train the models; make them with --base {TRAIN}"
        )
    return folds


def _refuse_doubles(parts: Sequence[VadRows]) -> None:
    times = Counter(name for part in parts for name in part.ids)
    if twice := [name for name, n in times.items() if n > 1]:
        raise UsageError(
            f"{len(twice)} of {len(times)} train rows are predicted more than once: "
            f"{first_few(twice)}; give each fold once, of one seed"
        )


def _absent(rows: Mapping[str, Utterance], there: set[str], facts: Mapping[str, Any]) -> list[str]:
    """What rows without a prediction lack; a `UsageError` where they lack nothing."""
    is_zero_shot = bool(facts.get(MADE_BY_ZERO_SHOT))
    modality = TEXT if is_zero_shot else (facts.get("options") or {}).get("task.modality", TEXT)
    heard = [_HEARD.get(word) for word in parse_modalities(str(modality))]
    reasons: dict[str, list[str]] = {"no VAD": [], f"no {modality}": [], "": []}
    for name, row in rows.items():
        if name in there:
            continue
        has_truth = is_zero_shot or any(value == value for value in gold_vad(row))
        deaf = all(values is not None and values(row) is None for values in heard)
        reason = "no VAD" if not has_truth else f"no {modality}" if deaf else ""
        reasons[reason].append(name)
    if missing := reasons.pop(""):
        raise UsageError(
            f"{len(missing)} of {len(rows)} train rows have no prediction: {first_few(missing)}; "
            "give the predictions of all folds"
        )
    return [
        f"{len(names)} train rows have {reason}, and are left out: {first_few(names)}"
        for reason, names in reasons.items()
        if names
    ]


# --- Whether a forest, or the model behind a predictions file, has seen the rows it is used on ----


def guard_of(name: str, rows: Iterable[Utterance], data: Path, allows: bool) -> LeakGuard:
    """Compares records with rows of a data dir.

    Args:
        name: of the rows; where it begins with ``test``, they may have selected nothing either.
        rows: that must not have been seen.
        data: the data dir.
        allows: ``--allow-leak``.
    """
    return LeakGuard(lambda: HeldOut({name: list(rows)}, read_corpus(data).name, None), allows)


def fitted_on(rows: Iterable[Utterance], data: Path, split: str) -> Provenance:
    """The record of the rows that a forest is fitted on."""
    return seen_rows(rows, read_corpus(data).name, split)


def forest_record(about: Mapping[str, Any], file: str | Path = "the forest") -> Provenance | None:
    """What a forest was fitted on; None of one that does not record it.

    Raises:
        data_prep.errors.ManifestError: the record cannot be read.
    """
    return Provenance.from_state(about[RECORD], file) if RECORD in about else None


def leak_notes(record: Provenance) -> list[str]:
    """Return the notes below a table that was made with allowed leaks."""
    return [f"leak allowed: {leak}" for leak in record.allowed]


# --- What a model of VAD was trained with, by what stands beside its predictions file -------------

_SECTIONS = ("task.", "model.", "criterion.", "optimizer.", "optimization.", "lr_scheduler.")
_OF_ONE_FOLD = ("task.fold", "task.data", "task.data_raw", "task.cache_dir")
# Values of options that take another training's file, which name none.
_OF_NO_RUN = ("", "checkpoint_last.pt", "published")


def refuse_unknown(file: Path, facts: Mapping[str, Any], remedy: str) -> None:
    """Raise a `UsageError` if nothing stands beside a predictions file."""
    if not facts:
        raise UsageError(f"{file}: nothing beside it says which rows trained its model; {remedy}")


def refuse_other_runs(file: Path, facts: Mapping[str, Any]) -> None:
    """Raise a `UsageError` if a model began from, or was taught by, what another training left.

    That one may have seen the rows that the model's own fold keeps from it.
    """
    options = facts.get("options") or {}
    found = [
        f"{name}={value}"
        for name, value in sorted(options.items())
        if isinstance(value, str) and value not in _OF_NO_RUN and kind_of(name) is Kind.OTHER_RUN
    ]
    if found:
        raise UsageError(
            f"{file}: its model learned from another training ({first_few(found)}), and nothing "
            "says that this one had not seen the rows; train the folds without it"
        )


def system_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a model was trained with, but those in which folds differ."""
    options = dict(facts.get("options") or {})
    return {
        name: value
        for name, value in options.items()
        if name not in _OF_ONE_FOLD and (name == "common.seed" or name.startswith(_SECTIONS))
    }


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How two systems differ, in words."""
    return [
        f"{name} {before.get(name)} -> {now.get(name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
