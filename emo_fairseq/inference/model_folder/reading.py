"""Read a model folder: its state, its model, its tokenizers and feature extractors."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.tokens.folder import TOKENIZER_FILE
from data_prep.tokens.vq_wav2vec import PATH_FILE
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.input_processor import FeatureExtractorSpec, InputProcessor
from emo_fairseq.inference.model import LoadedModel
from emo_fairseq.inference.model_folder.config import (
    ProcessorConfig,
    check_options_exist,
    read_config,
    read_json,
    read_state,
)
from emo_fairseq.inference.model_folder.files import (
    CONFIG_FILE,
    EXPORT_AGAIN,
    FEATURES_FILE,
    WEIGHTS_FILE,
)
from emo_fairseq.inference.model_folder.records import verify_folder

if TYPE_CHECKING:
    from torch import Tensor

_TOKENIZER_CONFIG = "tokenizer_config.json"  # of transformers


def read_model_folder(folder: str | Path) -> LoadedModel:
    """Read a model folder.

    Raises:
        UsageError: a file is missing, damaged, or does not fit the others; names it.
    """
    from omegaconf.errors import OmegaConfBaseException

    from emo_fairseq.compat.size_limits import Stored
    from emo_fairseq.inference.checkpoint import build_model
    from emo_fairseq.pretrained.weights import read_tensors

    folder = Path(folder)
    config = read_config(folder)
    file = folder / CONFIG_FILE
    check_options_exist(file, config)
    verify_folder(folder, read_json(file))
    tensors = read_tensors(folder / WEIGHTS_FILE)
    try:
        state = read_state(folder, config)
        model = build_model(config.model, state, Stored.of(tensors), str(file), EXPORT_AGAIN)
    except UsageError as error:
        if str(folder) in str(error):
            raise
        raise UsageError(f"{file}: {error}", error.code) from error
    except (  # what wrong options and states raise while a model is built
        OmegaConfBaseException,
        AttributeError,
        AssertionError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise UsageError(
            f"{file}: describes no model that can be built ({type(error).__name__}: "
            f"{_reason(error)}); {EXPORT_AGAIN}",
            "model-config-invalid",
        ) from error
    try:
        model.load_state_dict(tensors)
    except UsageError as error:
        if str(folder) in str(error):
            raise
        raise UsageError(f"{folder / WEIGHTS_FILE}: {error}", error.code) from error
    return LoadedModel(state, model, read_processor(folder, config.front_end))


def _reason(error: Exception) -> str:
    """Return the first line of a message, and the option that omegaconf names in a later one."""
    first, *rest = str(error).strip().split("\n")
    keys = [line.strip() for line in rest if line.strip().startswith("full_key:")]
    return " ".join([first] + [f"({key})" for key in keys])


def read_processor(
    folder: Path, config: ProcessorConfig, without: Collection[str] = ()
) -> InputProcessor:
    """Return the tokenizers and feature extractors of a model folder.

    Raises:
        UsageError: a file of theirs is missing or damaged.
    """
    extractors = {}
    for modality, features in config.features.items():
        if modality in without:
            continue
        encoder = None if features.card is None else EncoderSpec(**features.card.model_dump())
        weights = None if encoder is None else _read_weights(folder, modality)
        tokenizer = _check_tokenizer(folder / modality) if features.reads_tokens else None
        extractors[modality] = FeatureExtractorSpec(features.settings, encoder, weights, tokenizer)
    tokenizers = {name: _check_tokenizer(folder / name) for name in config.tokenizers}
    return InputProcessor(tokenizers, extractors, config.missing, config.cleans_text)


def _read_weights(folder: Path, modality: str) -> "Mapping[str, Tensor]":
    """Return the weights of the encoder that a modality's features come from."""
    from emo_fairseq.pretrained.weights import read_tensors

    return read_tensors(folder / FEATURES_FILE.format(modality))


def _check_tokenizer(folder: Path) -> Path:
    """Return a folder that holds a tokenizer, of which nothing is read from elsewhere."""
    if not (folder / TOKENIZER_FILE).is_file():
        raise UsageError(
            f"{folder / TOKENIZER_FILE}: is missing; {EXPORT_AGAIN}", "tokenizer-missing"
        )
    if (settings := folder / _TOKENIZER_CONFIG).is_file():
        read_json(settings)
    note = folder / PATH_FILE
    if note.is_file():
        name = note.read_text(encoding="utf-8").strip()
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise UsageError(
                f"{note}: names {name}, and not a file beside it; {EXPORT_AGAIN}",
                "weights-elsewhere",
            )
    return folder
