"""Feature folders: frames of every row in one array a split, read by mmap.

`DATA_DIR/features/<name>/` holds, in emotion2vec's layout, `{split}.npy`, the frames of all rows
stacked, (sum of lengths, C), and `{split}.lengths`, one number a row of the manifest, 0 where it
has no source; and `features.yaml`, which names the settings and, for each finished split, what it
was made from and the records of its files, to which these are held when they are opened. Folders
without that card were written by others, in the layouts of `layouts`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from data_prep.errors import (
    Fault,
    ManifestError,
)
from data_prep.features.egemaps import EGEMAPS
from data_prep.features.frame_files import (
    FloatArray,
    StoredFeatures,
    read_frames,
    rows_not_finite,
    write_frames,
)
from data_prep.features.layouts import (
    are_missing_foreign,
    find_foreign_faults,
    foreign_digest,
    open_foreign,
)
from data_prep.features.log_mel import LOG_MEL
from data_prep.files.digests import (
    FileRecord,
    Records,
    is_whole,
    records_of,
    remember_written,
    verify_all,
    warn_unverified,
)
from data_prep.files.documents import Count, Document, FileName, JsonObject, load_yaml
from data_prep.files.replacing import replacing
from data_prep.files.yaml_values import dump_yaml
from data_prep.manifest.digests import rows_digest, sequence_digest, texts_digest, videos_digest
from data_prep.messages import first_few
from data_prep.schema import Utterance

logger = logging.getLogger(__name__)

FOLDER = "features"  # of a data dir
CARD_FILE = "features.yaml"
# In the card of features of text and of videos: the digest of the texts, of the videos' paths.
_TEXT, _VIDEOS = "texts", "videos"
_VIDEO = "video"  # the column, and the modality
_FACES = "faces"  # counts, which are no part of what features were made from


class FaceCounts(Document):
    """How many pictures of a split the features were made from.

    Attributes:
        pictures: that were decoded.
        without_face: those of them that are left out, for there is no face in them.
        rows_without_face: rows that have no features, for there is a face in no picture.
    """

    pictures: Count
    without_face: Count
    rows_without_face: Count


class FeatureSplit(Document):
    """What one finished split was made from: digests of its manifest and of its sources."""

    manifest: str
    texts: str | None = None
    videos: str | None = None
    faces: FaceCounts | None = None
    content: str
    files: dict[FileName, FileRecord] = Field(default_factory=dict)


class FeatureCard(Document):
    """The schema of `features.yaml`."""

    settings: JsonObject
    splits: dict[str, FeatureSplit] = Field(default_factory=dict)
    about: JsonObject = Field(default_factory=dict)


def features_folder(data_dir: str | Path, name: str) -> Path:
    """Return the folder of the features of a name, whether it is there or not."""
    return Path(data_dir) / FOLDER / name


def _rows_digests(rows: Sequence[Utterance], settings: Mapping[str, Any]) -> dict[str, str]:
    """What the card keeps of the manifest: also what the texts or the videos were."""
    digests = {"manifest": rows_digest(rows)}
    if settings.get("modality") == "text":
        digests[_TEXT] = texts_digest(rows)
    if settings.get("modality") == _VIDEO and not settings.get("face_frames"):
        digests[_VIDEOS] = videos_digest(rows)
    return digests


def read_card(folder: Path) -> dict[str, Any]:
    """Load `features.yaml` as plain values; empty where there is none.

    Raises:
        ManifestError: it is not of the schema `FeatureCard`.
    """
    file = folder / CARD_FILE
    if not file.exists():
        return {}
    card = load_yaml(file, FeatureCard, remedy="delete it and extract again")
    return card.model_dump(exclude_unset=True)


def settings_digest(folder: Path) -> str:
    """Of what made the features of a folder, their precision aside; empty if others made them.

    Raises ValueError if its card is broken.
    """
    settings = read_card(folder).get("settings", {})
    acting = [(name, repr(value)) for name, value in sorted(settings.items()) if name != "dtype"]
    return sequence_digest(acting) if acting else ""


def open_features(folder: Path, split: str, rows: Sequence[Utterance]) -> StoredFeatures | None:
    """A split's features, or None if the folder has none of it; warns of rows that have none.

    Raises ManifestError if they do not fit `rows`, were made from another manifest, or are damaged.
    """
    stored = _open(folder, split, rows)
    if stored is not None and (ids := _without_frames(folder, np.diff(stored.offsets) == 0, rows)):
        problem = _missing_sentence(ids, rows)
        logger.warning("%s.npy: %s", folder / split, problem)
    return stored


def _open(folder: Path, split: str, rows: Sequence[Utterance]) -> StoredFeatures | None:
    card = read_card(folder)
    if not card:
        return open_foreign(folder, split, rows)
    entry = card.get("splits", {}).get(split)
    if entry is None:
        return None
    remedy = f"run `python -m data_prep.extract_features` again, or delete {folder}"
    if records := entry.get("files"):
        verify_all(folder, records, remedy)
    else:
        file = folder / f"{split}.npy"
        warn_unverified(file, "run the command that wrote it again, which adds it")
    stored = read_frames(folder, split)
    made_from = _rows_digests(rows, card["settings"])
    changed = [name for name, digest in made_from.items() if entry.get(name) != digest]
    if changed or len(stored) != len(rows):
        names = {_TEXT: "the texts have", _VIDEOS: "the videos have"}
        only = changed[0] if len(changed) == 1 else ""
        problem = names.get(only, "the manifest has")
        fault = Fault(
            f"{folder / split}.npy", None, f"{problem} changed since", remedy, "features-outdated"
        )
        raise ManifestError(fault)
    return stored


def find_faults(folder: Path, split: str, rows: Sequence[Utterance]) -> Iterator[Fault]:
    """Read all features of a split, and yield what is wrong with them; nothing is written."""
    try:
        if not read_card(folder):
            yield from find_foreign_faults(folder, split, rows)
            return
        stored = _open(folder, split, rows)
    except ManifestError as error:
        yield error.as_fault(folder)
        return
    for row in () if stored is None else rows_not_finite(stored):
        problem = f"the frames of {rows[row].id} are NaN or infinite"
        yield Fault(
            f"{folder / split}.npy", None, problem, "extract them again", "features-not-finite"
        )


# -- Rows that have no features --------------------------------------------------------------------

_AUDIO, _WORDS = "audio", "text"  # columns of what features are extracted from


def find_missing(folder: Path, split: str, rows: Sequence[Utterance]) -> Iterator[Fault]:
    """Yield a warning if rows of a split have no features; nothing is written.

    Rows without the audio or the text that features are extracted from are none of them. A split
    whose features cannot be read has faults, and is passed over.
    """
    try:
        ids = _without_frames(folder, are_missing(folder, split, rows), rows)
    except ManifestError:
        return
    if ids:
        remedy = "extract them, or leave it so: these rows are read without them, or left out"
        problem = _missing_sentence(ids, rows)
        yield Fault(f"{folder / split}.npy", None, problem, remedy, "features-missing")


def are_missing(folder: Path, split: str, rows: Sequence[Utterance]) -> npt.NDArray[np.bool_]:
    """Return which rows have no features, (N,); nothing is written.

    Raises:
        ManifestError: the features of the split cannot be read.
    """
    if not read_card(folder):
        return are_missing_foreign(folder, split, rows)
    stored = _open(folder, split, rows)
    return np.ones(len(rows), bool) if stored is None else np.diff(stored.offsets) == 0


def _without_frames(
    folder: Path, missing: npt.NDArray[np.bool_], rows: Sequence[Utterance]
) -> list[str]:
    """Return the ids of rows that are missing, though they have what features are made from."""
    source = _source_of(read_card(folder).get("settings", {}))
    lacking = (rows[row] for row in np.flatnonzero(missing).tolist())
    return [row.id for row in lacking if source is None or getattr(row, source) is not None]


def _source_of(settings: Mapping[str, Any]) -> str | None:
    """Return the column that features are extracted from; None if it is not known."""
    if settings.get("features") in (LOG_MEL, EGEMAPS):
        return _AUDIO
    if settings.get("face_frames"):
        return None
    of_modality = {"text": _WORDS, "speech": _AUDIO, _VIDEO: _VIDEO}
    return of_modality.get(str(settings.get("modality")))


def _missing_sentence(ids: Sequence[str], rows: Sequence[Utterance]) -> str:
    return f"{len(ids)} of {len(rows)} rows have no features: {first_few(ids)}"


# -- What they were made from ----------------------------------------------------------------------


def content_of(folder: Path, split: str, rows: Sequence[Utterance]) -> str:
    """What a split's features were computed from, as a digest; empty where it has none.

    Of features that `extract_features` wrote it is that of their source, since a GPU does not give
    the same bits twice; of others' it is that of the files.

    Raises:
        ValueError: the card is broken, or a file cannot be read.
    """
    card = read_card(folder)
    if not card:
        return foreign_digest(folder, split, rows)
    return str(card.get("splits", {}).get(split, {}).get("content", ""))


def is_finished(
    folder: Path, split: str, rows: Sequence[Utterance], settings: Mapping[str, Any], content: str
) -> bool:
    """Whether the split is there, whole, with these settings and from this content.

    A split that an older version wrote has no records of its files: they are added, if all is well.
    """
    card = read_card(folder)
    wanted = {**_rows_digests(rows, settings), "content": content}
    entry = dict(card.get("splits", {}).get(split) or {})
    records = entry.pop("files", None)
    entry.pop(_FACES, None)
    if card.get("settings") != dict(settings) or entry != wanted:
        return False
    if records:
        return is_whole(folder, records)
    if faults := list(find_faults(folder, split, rows)):
        logger.warning("%s; it is written again", faults[0])
        return False
    card["splits"][split]["files"] = _records(folder, split)
    _write_card(folder, card)
    return True


def _records(folder: Path, split: str) -> Records:
    return records_of(folder, (f"{split}.npy", f"{split}.lengths"))


def write_split(
    folder: Path,
    split: str,
    rows: Sequence[Utterance],
    frames_of_rows: Iterable[FloatArray],
    settings: Mapping[str, Any],
    content: str,
    about: Mapping[str, Any] | None = None,
    facts: Callable[[], Mapping[str, Any]] = dict,
) -> None:
    """Write one split, its card last; after an exception in `frames_of_rows` nothing has changed.

    `content` is the digest of what the frames come from; `about` is written for readers only, as
    `facts`, which is called after the last row, is of the split.
    Splits of other settings are no longer vouched for afterwards.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{folder / split}.npy: {row.id}" for row in rows]
    card = read_card(folder)
    finished = card.get("splits", {}) if card.get("settings") == dict(settings) else {}
    finished.pop(split, None)
    card = {"settings": dict(settings), "splits": finished, "about": dict(about or {})}
    write_frames(
        folder,
        split,
        frames_of_rows,
        settings["dtype"],
        names.__getitem__,
        wider="give --dtype float32",
        when_written=lambda: _write_card(folder, card),  # which vouches for the old files no more
    )
    made_from = {**_rows_digests(rows, settings), "content": content}
    records = _records(folder, split)
    finished[split] = {**made_from, **facts(), "files": records}
    _write_card(folder, card)
    remember_written(folder, records)


def _write_card(folder: Path, card: Mapping[str, Any]) -> None:
    with replacing(folder / CARD_FILE, is_locked=True) as part:
        part.write_text(dump_yaml(dict(card)), encoding="utf-8")
