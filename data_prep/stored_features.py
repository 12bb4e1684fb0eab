"""Feature folders: frames of every row in one array a split, read by mmap.

`DATA_DIR/features/<name>/` holds, in emotion2vec's layout, `{split}.npy`, the frames of all rows
stacked, (sum of lengths, C), and `{split}.lengths`, one number a row of the manifest, 0 where it
has no source; and `features.yaml`, which names the settings and, for each finished split, what it
was made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from data_prep.schema import Utterance
from data_prep.token_folder import replacing, sequence_digest

CARD_FILE = "features.yaml"

FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class StoredFeatures:
    """One split: `frames` (sum of lengths, C) by mmap, and where each row's begin, (N + 1,)."""

    frames: FloatArray
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> FloatArray:
        """(T, C) frames of a row, in the type they are stored in; T is 0 where it has none."""
        return self.frames[self.offsets[row] : self.offsets[row + 1]]


def rows_digest(rows: Iterable[Utterance]) -> str:
    """What features of a split depend on, as its manifest tells it: ids, audio paths, lengths."""
    return sequence_digest((row.id, f"{row.audio} {row.n_samples}") for row in rows)


def read_card(folder: Path) -> dict[str, Any]:
    """`features.yaml`; empty where there is none."""
    file = folder / CARD_FILE
    card = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else None
    return card or {}


def open_features(folder: Path, split: str, rows: Sequence[Utterance]) -> StoredFeatures | None:
    """A split's features, or None if the folder has none of it.

    Raises ValueError if they were made from another manifest than `rows`.
    """
    entry = read_card(folder).get("splits", {}).get(split)
    if entry is None:
        return None
    if entry["manifest"] != rows_digest(rows):
        raise ValueError(
            f"{folder / split}.npy: the manifest has changed since; run "
            f"`python -m data_prep.extract_features` again, or delete {folder}"
        )
    lengths = np.array((folder / f"{split}.lengths").read_text().split(), dtype=np.int64)
    frames = np.load(folder / f"{split}.npy", mmap_mode="r")
    return StoredFeatures(frames, np.concatenate([[0], np.cumsum(lengths)]))


def write_split(
    folder: Path,
    split: str,
    rows: Sequence[Utterance],
    frames_of_rows: Iterable[FloatArray],
    settings: Mapping[str, Any],
    content: str,
) -> None:
    """Write one split, its card last; after an exception in `frames_of_rows` nothing has changed.

    `content` is the digest of the files that the frames come from. Splits of other settings are no
    longer vouched for afterwards.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dtype = np.dtype(settings["dtype"])
    lengths, width = [], 0
    with replacing(folder / f"{split}.npy") as part:
        body = part.with_suffix(".body")
        try:
            with body.open("wb") as file:
                for frames in frames_of_rows:
                    lengths.append(len(frames))
                    width = max(width, frames.shape[1])
                    file.write(np.ascontiguousarray(frames, dtype).tobytes())
            _with_header(body, part, (sum(lengths), width), dtype)
        finally:
            body.unlink(missing_ok=True)
    with replacing(folder / f"{split}.lengths") as part:
        part.write_text("\n".join(map(str, lengths)) + "\n", encoding="utf-8")
    card = read_card(folder)
    finished = card.get("splits", {}) if card.get("settings") == dict(settings) else {}
    finished[split] = {"manifest": rows_digest(rows), "content": content}
    with replacing(folder / CARD_FILE) as part:
        part.write_text(yaml.safe_dump({"settings": dict(settings), "splits": finished}))


def _with_header(body: Path, target: Path, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
    """Copy raw numbers into a .npy file. Their number is known only once all are written."""
    array = np.lib.format.open_memmap(target, mode="w+", dtype=dtype, shape=shape)
    if array.size:
        array[:] = np.memmap(body, dtype=dtype, mode="r", shape=shape)
    array.flush()
