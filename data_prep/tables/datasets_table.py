"""Data sets of the library `datasets`: folders of `save_to_disk`, and names of its hub.

Each split is a table, which `data_prep.hf_table` prepares. Sounds come as they are stored, as bytes
or as a path, and are not decoded here.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.errors import CodedError, Fault, ManifestError
from data_prep.files.hub import check_reachable
from data_prep.messages import one_line
from data_prep.tables.column_contents import split_of
from data_prep.tables.table import Row

HUB = "hf:"  # before the name of a data set of the hub: hf:org/name or hf:org/name/configuration
_OF_DICT, _OF_DATASET = "dataset_dict.json", ("dataset_info.json", "state.json")
_DAMAGED = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class DatasetTable:
    """One split."""

    def __init__(self, path: Path, dataset: Any) -> None:
        self.path = path
        self._dataset = _undecoded(dataset)
        self.columns: Sequence[str] = list(dataset.column_names)
        features = dataset.features
        self.class_names: Mapping[str, Sequence[str]] = {
            name: list(features[name].names)
            for name in self.columns
            if getattr(features[name], "names", None)
        }

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Row]:
        names = [name for name in self.columns if wanted is None or name in wanted]
        if not names:
            yield from (Row(number, {}) for number in range(1, len(self._dataset) + 1))
            return
        for number, cells in enumerate(self._dataset.select_columns(names), start=1):
            yield Row(number, cells)


def is_saved_dataset(folder: Path) -> bool:
    """Return whether `save_to_disk` wrote a folder."""
    is_one = all((folder / name).is_file() for name in _OF_DATASET)
    return is_one or (folder / _OF_DICT).is_file()


def open_saved(folder: Path) -> dict[str, list[DatasetTable]]:
    """Open a folder of `save_to_disk` by split, "" for a single one.

    Raises:
        CodedError: the library is not installed; or the folder is damaged, or of unknown splits.
    """
    datasets = _library(folder)
    try:
        loaded = datasets.load_from_disk(str(folder))
        for part in loaded.values() if isinstance(loaded, dict) else [loaded]:
            part.data.table.validate(full=True)  # reading a damaged one may end the process
    except (*_DAMAGED, OSError) as error:
        problem = f"no data set of save_to_disk ({one_line(str(error))})"
        fault = Fault(str(folder), None, problem, "save it again", "dataset-invalid")
        raise ManifestError(fault) from None
    return _by_split(folder, loaded)


def open_hub(name: str) -> dict[str, list[DatasetTable]]:
    """Download a data set of the hub, or take it from the library's cache, by split.

    Args:
        name: as `hf:org/name`, or `hf:org/name/configuration`.

    Raises:
        CodedError: the library is not installed, the hub cannot be reached, or has no such set.
    """
    datasets = _library(Path(name))
    org, _, rest = name.removeprefix(HUB).partition("/")
    short, _, configuration = rest.partition("/")
    path = f"{org}/{short}" if short else org
    _check_hub(name)
    try:
        loaded = datasets.load_dataset(path, configuration or None)
    except (*_DAMAGED, OSError) as error:
        reason = one_line(str(error))
        raise CodedError(
            f"{name}: cannot be loaded ({reason}); {_SAVE.format(path=path)}", "dataset-unknown"
        ) from None
    return _by_split(Path(name), loaded)


_SAVE = (
    'where there is a network, run `datasets.load_dataset("{path}").save_to_disk("FOLDER")`, and '
    "give that folder"
)


def _check_hub(name: str) -> None:
    """Raise CodedError at once where the hub cannot be reached, which the library retries."""
    if os.environ.get("HF_HUB_OFFLINE") or os.environ.get("HF_DATASETS_OFFLINE"):
        return
    try:
        check_reachable()
    except OSError as error:
        path = name.removeprefix(HUB)
        raise CodedError(
            f"{name}: {error}; {_SAVE.format(path=path)}, or set HF_HUB_OFFLINE=1 if it is in the "
            "cache",
            "hub-unreachable",
        ) from None


def _library(source: Path) -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError:
        raise CodedError(
            f"{source}: needs the library datasets; run `pip install emo_fairseq[datasets]`",
            "package-missing",
        ) from None


def _by_split(source: Path, loaded: Any) -> dict[str, list[DatasetTable]]:
    if not isinstance(loaded, dict):
        return {"": [DatasetTable(source, loaded)]}
    names = {name: split_of(name) for name in loaded}
    if len(names) == 1 and None in names.values():
        return {"": [DatasetTable(source, next(iter(loaded.values())))]}
    known = [split for split in names.values() if split]
    if None in names.values() or len(set(known)) < len(known):
        raise CodedError(
            f"{source}: has the splits {', '.join(names)}, of which not each is one of train, "
            "valid and test; save it with these",
            "split-unknown",
        )
    return {
        split: [DatasetTable(source / name, loaded[name])] for name, split in names.items() if split
    }


def _undecoded(dataset: Any) -> Any:
    """Return a data set whose sounds are bytes or a path."""
    datasets = importlib.import_module("datasets")
    for name, feature in dataset.features.items():
        if isinstance(feature, datasets.Audio):
            dataset = dataset.cast_column(name, datasets.Audio(decode=False))
    return dataset.with_format(None)
