"""The data dir of a training: the one that is given, or one that is prepared from a source.

A data dir that ``train`` prepares holds ``prepared_from.json``: the source, the command, and a
digest of the source's content. The same source and options use it again; others are refused, and
so is a source that has changed since.
"""

import argparse
import itertools
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.files.documents import Document, load_json
from data_prep.files.replacing import write_atomically
from data_prep.schema import CORPUS_FILE
from data_prep.sources import Source, find_source
from emo_fairseq.cli import processes
from emo_fairseq.cli.train.source_digest import digest_of, digest_of_features, digest_of_linked
from emo_fairseq.encoder_spec import features_name
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import MODALITIES, VIDEO, parse_modalities

_DATA_DIR, _DATA_RAW = "--data-dir", "--data-raw"
_RECORD_FILE = "prepared_from.json"
_REMEDY = "remove it, and run the command again"
_DATA = Path("data")  # of the folder in which the user works


class PreparationRecord(Document):
    """Schema of ``prepared_from.json``.

    Attributes:
        source: absolute path, or the name on a hub.
        digest: of its content, see :func:`digest_of`, and of the names of files of features; empty
            where it is not on this disk.
        command: module of data_prep.
        options: words of the command line after the source and the data dir.
    """

    source: str
    digest: str
    command: str
    options: list[str]


@dataclass(frozen=True)
class DataFolder:
    """A data dir that is there, or how to prepare it.

    Attributes:
        name: of the corpus, and of its folder of checkpoints.
        folder: the data dir.
        data_raw: ``--data-raw`` of the commands that read it; None where corpus.yaml has it.
        is_legacy: whether it is in the legacy layout, which has tokens and no audio.
        prepare: command that writes it; empty where it is there.
        record: of what it is prepared from; None where it was given.
    """

    name: str
    folder: Path
    data_raw: Path | None = None
    is_legacy: bool = False
    prepare: Sequence[str] = ()
    record: PreparationRecord | None = None

    def begin(self) -> None:
        """Record what the data dir is going to be prepared from."""
        if self.record is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(self.record.model_dump(), indent=2, ensure_ascii=False)
            write_atomically(self.folder / _RECORD_FILE, f"{text}\n")


def find_data(options: argparse.Namespace) -> tuple[DataFolder, list[str]]:
    """Find the data dir of a training, or plan its preparation.

    Returns:
        The data dir, and notes for the user.

    Raises:
        CodedError: there is no such source, or its options have no effect.
        UsageError: the data dir was prepared from something else.
    """
    source = find_source(options.source)
    folder = options.data_dir or _DATA / (options.name or source.name)
    if source.is_prepared:
        source.prepare_words(folder, options)  # refuses options of tables
        if options.data_dir is not None:
            raise UsageError(
                f"--data-dir does not act: {source.path} is a data dir already; leave it out",
                "option-unused",
            )
        is_legacy = source.kind == "legacy"
        return DataFolder(source.name, source.path, options.data_raw, is_legacy), []
    command, *words = source.prepare_words(folder, options, options.words)
    _check_video(options, source, words)
    record = PreparationRecord(
        source=_absolute(source),
        digest=digest_of(source.path)
        + digest_of_features(options.feature_files)
        + digest_of_linked(source.path),  # last, since older versions have none
        command=command,
        options=words[words.index(str(folder)) + 1 :],
    )
    known = _read_record(folder)
    is_prepared = (folder / CORPUS_FILE).is_file()
    _check_folder(folder, source, record, known, is_prepared, options.words)
    name = folder.resolve().name
    if is_prepared:
        note = f"{folder}: was prepared from {source.path} by the same options, and is used again"
        return DataFolder(name, folder, options.data_raw), [note]
    _check_features(options, source)
    words = processes.module(f"data_prep.{command}", *words)
    return DataFolder(name, folder, prepare=words, record=record), []


def _check_video(options: argparse.Namespace, source: Source, words: Sequence[str]) -> None:
    """Refuse to prepare, for a training on videos, what has none."""
    if options.modality is None or VIDEO not in parse_modalities(options.modality):
        return
    if features_name(options.video_encoder):
        return  # see _check_features
    if not source.has_videos(words):
        raise UsageError(
            f"--modality {options.modality}: no rows of {source.path} have videos; give their "
            "folder (MELD: --video FOLDER), or the column of a table (--column video=COLUMN), or "
            "leave video out",
            "column-empty",
        )


