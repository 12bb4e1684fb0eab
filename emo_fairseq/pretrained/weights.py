"""Load weights of encoders strictly, store them as safetensors, and check their digests."""

import errno
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import save_file
from torch import Tensor, nn

from data_prep.files.digests import digest_once
from data_prep.files.replacing import replacing
from data_prep.messages import first_few
from emo_fairseq.compat.torch_files import refuse_non_finite
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)

_KEYS_NAMED = 3


def load_exactly(
    module: nn.Module, weights: Mapping[str, Any], not_taken: Sequence[str], source: str
) -> None:
    """Load a state dict strictly.

    Args:
        module: loads the weights.
        weights: by name.
        not_taken: prefixes of weights that are skipped, such as those of a head.
        source: origin of the weights, for messages.

    Raises:
        UsageError: a parameter is missing, unexpected, of another shape, NaN or infinite.
    """
    taken = {
        name: value for name, value in weights.items() if not name.startswith(tuple(not_taken))
    }
    refuse_non_finite(taken, source)
    own = module.state_dict()
    refuse_misfits(
        source,
        {
            "lacks": [name for name in own if name not in taken],
            "has, beside those of the model,": [name for name in taken if name not in own],
            "has in another shape": [
                name for name in own if name in taken and taken[name].shape != own[name].shape
            ],
        },
    )
    module.load_state_dict(taken)
    log_not_taken(source, [name for name in weights if name not in taken])


def refuse_misfits(source: str, misfits: Mapping[str, Sequence[str]]) -> None:
    """Raise a `UsageError` if any of these lists of names, each under its verb, is not empty."""
    parts = [
        f"{verb} {len(names)} parameters ({first_few(sorted(names), _KEYS_NAMED)})"
        for verb, names in misfits.items()
        if names
    ]
    if parts:
        raise UsageError(
            f"{source}: {' and '.join(parts)}; the weights do not match their configuration: fetch "
            "them again",
            "weights-mismatch",
        )


def log_not_taken(source: str, names: Sequence[str]) -> None:
    """Log how many weights of a checkpoint are skipped."""
    if names:
        logger.info(
            "%s: %d entries skipped (%s)", source, len(names), first_few(names, _KEYS_NAMED)
        )


# -- Digests ---------------------------------------------------------------------------------------


def weights_file_digest(file: Path) -> str:
    """Return the SHA-256 of a file of weights.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return digest_once(file)
    except ValueError as error:
        raise UsageError(str(error), "weights-unreadable") from error


def check_unchanged(encoder_spec: EncoderSpec, digest: str) -> None:
    """Raise a `UsageError` if the files, with this digest now, have changed."""
    if digest != encoder_spec.weights:
        raise UsageError(
            f"{encoder_spec.source}: the weights there have changed since training (SHA-256 "
            f"{digest[:12]}, formerly {encoder_spec.weights[:12]}); restore those files, or train "
            "again with another --save-dir",
            "weights-changed",
        )


# -- safetensors -----------------------------------------------------------------------------------


def write_tensors(file: Path, tensors: Mapping[str, Tensor], note: str = "") -> None:
    """Write a state dict as safetensors, atomically; shared tensors are written several times.

    Args:
        file: the file, replaced when the new one is complete.
        tensors: by name.
        note: text returned by :func:`read_note`.
    """
    state: dict[str, Tensor] = {}
    addresses: set[int] = set()
    for name, value in tensors.items():
        tensor = value.detach().cpu().contiguous()
        address = tensor.untyped_storage().data_ptr()
        state[name] = tensor.clone() if address in addresses else tensor  # refuses shared memory
        addresses.add(address)
    with replacing(file) as part:
        part.touch()
        mode = part.stat().st_mode  # by the user's umask; safetensors sets 0600
        try:
            save_file(state, str(part), metadata={"note": note})
        except safetensors.SafetensorError as error:
            raise _as_os_error(error) from error
        part.chmod(mode)


def _as_os_error(error: Exception) -> OSError:
    """Convert an error of safetensors, which has the system's code in its text, to an OSError."""
    code = re.search(r"code: (\d+)", str(error))
    number = errno.EIO if code is None else int(code[1])
    return OSError(number, os.strerror(number))


def read_tensors(file: Path, only: str = "") -> dict[str, Tensor]:
    """Read the tensors of a file of :func:`write_tensors`, by name.

    Args:
        file: the file.
        only: with what the names of those begin that are read.

    Raises:
        UsageError: it is missing, unreadable, or holds NaN or infinity.
    """
    with _open(file) as opened:
        names = [name for name in opened.keys() if name.startswith(only)]  # noqa: SIM118
        tensors = {name: opened.get_tensor(name) for name in names}
    refuse_non_finite(tensors, file)
    return tensors


def read_note(file: Path) -> str:
    """Read the note of a file of :func:`write_tensors`.

    Raises:
        UsageError: it is missing or unreadable.
    """
    with _open(file) as opened:
        return str((opened.metadata() or {}).get("note", ""))


def _open(file: Path) -> Any:
    if not file.is_file():
        raise UsageError(
            f"{file}: there is no such file; export the checkpoint again", "weights-missing"
        )
    try:
        return safetensors.safe_open(str(file), framework="pt")
    except (safetensors.SafetensorError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{file}: cannot be read ({reason}); export the checkpoint again", "weights-unreadable"
        ) from error
