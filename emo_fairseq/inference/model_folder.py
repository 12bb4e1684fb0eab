"""Model folders: all that a trained model needs, as plain JSON, tensors and tokenizer files.

``config.json`` holds the options and the state of the task, ``model.safetensors`` every tensor of
the model, encoders included; ``text/`` and ``speech/`` the tokenizers. Nothing in them is executed
on reading, nothing else is read, and nothing is fetched. :mod:`emo_fairseq.export.model_folder`
writes them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from data_prep.tokens.folder import TOKENIZER_FILE
from data_prep.tokens.vq_wav2vec_tokenizer import PLACE_FILE
from emo_fairseq.encoder_card import EncoderCard
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.loading import FrontEnd, LoadedModel, build_model, build_task
from emo_fairseq.inference.recipes import FeatureRecipe
from emo_fairseq.modalities import MODALITIES
from emo_fairseq.pretrained.tensor_files import read_tensors

FORMAT = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
FEATURES_FILE = "features_{}.safetensors"  # of the encoder behind a modality's features

_TOKENIZER_CONFIG = "tokenizer_config.json"  # of transformers
_PARTS = ("task", "model", "state", "front_end")
_OF_STATE = ("labels", "encoders")
_FORMS: Mapping[str, type] = {
    "tokenizers": list,
    "missing": dict,
    "features": dict,
    "cleans_text": bool,
    "labels": list,
    "encoders": dict,
}
# What transformers would fetch or run if a configuration named it.
_RUNS_CODE = (
    *("auto_map", "custom_generate", "trust_remote_code", "quantization_config"),
    "use_pretrained_backbone",
)
_WEIGHTS_OPTION, _ALL = "checkpoint_weights", "all"  # any other would be read from elsewhere


def read_model_folder(folder: str | Path) -> LoadedModel:
    """Read a model folder.

    Raises:
        UsageError: a file is missing, damaged, or does not fit the others; names it.
    """
    folder = Path(folder)
    config = _read_config(folder)
    place = folder / CONFIG_FILE
    try:
        task = build_task(config["task"], config["state"])
        model = build_model(task, config["model"])
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from error
    except (
        *(OmegaConfBaseException, AttributeError, AssertionError),
        *(LookupError, RuntimeError, TypeError, ValueError),
    ) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{place}: describes no model that can be built ({type(error).__name__}: {reason}); "
            "export the checkpoint again"
        ) from error
    try:
        model.load_state_dict(read_tensors(folder / WEIGHTS_FILE))
    except UsageError as error:
        if str(folder) in str(error):
            raise
        raise UsageError(f"{folder / WEIGHTS_FILE}: {error}") from error
    tokenizers = {name: _tokenizer(folder / name) for name in config["front_end"]["tokenizers"]}
    return LoadedModel(task, model, tokenizers, _front_end(folder, config["front_end"]))


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG_FILE
    if not file.is_file():
        raise UsageError(
            f"{file}: there is no such file, so this is no model folder; write one with "
            "`emotion-recognize export CHECKPOINT --output FOLDER`"
        )
    config = _read_json(file)
    found = config if isinstance(config, dict) else {}
    if found.get("format") != FORMAT:
        raise UsageError(
            f"{file}: of format {found.get('format')}, where this version reads {FORMAT}; use the "
            "emo_fairseq that wrote it, or export the checkpoint again"
        )
    _check_form(file, found)
    return found


def _read_json(file: Path) -> Any:
    """Nested plain values. Raises a `UsageError` if they are none, or name code to run."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        code = _named_code(found)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{file}: cannot be read as JSON ({error}); export the checkpoint again"
        ) from error
    if code is not None:
        raise UsageError(
            f"{file}: names {code}, which may run the code of others; a model folder of ours "
            "names no such thing, so that this one is not loaded"
        )
    return found


def _check_form(file: Path, config: Mapping[str, Any]) -> None:
    """Refuse what has not the parts of a model."""
    broken = [part for part in _PARTS if not isinstance(config.get(part), dict)]
    if not broken:
        inside = config["front_end"] | {name: config["state"].get(name) for name in _OF_STATE}
        broken = [name for name, form in _FORMS.items() if not isinstance(inside.get(name), form)]
    if not broken:  # they name files
        parts = {name: config["front_end"][name] for name in ("tokenizers", "features")}
        broken = [part for part, names in parts.items() if any(n not in MODALITIES for n in names)]
    if not broken and config["model"].get(_WEIGHTS_OPTION) != _ALL:
        raise UsageError(
            f"{file}: {_WEIGHTS_OPTION} is {config['model'].get(_WEIGHTS_OPTION)!r}, so that "
            "weights would be read from outside of the folder; a model folder of ours holds all, "
            "so that this one is not loaded"
        )
    if broken:
        raise UsageError(
            f"{file}: lacks {', '.join(broken)}, or has it in another form; export the checkpoint "
            "again"
        )


def _named_code(value: Any) -> str | None:
    """The first option in nested plain values that would run or fetch code."""
    if isinstance(value, list):
        return next((found for x in value if (found := _named_code(x))), None)
    if not isinstance(value, dict):
        return None
    for name, inside in value.items():
        is_kernel = "attn_implementation" in name and inside not in (None, "eager", "sdpa")
        if (name in _RUNS_CODE and inside) or is_kernel:
            return f"{name} {inside!r}"
        if found := _named_code(inside):
            return found
    return None


def _tokenizer(folder: Path) -> Path:
    if not (folder / TOKENIZER_FILE).is_file():
        raise UsageError(f"{folder / TOKENIZER_FILE}: is missing; export the checkpoint again")
    if (settings := folder / _TOKENIZER_CONFIG).is_file():
        _read_json(settings)
    note = folder / PLACE_FILE
    if note.is_file():
        name = note.read_text(encoding="utf-8").strip()
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise UsageError(
                f"{note}: names {name}, and not a file beside it; export the checkpoint again"
            )
    return folder


def _front_end(folder: Path, config: Mapping[str, Any]) -> FrontEnd:
    recipes = {}
    for modality, recipe in config["features"].items():
        try:
            card = None if recipe["card"] is None else EncoderCard(**recipe["card"])
            weights = (
                None if card is None else read_tensors(folder / FEATURES_FILE.format(modality))
            )
            tokenizer = _tokenizer(folder / modality) if recipe["reads_tokens"] else None
            recipes[modality] = FeatureRecipe(recipe["settings"], card, weights, tokenizer)
        except (LookupError, TypeError) as error:
            raise UsageError(
                f"{folder / CONFIG_FILE}: features of {modality} are not described in full "
                f"({error}); export the checkpoint again"
            ) from error
    missing = {str(name): str(what) for name, what in config["missing"].items()}
    return FrontEnd(missing, recipes, config["cleans_text"])
