"""Weights of encoders: loaded exactly, stored as safetensors, known by their digests."""

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
    """Load a state dict.

    Args:
        module: takes the weights.
        weights: by name.
        not_taken: beginnings of the names that the module has no use for, such as a head's.
        source: where the weights are from, for messages.

    Raises:
        UsageError: a parameter is missing, superfluous, of another shape, NaN or infinite.
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
    told = [
        f"{verb} {len(names)} parameters ({first_few(sorted(names), _KEYS_NAMED)})"
        for verb, names in misfits.items()
        if names
    ]
    if told:
        raise UsageError(
            f"{source}: {' and '.join(told)}; the weights are not of the model that their own "
            "configuration describes: fetch them again",
            "weights-mismatch",
        )


def log_not_taken(source: str, names: Sequence[str]) -> None:
    """Say how much of a checkpoint is of no use here."""
    if names:
        logger.info(
            "%s: %d entries not taken (%s)", source, len(names), first_few(names, _KEYS_NAMED)
        )


# -- Digests of weights: what a card remembers of its files, and whether they are still the same


def weights_file_digest(file: Path) -> str:
    """SHA-256 of a file of weights. Raises a `UsageError` if it cannot be read."""
    try:
        return digest_once(file)
    except ValueError as error:
        raise UsageError(str(error), "weights-unreadable") from error


def check_unchanged(card: EncoderSpec, digest: str) -> None:
    """Raise a `UsageError` if the files, with this digest now, are not those of the card."""
    if digest != card.weights:
        raise UsageError(
            f"{card.source}: the weights there have changed since training (SHA-256 "
            f"{digest[:12]}, where {card.weights[:12]} was trained with); put the former files "
            "back there, or train anew with another --save-dir",
            "weights-changed",
        )


# -- Tensors on disk without pickle: safetensors ---------------------------------------------------


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
