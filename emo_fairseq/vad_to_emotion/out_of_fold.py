"""Out-of-fold predictions: each train row by a model that has not seen it, and the proof of that.

A regressor is better on its own training rows than on others, so a forest that is fitted on those
trusts it too much. The proof is the record of rows beside each predictions file, or, where that is
missing, the facts that the sweep wrote beside it and the file of folds.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_prep.folds.file import FOLDS_FOLDER, read_folds
from data_prep.folds.records import Folds
from data_prep.manifest.provenance import Provenance, read_beside
from data_prep.messages import first_few
from data_prep.schema import SPLITS, TRAIN, Utterance, read_corpus, read_manifest
from emo_fairseq.checkpoint_files import LAST
from emo_fairseq.data.leaks import HeldOut, LeakGuard
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.modalities import SPEECH, TEXT, parse_modalities
from emo_fairseq.options.differences import changed_options
from emo_fairseq.options.option import Kind
from emo_fairseq.options.registered import kind_of
from emo_fairseq.vad_to_emotion.forest import RECORD
from emo_fairseq.vad_to_emotion.rows import Notes, VadRows, check_truth, gold_vad, read_vad

MADE_BY_ZERO_SHOT = "zero_shot"  # key of the facts beside predictions by untrained models
_INPUT: Mapping[str, Callable[[Utterance], object]] = {
    TEXT: lambda row: row.text,
    SPEECH: lambda row: row.audio,
}
_SECTIONS = ("task.", "model.", "criterion.", "optimizer.", "optimization.", "lr_scheduler.")
# Values of options that take another training's file, which name none.
_NO_OTHER_RUN = ("", LAST, "published")


class Unseen(NamedTuple):
    """Predictions of the train split, each row by a model that has not seen it.

    Attributes:
        vad: the rows in the order of train.tsv.
        system: the options of the models.
        record: the rows that the models have seen; of all folds together, every row.
        notes: on rows without a prediction.
    """

    vad: VadRows
    system: dict[str, Any]
    record: Provenance
    notes: Notes


def read_unseen(files: Sequence[Path], data: Path, allow_leak: bool = False) -> Unseen:
    """Load out-of-fold (or zero-shot) predictions of the train split, each row once.

    Args:
        files: of the folds, as ``experiments.sweep`` or ``experiments.score`` wrote them, each with
            its JSON; or one of ``zero-shot --split train``.
        data: the data dir.
        allow_leak: ``--allow-leak``: rows that a model has seen are warned of, not refused.

    Raises:
        UsageError: a file has no record of the rows that its model has seen, or the model has seen
            rows of its own file; rows are double or missing; models differ in more than folds.
    """
    rows = {row.id: row for row in read_manifest(data / f"{TRAIN}.tsv")}
    facts = [read_facts(file) for file in files]
    parts, record = [], Provenance()
    for file, about in zip(files, facts, strict=True):
        part, seen = read_vad(file), read_beside(file)
        if seen is None or about.get(MADE_BY_ZERO_SHOT):
            _check_facts(part, about, data)
        elif unknown := [name for name in part.ids if name not in rows]:
            raise UsageError(
                f"{file}: {len(unknown)} of {len(part)} rows are not in {TRAIN} of {data}, which "
                f"the forest is fitted on: {first_few(unknown)}; give predictions of its rows",
                "rows-unknown",
            )
        check_truth(part, rows, data)
        if seen is not None:
            # A name that begins with test: the rows may not have selected the checkpoint either.
            name = f"test ({file.name})"
            guard = guard_of(name, (rows[row_id] for row_id in part.ids), data, allow_leak)
            guard.check("--predictions", file, seen)
            record = record.merged(guard.accepted)
        parts.append(part)
    _refuse_doubles(parts)
    systems = [regressor_options(about) for about in facts]
    for file, system in zip(files, systems, strict=True):
        if changed := changed_options(systems[0], system):
            raise UsageError(
                f"{file}: another model than that of {files[0]} ({', '.join(changed[:3])}); "
                "give the folds of one regressor",
                "regressors-differ",
            )
    joined = VadRows(
        files[0],
        TRAIN,
        tuple(name for part in parts for name in part.ids),
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.prediction for part in parts]),
    )
    predicted = set(joined.ids)
    notes = _notes_on_missing(rows, predicted, facts[0])
    vad = joined.select([name for name in rows if name in predicted])
    return Unseen(vad, systems[0], record, notes)


def _check_facts(vad: VadRows, facts: Mapping[str, Any], data: Path) -> None:
    """Check by the facts beside a file without a record that its model has not seen its rows."""
    file = vad.file
    if facts.get(MADE_BY_ZERO_SHOT):
        if vad.split != TRAIN:
            raise UsageError(
                f"{file}: of the split {vad.split}; make it with --split {TRAIN}", "split-not-train"
            )
        return
    fold = _fold_of(file, facts, data)
    refuse_other_runs(file, facts)
    protocol, _, number = fold.partition("/")
    folds = _read_folds(data, protocol)
    if number not in folds.folds:
        raise UsageError(
            f"{file}: of fold {fold}, which {data} does not have; name its own data dir",
            "fold-unknown",
        )
    sets = folds.folds[number]
    seen = {name for split in SPLITS[:2] for name in sets[split]}
    if in_training := [name for name in vad.ids if name in seen]:
        raise UsageError(
            f"{file}: {len(in_training)} of {len(vad)} rows trained the model of fold {fold}, or "
            f"selected its checkpoint: {first_few(in_training)}; score its own test set",
            "rows-seen",
        )
    if unknown := [name for name in vad.ids if name not in set(sets["test"])]:
        raise UsageError(
            f"{file}: {len(unknown)} rows are not in the test set of fold {fold}: "
            f"{first_few(unknown)}; the folds were made anew, so train them again",
            "rows-unknown",
        )


def _fold_of(file: Path, facts: Mapping[str, Any], data: Path) -> str:
    """The fold, such as ``k_fold/1``, by the facts beside the file."""
    remedy = "make it with python -m emo_fairseq.experiments.sweep --folds PROTOCOL"
    refuse_without_facts(file, facts, remedy)
    name = read_corpus(data).name
    scored_elsewhere = (facts.get("set") or {}).get("data")
    if scored_elsewhere or facts.get("trained_on") != name:
        raise UsageError(
            f"{file}: of a model that was trained on {facts.get('trained_on')}, not on a fold of "
            f"{name}; give the predictions that the sweep over {data} wrote",
            "corpora-differ",
        )
    fold = (facts.get("options") or {}).get("task.fold")
    if not fold:
        raise UsageError(
            f"{file}: its model was trained on the whole train split, so it has seen the rows that "
            "the forest is fitted on; give the predictions of a sweep with --folds PROTOCOL",
            "rows-seen",
        )
    return str(fold)


def _read_folds(data: Path, protocol: str) -> Folds:
    folds = read_folds(data / FOLDS_FOLDER / f"{protocol}.json")
    if folds.bases != (TRAIN,):
        raise UsageError(
            f"{data}: the folds of {protocol} divide {', '.join(folds.bases)}, so that other rows "
            f"than those of {TRAIN} train the models; make them with --base {TRAIN}",
            "folds-not-of-train",
        )
    return folds


def _refuse_doubles(parts: Sequence[VadRows]) -> None:
    times = Counter(name for part in parts for name in part.ids)
    if doubles := [name for name, n in times.items() if n > 1]:
        raise UsageError(
            f"{len(doubles)} of {len(times)} train rows are predicted more than once: "
            f"{first_few(doubles)}; give each fold once, of one seed",
            "rows-duplicate",
        )


def _notes_on_missing(
    rows: Mapping[str, Utterance], predicted: set[str], facts: Mapping[str, Any]
) -> Notes:
    """Why rows have no prediction; a `UsageError` where there is no reason."""
    is_zero_shot = bool(facts.get(MADE_BY_ZERO_SHOT))
    modality = TEXT if is_zero_shot else (facts.get("options") or {}).get("task.modality", TEXT)
    inputs = [_INPUT.get(name) for name in parse_modalities(str(modality))]
    without: dict[str, list[str]] = {"no VAD": [], f"no {modality}": [], "": []}
    for name, row in rows.items():
        if name in predicted:
            continue
        has_truth = is_zero_shot or any(value == value for value in gold_vad(row))
        has_input = any(value is None or value(row) is not None for value in inputs)
        reason = "no VAD" if not has_truth else "" if has_input else f"no {modality}"
        without[reason].append(name)
    if missing := without.pop(""):
        raise UsageError(
            f"{len(missing)} of {len(rows)} train rows have no prediction: {first_few(missing)}; "
            "give the predictions of all folds",
            "rows-missing",
        )
    return [
        f"{len(names)} train rows have {reason}, and are left out: {first_few(names)}"
        for reason, names in without.items()
        if names
    ]


# --- Records of the rows that a forest, or the model behind a predictions file, has seen ----------


def guard_of(name: str, rows: Iterable[Utterance], data: Path, allow_leak: bool) -> LeakGuard:
    """Return a guard that compares records with rows of a data dir.

    Rows whose `name` begins with ``test`` may have selected nothing either.
    """
    held_out = HeldOut({name: list(rows)}, read_corpus(data).name, None)
    return LeakGuard(lambda: held_out, allow_leak)


def forest_record(about: Mapping[str, Any]) -> Provenance | None:
    """Return the record of the rows that a forest was fitted on; None where it has none.

    Raises:
        data_prep.errors.ManifestError: the record cannot be read.
    """
    return Provenance.from_state(about[RECORD], "the forest") if RECORD in about else None


def leak_notes(record: Provenance) -> list[str]:
    """Return the notes below a table that was made with allowed leaks, or transductively."""
    notes = [f"leak allowed: {leak}" for leak in record.allowed]
    return notes + [f"transductive: {note}" for note in record.transductive]


# --- The options of a regressor, by the facts beside its predictions file -------------------------


def refuse_without_facts(file: Path, facts: Mapping[str, Any], remedy: str) -> None:
    """Raise a `UsageError` if there are no facts beside a predictions file."""
    if not facts:
        raise UsageError(
            f"{file}: nothing beside it records which rows trained its model; {remedy}",
            "facts-missing",
        )


def refuse_other_runs(file: Path, facts: Mapping[str, Any]) -> None:
    """Raise a `UsageError` if a model began from, or was taught by, another training.

    That training may have seen the rows that the model's own fold holds out.
    """
    options = facts.get("options") or {}
    others = [
        f"{name}={value}"
        for name, value in sorted(options.items())
        if isinstance(value, str) and value not in _NO_OTHER_RUN and kind_of(name) is Kind.OTHER_RUN
    ]
    if others:
        raise UsageError(
            f"{file}: its model learned from another training ({first_few(others)}), and nothing "
            "records that this one has not seen the rows; train the folds without it",
            "other-run-unrecorded",
        )


def regressor_options(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a model was trained with, but those in which folds differ."""
    options = dict(facts.get("options") or {})
    return {
        name: value
        for name, value in options.items()
        if (name == "common.seed" or name.startswith(_SECTIONS))
        and kind_of(name) not in (Kind.DATA, Kind.OUTPUT)
    }
