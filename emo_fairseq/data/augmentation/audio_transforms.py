"""Transforms of the library audiomentations, from a YAML file, with random numbers of our own.

    - RoomSimulator: {use_ray_tracing: false, leave_length_unchanged: true, p: 0.3}
    - AddBackgroundNoise: {sounds_path: noises, min_snr_db: 5, max_snr_db: 20, p: 0.5}
    - Mp3Compression: {min_bitrate: 16, max_bitrate: 48, p: 0.3}

They are applied in this order, each with its probability p (.5 where none is given). Compose, OneOf
and SomeOf hold transforms in turn.
"""

import importlib
import random
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.files.digests import digest_once
from data_prep.files.documents import JsonObject, load_yaml
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.errors import UsageError

FloatArray = np.ndarray
_LIBRARY = "audiomentations"
_ROOMS = "pyroomacoustics"  # of RoomSimulator, which has random numbers in C++ for ray tracing
_COMPOSITIONS = ("Compose", "OneOf", "SomeOf")
# Attributes in which transforms list files, in the order of the file system.
_FILE_LISTS = ("sound_file_paths", "ir_files", "noise_file_paths")
_REMEDY = "write a list of transforms, each as NAME: {ARGUMENT: VALUE}"
_MAX_SEED = 2**32
_SEEDING = threading.Lock()  # the generators that the library draws from are the process's


class AudioTransforms:
    """Change a waveform by transforms of audiomentations.

    Raises:
        UsageError: it cannot be read, names no transform or wrong arguments of one, or the library
            is not installed.
    """

    def __init__(self, file: str | Path) -> None:
        entries = load_yaml(file, list[dict[str, JsonObject | None]], remedy=_REMEDY)
        if not entries:
            raise UsageError(f"{file}: names no transform; {_REMEDY}", "transforms-invalid")
        library = _import(_LIBRARY, f"--augment-transforms {file}")
        self._entries = entries
        self._transforms = [
            _build(library, name, arguments or {}, f"{file}: entry {number}")
            for number, entry in enumerate(entries, start=1)
            for name, arguments in entry.items()
        ]

    def content(self) -> list[Any]:
        """Return what the transforms depend on, as plain values: the entries, files, library.

        Raises:
            ValueError: a file of noise or of a room cannot be read.
        """
        files = [digest_once(Path(file)) for file in _files_of(self._transforms)]
        return [self._entries, files, version(_LIBRARY)]

    def __call__(self, samples: FloatArray, generator: np.random.Generator) -> FloatArray:
        """Return changed samples (T',) of (T,) at 16 kHz.

        The library draws from the global generators of Python and NumPy. These are seeded from
        `generator`, and restored afterwards.
        """
        with _seeded(int(generator.integers(_MAX_SEED))):
            for transform in self._transforms:
                samples = transform(np.ascontiguousarray(samples, np.float32), SAMPLE_RATE)
        return np.ascontiguousarray(samples, np.float32)


def _build(library: Any, name: str, arguments: JsonObject, where: str) -> Callable[..., FloatArray]:
    kind = getattr(library, name, None)
    base = importlib.import_module(f"{_LIBRARY}.core.transforms_interface").BaseWaveformTransform
    is_composition = name in _COMPOSITIONS
    if not is_composition and not (isinstance(kind, type) and issubclass(kind, base)):
        raise UsageError(
            f"{where}: {_LIBRARY} has no transform {name} of waveforms; see its documentation for "
            "their names",
            "transforms-invalid",
        )
    options: dict[str, Any] = dict(arguments)
    if is_composition:
        parts = options.get("transforms")
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise UsageError(f"{where}: {name} needs `transforms`, a list", "transforms-invalid")
        options["transforms"] = [
            _build(library, inner, inner_arguments or {}, f"{where}: {name}")
            for part in parts
            for inner, inner_arguments in part.items()
        ]
    if name == "RoomSimulator":
        _import(_ROOMS, f"{where}: {name}")
    try:
        assert kind is not None
        transform: Any = kind(**options)
    except (AssertionError, TypeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split()) or "its arguments contradict each other"
        raise UsageError(f"{where}: {name}: {reason}", "transforms-invalid") from error
    for attribute in _FILE_LISTS:
        files = getattr(transform, attribute, None)
        if isinstance(files, list):
            files.sort(key=str)
    built: Callable[..., FloatArray] = transform
    return built


def _files_of(transforms: Iterable[Any]) -> list[str]:
    """Return the files that transforms, and those within them, read."""
    files: list[str] = []
    for transform in transforms:
        for attribute in _FILE_LISTS:
            files += map(str, getattr(transform, attribute, ()))
        files += _files_of(getattr(transform, "transforms", ()))
    return files


def _import(name: str, wanted_by: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"{wanted_by}: needs {name}; `pip install emo_fairseq[augment]`", "library-missing"
        ) from error


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators that the library draws from, and restore them at the end.

    One thread at a time: threads share these generators.
    """
    with _SEEDING:
        of_python, of_numpy = random.getstate(), np.random.get_state()
        random.seed(seed)
        np.random.seed(seed)
        if (rooms := sys.modules.get(_ROOMS)) is not None:
            rooms.random.seed(seed, seed)
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)
