"""A model folder held to what its export wrote: records of its files, in ``config.json``.

``files`` there has size and SHA-256 of every other file that a model reads, its graph included;
``digest`` is of all the rest of ``config.json``, so that labels cannot change places in it either.
The card, README.md, is for people, who may edit it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_prep.files.documents import (
    JsonObject,
    load_json,
)
from data_prep.files.integrity import Records, records_of, verify, warn_unverified
from data_prep.files.replacing import replacing
from emo_fairseq.errors import UsageError

CONFIG_FILE = "config.json"
GRAPH_FILE = "model.onnx"  # and what begins so: its weights, if they are large
FILES, DIGEST = "files", "digest"

_FOR_PEOPLE = "README.md"
_COPY_OR_EXPORT_AGAIN = "copy the folder again, or export the checkpoint again"


def seal(folder: Path) -> None:
    """Write the records of all files of a complete model folder into its ``config.json``."""
    file = folder / CONFIG_FILE
    content: dict[str, Any] = load_json(file, JsonObject, remedy=_COPY_OR_EXPORT_AGAIN)
    content[FILES] = records_of(folder, _files(folder))
    content[DIGEST] = _digest(content)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(file) as part:
        part.write_text(f"{text}\n", encoding="utf-8")


def verify_folder(folder: Path, content: Mapping[str, Any]) -> None:
    """Hold a model folder to its records; those of the graph are left to :func:`verify_graph`.

    Args:
        folder: the model folder.
        content: of its ``config.json``.

    Raises:
        UsageError: a file is missing, damaged or exchanged, or one has come to the tokenizers;
            names it.
    """
    file = folder / CONFIG_FILE
    if DIGEST not in content:
        warn_unverified(file, "export the checkpoint again, which adds it")
        return
    if content[DIGEST] != _digest(content):
        raise UsageError(f"{file}: was changed since it was exported; {_COPY_OR_EXPORT_AGAIN}")
    records: Records = content[FILES]
    _verify_files(folder, {name: x for name, x in records.items() if not _is_of_graph(name)})
    added = [name for name in _files(folder) if "/" in name and name not in records]
    folders = {name.partition("/")[0] for name in records if "/" in name}
    if strange := [name for name in added if name.partition("/")[0] in folders]:
        raise UsageError(
            f"{folder / strange[0]}: is not of the export, and a tokenizer may read it; remove it, "
            f"or {_COPY_OR_EXPORT_AGAIN}"
        )


def verify_graph(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    """Hold the graph of a model folder to its records.

    Args:
        folder: the model folder.
        records: of its ``config.json``; empty where an older version wrote it.

    Raises:
        UsageError: the graph is not the one that was exported into this folder.
    """
    of_graph = {name: record for name, record in records.items() if _is_of_graph(name)}
    if records and GRAPH_FILE not in of_graph:
        raise UsageError(
            f"{folder / GRAPH_FILE}: {folder / CONFIG_FILE} has no record of it, so it is of "
            "another model; export the checkpoint again with --onnx"
        )
    _verify_files(folder, of_graph)


def _verify_files(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    try:
        for name, record in records.items():
            verify(folder / name, record, _COPY_OR_EXPORT_AGAIN)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _files(folder: Path) -> list[str]:
    """All files but ``config.json``, the card and hidden ones, by their path in the folder."""
    found = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    return sorted(
        file.as_posix()
        for file in found
        if str(file) not in (CONFIG_FILE, _FOR_PEOPLE)
        and not any(part.startswith(".") for part in file.parts)
    )


def _is_of_graph(name: str) -> bool:
    return name.startswith(GRAPH_FILE)


def _digest(content: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != DIGEST}
    text = json.dumps(rest, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
