"""Tensors on disk without pickle: safetensors."""

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import save_file
from torch import Tensor

from data_prep.files.replacing import replacing
from emo_fairseq.compat.torch_files import refuse_non_finite
from emo_fairseq.errors import UsageError


def write_tensors(file: Path, tensors: Mapping[str, Tensor], note: str = "") -> None:
    """Write a state dict; tensors that share memory are written each.

    Args:
        file: takes its place when it is whole.
        tensors: by name.
        note: what :func:`read_note` gives back.
    """
    whole: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, value in tensors.items():
        alone = value.detach().cpu().contiguous()
        place = alone.untyped_storage().data_ptr()
        whole[name] = alone.clone() if place in places else alone  # the format shares no memory
        places.add(place)
    with replacing(file) as part:
        part.touch()
        mode = part.stat().st_mode  # what the user's umask allows; safetensors lets the owner alone
        try:
            save_file(whole, str(part), metadata={"note": note})
        except safetensors.SafetensorError as error:
            raise _as_os_error(error) from error
        part.chmod(mode)


def _as_os_error(error: Exception) -> OSError:
    """What safetensors makes text of, as Python has it."""
    code = re.search(r"code: (\d+)", str(error))
    number = errno.EIO if code is None else int(code[1])
    return OSError(number, os.strerror(number))


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read what :func:`write_tensors` wrote.

    Raises:
        UsageError: it is not there, is none, or holds numbers that are NaN or infinite.
    """
    with _open(file) as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    refuse_non_finite(tensors, file)
    return tensors


def read_note(file: Path) -> str:
    """The note in it. Raises a `UsageError` as :func:`read_tensors` does."""
    with _open(file) as opened:
        return str((opened.metadata() or {}).get("note", ""))


def _open(file: Path) -> Any:
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file; export the checkpoint again")
    try:
        return safetensors.safe_open(str(file), framework="pt")
    except (safetensors.SafetensorError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{file}: cannot be read ({reason}); export the checkpoint again"
        ) from error
