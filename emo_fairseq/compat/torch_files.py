"""Load files that ``torch.save`` wrote, after a check of their checksums.

They are zip archives, whose checksums torch does not compare: one flipped bit becomes a weight of
1e38, and the model predicts all the same.
"""

import argparse
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from fairseq.data import Dictionary
from omegaconf import AnyNode, DictConfig, ListConfig
from omegaconf.base import ContainerMetadata, Metadata
from torch import Tensor

from data_prep.files import lfs_pointers
from data_prep.files.digests import compute_once
from emo_fairseq.errors import UsageError

# The classes of a configuration that was pickled without conversion to plain values.
_OMEGACONF = (
    DictConfig,
    ListConfig,
    ContainerMetadata,
    Metadata,
    AnyNode,
    Any,
    defaultdict,
    dict,
    list,
    int,
)
_FIRST_SAFE_TORCH = (2, 6)  # before it, torch.load runs code of a file as fairseq calls it
_TENSORS = "/data/"  # in the names of the members that hold tensors
_ARCHIVE = b"PK\x03\x04"  # its first bytes
_WHOLE = "whole"
_AT_ONCE = 1 << 20  # bytes
_DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError)


def refuse_old_torch() -> None:
    """Refuse a torch that would run code of a checkpoint.

    Raises:
        UsageError: the installed torch is too old.
    """
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    if (major, minor) < _FIRST_SAFE_TORCH:
        raise UsageError(
            f"torch {torch.__version__} runs code that a checkpoint may hold; "
            "install torch 2.6 or later",
            "library-version-other",
        )


def load_torch_file(file: Path, with_tensors: bool = True) -> Any:
    """Load a file of tensors and plain values to the CPU, without running code in it.

    Tensors are mapped, not read, if the file is an archive.

    Args:
        file: what ``torch.save`` wrote.
        with_tensors: whether the tensors are used; if not, they are not checked either, which
            would read the whole file.

    Raises:
        UsageError: the file is damaged.
        Exception: torch's own, if it is not such a file.
    """
    check_torch_file(file, with_tensors)
    allow_classes_of_fairseq()
    is_zip = zipfile.is_zipfile(file)
    return torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)


def allow_classes_of_fairseq() -> None:
    """Let torch load the harmless classes that fairseq puts beside tensors and plain values.

    A checkpoint from a stranger must not run code, so they are named one by one, and
    ``weights_only=False`` is never used.
    """
    torch.serialization.add_safe_globals([argparse.Namespace, Dictionary, *_OMEGACONF])


def check_torch_file(file: Path, with_tensors: bool = True) -> None:
    """Compare the checksums in an archive with its content, once a version of the file.

    Files that torch wrote before 1.6 are no archives and have no checksums.

    Args:
        file: what ``torch.save`` wrote; one that does not exist is not checked.
        with_tensors: whether the tensors are checked too.

    Raises:
        UsageError: the file is cut short, a checksum differs, it cannot be read, or it is a
            pointer of Git LFS.
    """
    if not file.is_file():
        return
    if not zipfile.is_zipfile(file):
        _refuse_other(file)
        return
    if with_tensors:
        compute_once(file, _check_all, "crc32 ")
    else:
        _check(file, with_tensors=False)


def reason(error: BaseException) -> str:
    """Return the sentence of torch's message that names the cause, without the advice around it."""
    nothing = "it ends too early" if isinstance(error, EOFError) else type(error).__name__
    lines = str(error).strip().splitlines() or [nothing]
    cause = next((line for line in lines if "Unsupported" in line), lines[0])
    return cause.partition(". ")[0].strip()[:200]


def refuse_non_finite(weights: Mapping[str, Any], source: object) -> None:
    """Refuse weights that are NaN or infinite, since all outputs would be.

    Args:
        weights: tensors by name; other values are ignored.
        source: of the weights, for the message.

    Raises:
        UsageError: names the first such tensor, and how many there are.
    """
    odd = [name for name, value in weights.items() if not _is_finite(value)]
    if odd:
        raise UsageError(
            f"{source}: {len(odd)} of {len(weights)} weights are NaN or infinite ({odd[0]}); the "
            "training diverged or the file is damaged: take another checkpoint, or copy it again",
            "weights-not-finite",
        )


def _is_finite(value: Any) -> bool:
    is_floating = isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())
    # A sum is finite only if all values are; that of large values may be infinite, too.
    return not is_floating or bool(value.sum().isfinite() or value.isfinite().all())


def _refuse_other(file: Path) -> None:
    """Refuse a pointer of Git LFS, and a truncated archive, whose list of members is missing."""
    with file.open("rb") as stream:
        begin = stream.read(lfs_pointers.N_BYTES)
    if lfs_pointers.is_lfs_pointer(begin):
        problem, remedy = lfs_pointers.PROBLEM, lfs_pointers.REMEDY
        raise UsageError(f"{file}: is {problem}; {remedy}", "file-damaged")
    if begin.startswith(_ARCHIVE):
        raise UsageError(
            f"{file}: is cut short; copy it again, or take another checkpoint", "file-damaged"
        )


def _check_all(file: Path) -> str:
    _check(file, with_tensors=True)
    return _WHOLE


def _check(file: Path, with_tensors: bool) -> None:
    name = ""
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                name = member.filename
                if with_tensors or _TENSORS not in name:
                    _read(archive, member)
    except _DAMAGED as error:
        where = f"the CRC of {name} is another" if "CRC" in str(error) else f"{name}: {error}"
        raise UsageError(f"{file}: damaged: {where}; copy it again", "file-damaged") from error


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    with archive.open(member) as stream:  # raises BadZipFile at the end if the checksum differs
        while stream.read(_AT_ONCE):
            pass
