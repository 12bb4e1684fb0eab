"""Run a reader on mutated copies of its input and classify what happened.

A case is one mutation of one file. Its outcome is one of
- ``refused``: an error of ours, whose message is one line that names the file;
- ``same``: accepted, and what was read equals what the unchanged file holds;
- ``changed``: accepted, and something else was read. That is a failure where the format carries
  lengths or digests (``sealed``); in a format that people write by hand another value is another
  value, so that only form can be checked;
- ``failed``: a traceback of another kind, a run over the time limit, memory beyond the limit, or
  code of the file that was run.
"""

import contextlib
import hashlib
import os
import random
import resource
import shutil
import signal
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fuzz.mutations import BINARY, TEXT, Mutation

SECONDS = 20  # of one case
MEBIBYTES = 400  # by which one case may raise the peak of the process
_TABLES = (".tsv", ".csv", ".jsonl", ".lengths")
_SEGMENTATIONS = (".rttm", ".TextGrid", ".eaf", ".srt", ".vtt")
_TEXTS = (".json", ".yaml", ".txt", *_TABLES, *_SEGMENTATIONS)


@dataclass(frozen=True)
class Family:
    """One format: how a valid instance is made, which files are mutated, how it is read.

    Attributes:
        name: of the format.
        build: write a valid instance into an empty folder.
        files: patterns of the files to be mutated, relative to the folder.
        read: read the instance; what it returns is compared by content.
        sealed: no changed content may be accepted.
        errors: what a refusal may raise.
        names_file: a refusal names the mutated file, or its folder.
        extra: further mutations, by name.
    """

    name: str
    build: Callable[[Path], None]
    files: Sequence[str]
    read: Callable[[Path], Any]
    sealed: bool = False
    errors: tuple[type[Exception], ...] = (ValueError,)
    names_file: bool = True
    extra: Mapping[str, Mutation] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What one case came to."""

    family: str
    file: str
    mutation: str
    seed: int
    verdict: str
    message: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether the case is a fault of the product."""
        return self.verdict not in ("refused", "same", "accepted")

    def __str__(self) -> str:
        case = f"{self.family}: {self.mutation} of {self.file}, seed {self.seed}"
        return f"{case}: {self.verdict}: {self.message}"


def run_family(family: Family, n_cases: int, folder: Path, seed: int = 0) -> list[Outcome]:
    """Run `n_cases` mutations, spread over the files and mutations of the family."""
    valid = folder / "valid"
    valid.mkdir(parents=True)
    with silenced():
        family.build(valid)
    files = sorted({file for pattern in family.files for file in valid.glob(pattern)})
    files = [file for file in files if file.is_file()]
    assert files, f"{family.name}: no file matches {family.files}"
    case = folder / "case"  # read where the cases are, since some readers return paths
    shutil.copytree(valid, case, symlinks=True)
    with silenced():
        expected = digest(family.read(case))
        return [_run_case(family, valid, files, expected, folder, seed + n) for n in range(n_cases)]


def _run_case(
    family: Family, valid: Path, files: Sequence[Path], expected: str, folder: Path, seed: int
) -> Outcome:
    random_ = random.Random(seed)
    file = files[seed % len(files)]
    mutations = {**(TEXT if file.suffix in _TEXTS else BINARY), **family.extra}
    name = random_.choice(sorted(mutations))
    case, sentinel = folder / "case", folder / "executed"
    shutil.rmtree(case, ignore_errors=True)
    shutil.copytree(valid, case, symlinks=True)
    target = case / file.relative_to(valid)
    content = mutations[name](file.read_bytes(), random_)
    content = content.replace(b"{sentinel}", str(sentinel).encode())
    target.unlink()  # not through a link into the valid instance
    target.write_bytes(content)

    def outcome(verdict: str, message: str = "") -> Outcome:
        if sentinel.exists():
            sentinel.unlink()
            verdict = "code executed"
        return Outcome(family.name, str(file.relative_to(valid)), name, seed, verdict, message)

    before = _peak()
    try:
        with _time_limit(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = digest(family.read(case))
    except family.errors as error:
        return outcome(*_refusal(family, target, case, error))
    except _TimeoutError:
        return outcome("hang", f"more than {SECONDS} s")
    except (Exception, SystemExit, RecursionError) as error:
        return outcome("traceback", f"{type(error).__name__}: {str(error)[:300]}")
    if _peak() - before > MEBIBYTES:
        return outcome("memory", f"{_peak() - before} MiB")
    if found == expected:
        return outcome("same")
    return outcome("changed" if family.sealed else "accepted")


def _refusal(family: Family, target: Path, case: Path, error: Exception) -> tuple[str, str]:
    message = str(error)
    if type(error) in (UnicodeDecodeError, UnicodeEncodeError):
        return "traceback", f"{type(error).__name__}: {message[:300]}"
    named = target.name in message or str(case) in message or target.parent.name in message
    if family.names_file and not named:
        return "unnamed file", f"{type(error).__name__}: {message[:300]}"
    return "refused", message[:300]


class _TimeoutError(BaseException):
    """A case ran too long; no reader may catch it."""


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise _TimeoutError

    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Drop what commands print, and what decoders in C write to standard error."""
    with Path(os.devnull).open("w") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            with contextlib.redirect_stdout(nowhere):
                yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _peak() -> int:
    """The peak resident size of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def digest(value: Any) -> str:
    """SHA-256 of nested plain values, arrays, tensors and dataclasses."""
    whole = hashlib.sha256()
    for part in _parts(value):
        whole.update(part)
        whole.update(b"\0")
    return whole.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, torch.Tensor):
        value = value.detach().float().numpy() if value.is_floating_point() else value.numpy()
    if isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield str(key).encode("utf-8", "surrogatepass")
            yield from _parts(value[key])
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield f"{type(value).__name__} {len(value)}".encode()
        for item in sorted(value, key=str) if isinstance(value, (set, frozenset)) else value:
            yield from _parts(item)
    elif hasattr(value, "__dataclass_fields__"):
        yield from _parts({name: getattr(value, name) for name in value.__dataclass_fields__})
    else:
        yield repr(value).encode("utf-8", "surrogatepass")


def summarize(outcomes: Sequence[Outcome]) -> dict[str, Counter[str]]:
    """Verdicts by family."""
    counts: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        counts.setdefault(outcome.family, Counter())[outcome.verdict] += 1
    return counts
