"""Folders of pictures, one a frame, such as faces that were cut from a clip before."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.video.errors import VideoError
from data_prep.video.limits import DEFAULT_LIMITS, VideoLimits

Picture = npt.NDArray[np.uint8]  # (H, W, 3), red, green and blue

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder in the order of their numbers; hidden files are left out.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("face_10.jpg", "face_2.jpg", "notes.txt"):
    ...         _ = Path(folder, name).touch()
    ...     [file.name for file in list_pictures(Path(folder))]
    ['face_2.jpg', 'face_10.jpg']
    """
    files = (file for file in folder.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
    return sorted((file for file in files if not file.name.startswith(".")), key=_by_number)


def _by_number(file: Path) -> tuple[list[tuple[int, str]], str]:
    parts = re.findall(r"\d+|\D+", file.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], file.name


def read_pictures(folder: Path, limits: VideoLimits = DEFAULT_LIMITS) -> Iterator[Picture]:
    """Yield the pictures of a folder upright, each decoded when it is taken.

    Raises:
        VideoError: there are none, or one is too large or cannot be decoded; names that file.
    """
    files = list_pictures(folder)
    if not files:
        raise VideoError(
            f"is a folder without pictures ({', '.join(PICTURE_SUFFIXES)})", "video-empty"
        )
    pillow = load_pillow()
    turn_upright = importlib.import_module("PIL.ImageOps").exif_transpose
    for file in files:
        try:
            with pillow.open(file) as picture:  # reads the header alone
                limits.check_size(picture.width, picture.height, file.name)
                yield np.asarray(turn_upright(picture).convert("RGB"))
        except VideoError:
            raise
        # Pillow raises these for damaged files, and for sizes that it refuses itself.
        except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
            raise VideoError(
                f"{file.name} cannot be decoded as a picture ({error})", "video-unreadable"
            ) from None


def no_times() -> VideoError:
    """Return the error of a segment of a folder of pictures."""
    return VideoError(
        "is a folder of pictures, which has no times; leave start and end empty", "segment-invalid"
    )


def load_pillow() -> Any:
    """Import and return `PIL.Image`. Raises VideoError if Pillow is not installed."""
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as error:
        raise VideoError(
            "pictures need Pillow: `pip install 'emo_fairseq[video]'`", "library-missing"
        ) from error
