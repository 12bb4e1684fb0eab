"""fairseq's checkpoints, old and new, fine-tuned or not, as one plain record."""

import pickle
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq.models import ARCH_MODEL_NAME_REGISTRY
from omegaconf import OmegaConf

from emo_fairseq.compat.torch_files import (
    load_torch_file,
    reason,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.pretrained.weights import weights_file_digest

MODEL_FILE = "model.pt"

# Fine-tuned models hold the pretrained one, and its configuration in `w2v_args`: below this.
_WRAPPED: Mapping[str, str] = {
    "wav2vec_ctc": "w2v_encoder.w2v_model.",
    "wav2vec_seq2seq": "encoder.w2v_model.",
    "hubert_ctc": "w2v_encoder.w2v_model.",
}
_RENAMED: Mapping[str, str] = {"audio_cpc": "wav2vec"}  # architectures


@dataclass(frozen=True)
class FairseqCheckpoint:
    """A pretrained model, out of whatever was built around it.

    Attributes:
        file: the checkpoint.
        model: fairseq's name of the model, such as ``wav2vec2``.
        arch: and of its architecture, such as ``roberta_base``; mostly the same.
        config: the model's options, as far as the checkpoint names them.
        task: the task's.
        weights: by name; of a fine-tuned model those of the pretrained one.
        others: names of the weights that were built around it.
    """

    file: Path
    model: str
    arch: str
    config: dict[str, Any]
    task: dict[str, Any]
    weights: dict[str, Any]
    others: list[str]


def find_checkpoint(place: str | Path) -> Path:
    """The file itself, or the ``model.pt`` in a folder. Raises a `UsageError` if there is none."""
    file = Path(place)
    if file.is_dir():
        file = file / MODEL_FILE
    if not file.is_file():
        raise UsageError(
            f"{file}: there is no such checkpoint; name a checkpoint of fairseq, or a folder with "
            f"{MODEL_FILE}",
            "checkpoint-missing",
        )
    return file


def checkpoint_digest(place: str | Path) -> str:
    """SHA-256 of the checkpoint. Raises a `UsageError` if there is none."""
    return weights_file_digest(find_checkpoint(place))


def read_checkpoint(place: str | Path) -> FairseqCheckpoint:
    """Read a checkpoint without running code in it.

    fairseq's own reader would turn options of old into those of today by way of Hydra, which, in
    the versions of today, does not take the nested ones of a fine-tuned model. What is asked of
    them here needs no such turn.

    Raises:
        UsageError: there is none, or it is not what fairseq writes.
    """
    file = find_checkpoint(place)
    state = _load(file)
    found = state if isinstance(state, dict) else {}
    # Before 2021 `args`, one flat namespace; then `cfg`, with `args` = None beside it.
    options = found["args"] if found.get("args") is not None else found.get("cfg")
    if not options or not isinstance(found.get("model"), dict):
        raise UsageError(
            f"{file}: holds no model with its options, which fairseq writes as `model` and `cfg` "
            "or `args`; give a checkpoint of fairseq",
            "checkpoint-without-model",
        )
    weights: dict[str, Any] = found["model"]
    arch, config, task = _sections(options)
    others: list[str] = []
    if (prefix := _WRAPPED.get(arch)) is not None:
        if not config.get("w2v_args"):
            raise UsageError(
                f"{file}: a fine-tuned model that does not say what was fine-tuned; "
                "give the pretrained checkpoint",
                "checkpoint-without-model",
            )
        arch, config, task = _sections(config["w2v_args"])
        others = [name for name in weights if not name.startswith(prefix)]
        weights = {
            name.removeprefix(prefix): value
            for name, value in weights.items()
            if name.startswith(prefix)
        }
    model = ARCH_MODEL_NAME_REGISTRY.get(arch, arch)
    return FairseqCheckpoint(file, model, arch, config, task, dict(weights), others)


def _load(file: Path) -> Any:
    try:
        return load_torch_file(file)
    except UsageError:
        raise
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"{file}: no checkpoint, or one that holds more than weights and plain values "
            f"({reason(error)}); a file that may run code on loading is not loaded",
            "checkpoint-unsafe",
        ) from error
    except (EOFError, RuntimeError, ValueError, OSError, LookupError, AttributeError) as error:
        raise UsageError(
            f"{file}: cannot be read as a checkpoint ({reason(error)})", "checkpoint-unreadable"
        ) from error


def _sections(options: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Name of the architecture, options of the model and of the task."""
    named = _plain(options)
    is_flat = isinstance(options, Namespace)
    model, task = (named if is_flat else _plain(named.get(part, {})) for part in ("model", "task"))
    name = str(model.get("_name") or model.get("arch"))
    return _RENAMED.get(name, name), model, task


def _plain(options: Any) -> dict[str, Any]:
    """Options as a dict, whichever of fairseq's forms they are in; what is None says nothing."""
    if OmegaConf.is_config(options):
        options = OmegaConf.to_container(options, enum_to_str=True)
    named = vars(options) if isinstance(options, Namespace) else options
    return {str(name): value for name, value in named.items() if value is not None}