def _check_features(options: argparse.Namespace, source: Source) -> None:
    """Refuse to prepare what has not the features that the encoders read."""
    linked = [text.partition("=")[0] for text in options.feature_files]
    for modality in MODALITIES:
        name = features_name(getattr(options, f"{modality}_encoder"))
        if name and name not in linked:
            raise UsageError(
                f"--{modality}-encoder features:{name}: {source.path} is no data dir yet, and has "
                f"no features; give --feature-files {name}=FOLDER, where a file ID.npy is of each "
                "row of a table, or prepare it, extract features by `python -m "
                "data_prep.extract_features`, and train on the data dir",
                "features-missing",
            )


def _absolute(source: Source) -> str:
    return str(source.path.resolve()) if source.path.exists() else str(source.path)


def _read_record(folder: Path) -> PreparationRecord | None:
    file = folder / _RECORD_FILE
    return load_json(file, PreparationRecord, remedy=_REMEDY) if file.is_file() else None


def _check_folder(
    folder: Path,
    source: Source,
    record: PreparationRecord,
    known: PreparationRecord | None,
    is_prepared: bool,
    asked: Sequence[str],
) -> None:
    """Refuse to write into, or to train on, a folder that holds something else."""
    if known is None and is_prepared:
        raise UsageError(
            f"{folder}: is a data dir that was not prepared from {source.path} by train; give "
            f"another --data-dir, or train on it by `emotion-recognize train {folder}`",
            "data-dir-in-use",
        )
    if known is None and folder.exists() and any(folder.iterdir()):
        raise UsageError(
            f"{folder}: is not empty, and no data dir; give another --data-dir", "data-dir-in-use"
        )
    if known is None or not is_prepared or _is_same(known, record):
        return
    if known.source != record.source:
        difference = f"from {known.source}, and not from {source.path}"
    elif (known.command, known.options) != (record.command, record.options):
        difference = _difference(known.options, record.options)
    else:
        has_features = "--feature-files" in record.options
        changed = " or a folder of --feature-files" if has_features else ""
        difference = f"before {source.path}{changed} has changed"
    words = _without(asked, _DATA_DIR)
    end = words.index("--") if "--" in words else len(words)
    raise UsageError(
        f"{folder}: was prepared {difference}; remove {folder}, or prepare another one: "
        f"{shlex.join([*words[:end], _DATA_DIR, str(_free(folder)), *words[end:]])}",
        "data-dir-in-use",
    )


def _difference(before: Sequence[str], now: Sequence[str]) -> str:
    """Return how the options of a preparation differ from those that are given now."""
    parts = {"with": (before, now), "without": (now, before)}
    shown = [
        f"{word} {' '.join(differing)}"
        for word, (some, others) in parts.items()
        if (differing := [x for x in _by_option(some) if x not in _by_option(others)])
    ]
    return " and ".join(shown) or "by another command"


def _by_option(words: Sequence[str]) -> list[str]:
    """Join each option with its values.

    >>> _by_option(["--vad-scale", "1", "5", "--no-quotes"])
    ['--vad-scale 1 5', '--no-quotes']
    """
    options: list[str] = []
    for word in words:
        if word.startswith("--") or not options:
            options.append(shlex.quote(word))
        else:
            options[-1] += f" {shlex.quote(word)}"
    return options


def _free(folder: Path) -> Path:
    """Return a folder beside another one, with the first number at its end that is free."""
    names = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    return next(name for name in names if not name.exists())


def _is_same(known: PreparationRecord, record: PreparationRecord) -> bool:
    """Return whether a data dir was prepared from the same; older versions digested less."""
    if record.digest.startswith(known.digest):
        known = known.model_copy(update={"digest": record.digest})
    return _without_place(known) == _without_place(record)


def _without_place(record: PreparationRecord) -> PreparationRecord:
    """Return a record without ``--data-raw``: recordings that were moved are the same ones."""
    return record.model_copy(update={"options": without_data_raw(record.options)})


def without_data_raw(words: Sequence[str]) -> list[str]:
    """Return the words of a command without the folder of the recordings.

    >>> without_data_raw(["--name", "calls", "--data-raw", "recordings", "--seed", "1"])
    ['--name', 'calls', '--seed', '1']
    """
    return _without(words, _DATA_RAW)


def _without(words: Sequence[str], option: str) -> list[str]:
    """Return words without an option and its value."""
    kept = [word for word in words if not word.startswith(f"{option}=")]
    while option in kept:
        start = kept.index(option)
        del kept[start : start + 2]
    return kept
