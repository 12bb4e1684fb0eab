"""Digests of the recordings of a data dir, to find those with the same bytes."""

from __future__ import annotations

from pathlib import Path

from data_prep.files.digests import file_digests
from data_prep.manifest.leaks import Splits, same_size
from data_prep.manifest.table import codes

DIGESTS_FILE = ".digests.json"  # in the data dir: digests of the audio files


def sound_digests(splits: Splits, raw: Path, memory: Path) -> tuple[dict[str, str], list[str]]:
    """Return digests of audio files of equal size, and the paths of missing files."""
    audio = dict.fromkeys(path for rows in splits.values() for path in codes(rows, "audio")[1])
    sizes: dict[Path, int] = {}
    absent = []
    for path in audio:
        try:
            sizes[raw / path] = (raw / path).stat().st_size
        except OSError:
            absent.append(path)
    twins = same_size(sizes)
    digests = dict(zip(twins, file_digests(twins, memory), strict=True))
    digest_of = {path: digests.get(raw / path) for path in audio}
    return {path: digest for path, digest in digest_of.items() if digest is not None}, absent
