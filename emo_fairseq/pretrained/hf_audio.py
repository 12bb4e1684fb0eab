"""Encoders ``hf:PLACE`` over raw samples: the families, and what they have in common."""

import importlib
import json
import pickle
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from data_prep.schema import SAMPLE_RATE
from emo_fairseq.encoder_card import EncoderCard
from emo_fairseq.errors import UsageError
from emo_fairseq.inputs import WAVEFORM
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.pretrained.exact_load import log_not_taken, refuse_misfits
from emo_fairseq.pretrained.hf_extra import transformers
from emo_fairseq.pretrained.hf_files import read_config, weights_digest
from emo_fairseq.pretrained.hf_wav2vec2 import HuggingFaceWav2Vec2
from emo_fairseq.pretrained.hf_whisper import HuggingFaceWhisper


class _Family(NamedTuple):
    build: Callable[[Any, Mapping[str, Any]], Any]
    front_end: Sequence[str] | None  # the settings of the feature extractor to keep; None = all
    inside: str  # of the whole model the part that is the encoder
    not_taken: Sequence[str]  # beginnings of names of what others built around the model


_WAV2VEC2 = _Family(
    HuggingFaceWav2Vec2,
    ("do_normalize",),
    "",
    (
        *("masked_spec_embed", "lm_head.", "final_proj.", "label_embeddings_concat"),
        *("quantizer.", "project_q.", "project_hid."),  # pretraining
        *("projector.", "classifier.", "layer_weights"),
        *("tdnn.", "objective.", "feature_extractor.weight", "feature_extractor.bias"),  # x-vectors
    ),
)
_FAMILIES: Mapping[str, _Family] = {  # by model_type
    **dict.fromkeys(("wav2vec2", "hubert", "wavlm", "data2vec-audio"), _WAV2VEC2),
    "whisper": _Family(
        *(HuggingFaceWhisper, None, "encoder."),
        ("proj_out.", "projector.", "classifier.", "layer_weights"),
    ),
}

# Randomness that no option of ours asks for. Layers are dropped, and spans masked, at numpy's
# pleasure, whose state a resumed training does not have.
_OFF: Mapping[str, Any] = {
    "layerdrop": 0.0,
    "encoder_layerdrop": 0.0,
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
}
_NOT_KEPT = ("_name_or_path", "transformers_version")


def describe_hf_audio(place: str) -> EncoderCard:
    """The card of a folder, or of a name on the hub.

    Raises:
        UsageError: there is no such model, it is none over raw samples that is known here, or it
            does not say how it wants them.
    """
    config = read_config(place)
    if config.model_type not in _FAMILIES:
        raise UsageError(
            f"hf:{place}: a model {config.model_type}, which is none of {', '.join(_FAMILIES)}; "
            "give one of these to --speech-encoder"
        )
    settings = json.loads(config.to_json_string(use_diff=False))
    settings |= {name: value for name, value in _OFF.items() if name in settings}
    settings |= {"dtype": "float32"}
    return EncoderCard(
        spec=f"hf:{place}",
        input=WAVEFORM,
        architecture={
            "config": {name: value for name, value in settings.items() if name not in _NOT_KEPT},
            "front_end": _front_end(place, _FAMILIES[config.model_type].front_end),
        },
        weights=weights_digest(place),
    )


def build_hf_audio(card: EncoderCard) -> Encoder:
    """With random weights, and without the folder."""
    config = _config(card)
    encoder: Encoder = _FAMILIES[config.model_type].build(config, card.architecture["front_end"])
    return encoder


def load_hf_audio(encoder: Encoder, card: EncoderCard) -> None:
    """Put the pretrained weights into an encoder that :func:`build_hf_audio` made.

    Raises:
        UsageError: the folder is gone, or lacks a parameter of the model, or has it in another
            shape, or has others.
    """
    config = _config(card)
    family = _FAMILIES[config.model_type]
    model, found = _read_model(card, config)
    weights: dict[str, Tensor] = model.state_dict()
    unexpected = [
        key.removeprefix(f"{model.base_model_prefix}.") for key in found["unexpected_keys"]
    ]
    around = [name for name in unexpected if name.startswith(tuple(family.not_taken))]
    refuse_misfits(
        card.spec,
        {
            "lacks": [name for name in found["missing_keys"] if name.startswith(family.inside)],
            "has, beside those of the model,": [n for n in unexpected if n not in around],
            "has in another shape": [
                name for name, *_ in found["mismatched_keys"] if name.startswith(family.inside)
            ],
        },
    )
    inside = {
        name.removeprefix(family.inside): value
        for name, value in weights.items()
        if name.startswith(family.inside)
    }
    encoder.model.load_state_dict(inside)  # type: ignore[union-attr]
    outside = [name for name in weights if not name.startswith(family.inside)]
    log_not_taken(card.spec, [*around, *outside])


def _config(card: EncoderCard) -> Any:
    settings = dict(card.architecture["config"])
    return transformers().AutoConfig.for_model(settings.pop("model_type"), **settings)


def _front_end(place: str, kept: Sequence[str] | None) -> dict[str, Any]:
    """The settings of the feature extractor, as plain values."""
    try:
        extractor = transformers().AutoFeatureExtractor.from_pretrained(place)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"hf:{place}: does not say how it wants its samples; put the model's "
            "preprocessor_config.json there"
        ) from error
    if extractor.sampling_rate != SAMPLE_RATE:
        raise UsageError(
            f"hf:{place}: reads speech at {extractor.sampling_rate} Hz, where ours is at "
            f"{SAMPLE_RATE}; give another model"
        )
    settings: dict[str, Any] = json.loads(extractor.to_json_string())
    return {name: value for name, value in settings.items() if kept is None or name in kept}


def _read_model(card: EncoderCard, config: Any) -> tuple[Any, dict[str, Any]]:
    """The model with its weights, and what transformers has to report of them."""
    try:
        model, found = transformers().AutoModel.from_pretrained(
            card.place,
            config=config,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told, by our own sentence
        )
    except (
        *(OSError, ValueError, KeyError, RuntimeError, EOFError),
        *(pickle.UnpicklingError, struct.error, _safetensors_error()),
    ) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"{card.spec}: the weights cannot be read ({reason})") from error
    return model, found


def _safetensors_error() -> type[Exception]:
    """Of a library that comes with transformers, and so may not be there either."""
    error: type[Exception] = importlib.import_module("safetensors").SafetensorError
    return error
