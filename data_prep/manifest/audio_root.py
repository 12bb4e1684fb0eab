"""The folders that the audio and the video paths of a data dir start from.

corpus.yaml keeps them as `data_raw` and `video_raw`, absolute or relative to the data dir; without
`data_raw` it is the data dir itself, without `video_raw` the folder of the audio; of a data dir at
a URL, which is mirrored without its recordings, these are at the URL. The commands that prepare a
corpus and leave its recordings where they are write them, as absolute paths. `--data-raw` and
`--video-raw` are preferred to them everywhere.
"""

from __future__ import annotations

from pathlib import Path

from data_prep.errors import Fault, ManifestError
from data_prep.files.mirror import origin_of
from data_prep.files.remote import RemotePath, as_path
from data_prep.manifest.corpus_card import read_corpus
from data_prep.manifest.records import CORPUS_FILE


def audio_root(
    data_dir: str | Path, data_raw: str | Path | None = None, *, must_exist: bool = True
) -> Path:
    """Return the folder that audio paths start from.

    Raises:
        ManifestError: corpus.yaml is invalid, or the folder that it records is gone.
    """
    root = _recorded_root(Path(data_dir), "data_raw", data_raw, must_exist)
    return origin_of(data_dir) if root is None else root


def video_root(
    data_dir: str | Path,
    video_raw: str | Path | None = None,
    data_raw: str | Path | None = None,
    *,
    must_exist: bool = True,
) -> Path:
    """Return the folder that video paths start from.

    Raises:
        ManifestError: corpus.yaml is invalid, or the folder that it records is gone.
    """
    root = _recorded_root(Path(data_dir), "video_raw", video_raw, must_exist)
    return audio_root(data_dir, data_raw, must_exist=must_exist) if root is None else root


def has_videos(data_dir: str | Path) -> bool:
    """Return whether rows of a data dir have videos, by its corpus.yaml."""
    data_dir = Path(data_dir)
    if not (data_dir / CORPUS_FILE).is_file():
        return False
    return any(counts.get("with_video") for counts in read_corpus(data_dir).splits.values())


_OF_FOLDER = {"data_raw": ("recordings", "--data-raw"), "video_raw": ("videos", "--video-raw")}


def _recorded_root(
    data_dir: Path, name: str, given: str | Path | None, must_exist: bool
) -> Path | None:
    """Return a folder as given, or as corpus.yaml records it; None without both."""
    if given is not None:
        return as_path(given)
    card = data_dir / CORPUS_FILE
    recorded: str | None = getattr(read_corpus(data_dir), name) if card.is_file() else None
    if recorded is None:
        return None
    if isinstance(as_path(recorded), RemotePath):
        return as_path(recorded)
    root = as_path(origin_of(data_dir) / recorded)  # an absolute path stays one
    if must_exist and not root.is_dir():
        content, option = _OF_FOLDER[name]
        problem = f"the {content} of {data_dir} were in {root}, which is no folder now"
        remedy = f"give the new folder by {option} DIR, or write it to {name} of {card}"
        raise ManifestError(Fault(str(card), None, problem, remedy, "data-raw-moved"))
    return root


def to_record(folder: str | Path) -> str:
    """Return a folder as corpus.yaml keeps it: absolute, with links as they are."""
    return str(Path(folder).absolute())
