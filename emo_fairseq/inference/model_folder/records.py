"""Records by which a model folder is verified: size and SHA-256 of its files, in config.json."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_prep.files.digests import Records, records_of, verify, warn_unverified
from data_prep.files.documents import JsonObject, load_json
from data_prep.files.replacing import replacing
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.model_folder.files import (
    CARD_FILE,
    CONFIG_FILE,
    COPY_AGAIN,
    EXPORT_AGAIN,
    GRAPH_FILE,
    WEIGHTS_FILE,
    dialogue_graph,
    is_of_graph,
)


def seal(folder: Path) -> None:
    """Write the records of all files of a complete model folder into its ``config.json``."""
    file = folder / CONFIG_FILE
    content: dict[str, Any] = load_json(file, JsonObject, remedy=COPY_AGAIN)
    content["files"] = records_of(folder, _recorded_files(folder))
    content["digest"] = content_digest(content)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(file) as part:
        part.write_text(f"{text}\n", encoding="utf-8")


def verify_folder(folder: Path, content: Mapping[str, Any], reads_weights: bool = True) -> None:
    """Compare a model folder with its records; those of the graph are :func:`verify_graph`'s.

    Raises:
        UsageError: a file is missing, damaged or exchanged, or one has come to the tokenizers;
            names it.
    """
    file = folder / CONFIG_FILE
    if "digest" not in content:
        warn_unverified(file, f"{EXPORT_AGAIN}, which adds it")
        return
    if content["digest"] != content_digest(content):
        raise UsageError(f"{file}: was changed since it was exported; {COPY_AGAIN}", "file-changed")
    records: Records = content["files"]
    left_out = set() if reads_weights else {WEIGHTS_FILE}
    read = {n: x for n, x in records.items() if not is_of_graph(n) and n not in left_out}
    _verify_files(folder, read)
    added = [name for name in _recorded_files(folder) if "/" in name and name not in records]
    folders = {name.partition("/")[0] for name in records if "/" in name}
    if strange := [name for name in added if name.partition("/")[0] in folders]:
        raise UsageError(
            f"{folder / strange[0]}: is not of the export, and a tokenizer may read it; remove it, "
            f"or {COPY_AGAIN}",
            "file-unknown",
        )


def verify_graph(
    folder: Path,
    records: Mapping[str, Mapping[str, Any]],
    has_dialogue_encoder: bool = False,
    graph: str = GRAPH_FILE,
) -> None:
    """Compare a graph of a model folder, or both of a model of dialogues, with its records.

    Args:
        folder: the model folder.
        records: of its ``config.json``; empty where an older version wrote it.
        has_dialogue_encoder: whether the model has one, and so two graphs.
        graph: name of the file of the graph, or of the first one.

    Raises:
        UsageError: the graph is not the one that was exported into this folder.
    """
    names = [graph, dialogue_graph(Path(graph)).name] if has_dialogue_encoder else [graph]
    for name in names:
        if records and name not in records:
            raise UsageError(
                f"{folder / name}: {folder / CONFIG_FILE} has no record of it, so it is of "
                "another model; export the checkpoint again with --onnx",
                "graph-other",
            )
    of_graph = {name: x for name, x in records.items() if name.startswith(tuple(names))}
    _verify_files(folder, of_graph)


def _verify_files(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    try:
        for name, record in records.items():
            verify(folder / name, record, COPY_AGAIN)
    except ValueError as error:
        raise UsageError(str(error), "file-changed") from error


def _recorded_files(folder: Path) -> list[str]:
    """Return all files but ``config.json``, the card and hidden ones, by path in the folder."""
    paths = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    return sorted(
        path.as_posix()
        for path in paths
        if str(path) not in (CONFIG_FILE, CARD_FILE)
        and not any(part.startswith(".") for part in path.parts)
    )


def content_digest(content: Mapping[str, Any]) -> str:
    """Return the digest of the content of config.json or ensemble.json, without its own."""
    recorded = {name: value for name, value in content.items() if name != "digest"}
    text = json.dumps(recorded, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
