"""The folder that the audio paths of a data dir start from.

corpus.yaml keeps it as `data_raw`, absolute or relative to the data dir; without that key it is the
data dir itself. The commands that prepare a corpus and leave its audio where it is write it, as an
absolute path. `--data-raw` is preferred to it everywhere.
"""

from __future__ import annotations

from pathlib import Path

from data_prep.errors import Fault, ManifestError
from data_prep.files.remote import RemotePath, as_path
from data_prep.manifest.corpus_card import read_corpus
from data_prep.manifest.records import CORPUS_FILE


def audio_root(
    data_dir: str | Path, data_raw: str | Path | None = None, *, must_exist: bool = True
) -> Path:
    """Return the folder that audio paths start from.

    Args:
        data_dir: folder with corpus.yaml, or one of the legacy layout.
        data_raw: the folder if it is given, by `--data-raw`.
        must_exist: whether to refuse a recorded folder that is no longer there.

    Raises:
        ManifestError: corpus.yaml is invalid, or the folder that it records is gone.
    """
    data_dir = Path(data_dir)
    if data_raw is not None:
        return as_path(data_raw)
    card = data_dir / CORPUS_FILE
    recorded = read_corpus(data_dir).data_raw if card.is_file() else None
    if recorded is None:
        return data_dir
    root = as_path(data_dir / recorded)  # an absolute path stays one
    if isinstance(as_path(recorded), RemotePath):
        return as_path(recorded)
    if must_exist and not root.is_dir():
        problem = f"the audio of {data_dir} was in {root}, which is no folder now"
        remedy = f"give its new place by --data-raw DIR, or write it to data_raw of {card}"
        raise ManifestError(Fault(str(card), None, problem, remedy, "data-raw-moved"))
    return root


def to_record(folder: str | Path) -> str:
    """Return a folder as corpus.yaml keeps it: absolute, with links as they are."""
    return str(Path(folder).absolute())
