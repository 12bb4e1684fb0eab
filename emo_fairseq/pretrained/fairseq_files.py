"""Read fairseq's checkpoints of any version, pretrained or fine-tuned, and those of FunASR."""

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
from emo_fairseq.pretrained.funasr_files import CONFIG_FILE, read_funasr
from emo_fairseq.pretrained.funasr_files import MODEL as FUNASR_MODEL
from emo_fairseq.pretrained.weights import weights_file_digest

MODEL_FILE = "model.pt"

# Prefix of the pretrained model's weights in fine-tuned models; its options are in `w2v_args`.
_WRAPPED: Mapping[str, str] = {
    "wav2vec_ctc": "w2v_encoder.w2v_model.",
    "wav2vec_seq2seq": "encoder.w2v_model.",
    "hubert_ctc": "w2v_encoder.w2v_model.",
}
_RENAMED: Mapping[str, str] = {"audio_cpc": "wav2vec"}  # old names of architectures


@dataclass(frozen=True)
class FairseqCheckpoint:
    """Options and weights of a pretrained model, without the parts added by fine-tuning.

    Attributes:
        file: the checkpoint.
        model: fairseq's name of the model, such as ``wav2vec2``.
        arch: fairseq's name of the architecture, such as ``roberta_base``; often the same.
        config: options of the model that the checkpoint holds.
        task: options of the task.
        weights: by name; in a fine-tuned model those of the pretrained part.
        others: names of the other weights.
    """

    file: Path
    model: str
    arch: str
    config: dict[str, Any]
    task: dict[str, Any]
    weights: dict[str, Any]
    others: list[str]


def find_checkpoint(path: str | Path) -> Path:
    """Return the file itself, or the ``model.pt`` in a folder.

    Raises:
        UsageError: there is none.
    """
    file = Path(path)
    if file.is_dir():
        file = file / MODEL_FILE
    if not file.is_file():
        raise UsageError(
            f"{file}: there is no such checkpoint; give a checkpoint of fairseq, or a folder with "
            f"{MODEL_FILE}",
            "checkpoint-missing",
        )
    return file


def checkpoint_digest(path: str | Path) -> str:
    """Return the SHA-256 of a checkpoint.

    Raises:
        UsageError: there is none.
    """
    return weights_file_digest(find_checkpoint(path))


def read_checkpoint(path: str | Path) -> FairseqCheckpoint:
    """Read a checkpoint, or FunASR's form of one, without executing code from it.

    fairseq's own reader converts old options by Hydra, current versions of which do not accept the
    nested options of a fine-tuned model. The options used here need no conversion.

    Raises:
        UsageError: there is no checkpoint, or it was not written by fairseq.
    """
    file = find_checkpoint(path)
    state = _load(file)
    checkpoint = state if isinstance(state, dict) else {}
    # Before 2021 `args`, one flat namespace; then `cfg`, with `args` = None beside it.
    args = checkpoint.get("args")
    options = args if args is not None else checkpoint.get("cfg")
    if not options and (funasr := read_funasr(file, checkpoint)) is not None:
        return FairseqCheckpoint(file, FUNASR_MODEL, FUNASR_MODEL, *funasr)
    if not options or not isinstance(checkpoint.get("model"), dict):
        raise UsageError(
            f"{file}: lacks the model or its options, which fairseq saves as `model` and `cfg` or "
            f"`args`, and FunASR in {CONFIG_FILE} beside it; give a checkpoint of fairseq, or "
            "FunASR's emotion2vec with that file",
            "checkpoint-without-model",
        )
    weights: dict[str, Any] = checkpoint["model"]
    arch, config, task = _sections(options)
    others: list[str] = []
    if (prefix := _WRAPPED.get(arch)) is not None:
        if not config.get("w2v_args"):
            raise UsageError(
                f"{file}: a fine-tuned model without the options of the pretrained one; "
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
            f"{file}: not a checkpoint, or one that holds more than weights and plain values "
            f"({reason(error)}); files that may execute code are not loaded",
            "checkpoint-unsafe",
        ) from error
    except (EOFError, RuntimeError, ValueError, OSError, LookupError, AttributeError) as error:
        raise UsageError(
            f"{file}: cannot be read as a checkpoint ({reason(error)})", "checkpoint-unreadable"
        ) from error


def _sections(options: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the name of the architecture, the options of the model, and those of the task."""
    named = _plain(options)
    is_flat = isinstance(options, Namespace)
    model, task = (named if is_flat else _plain(named.get(part, {})) for part in ("model", "task"))
    name = str(model.get("_name") or model.get("arch"))
    return _RENAMED.get(name, name), model, task


def _plain(options: Any) -> dict[str, Any]:
    """Convert options from any of fairseq's forms to a dict, without those that are None."""
    if OmegaConf.is_config(options):
        options = OmegaConf.to_container(options, enum_to_str=True)
    named = vars(options) if isinstance(options, Namespace) else options
    return {str(name): value for name, value in named.items() if value is not None}
