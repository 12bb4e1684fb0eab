"""Encoders ``hf:PLACE`` over raw samples: the families, and what they have in common."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from data_prep.schema import SAMPLE_RATE
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.pretrained.hf_files import (
    check_json,
    config_from_state,
    config_to_state,
    read_config,
    read_weights,
    transformers,
    weights_digest,
)
from emo_fairseq.pretrained.hf_wav2vec2 import HuggingFaceWav2Vec2
from emo_fairseq.pretrained.hf_whisper import HuggingFaceWhisper
from emo_fairseq.types import WAVEFORM


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


def describe_hf_audio(place: str) -> EncoderSpec:
    """The card of a folder, or of a name on the hub.

    Raises:
        UsageError: there is no such model, it is none over raw samples that is known here, or it
            does not say how it wants them.
    """
    config = read_config(place)
    if config.model_type not in _FAMILIES:
        raise UsageError(
            f"hf:{place}: a model {config.model_type}, which is none of {', '.join(_FAMILIES)}; "
            "give one of these to --speech-encoder",
            "encoder-unsupported",
        )
    settings = config_to_state(config)
    return EncoderSpec(
        spec=f"hf:{place}",
        input=WAVEFORM,
        architecture={
            "config": {name: _OFF.get(name, value) for name, value in settings.items()},
            "front_end": _front_end(place, _FAMILIES[config.model_type].front_end),
        },
        weights=weights_digest(place),
    )


def build_hf_audio(card: EncoderSpec) -> Encoder:
    """With random weights, and without the folder."""
    config = config_from_state(card.architecture["config"])
    encoder: Encoder = _FAMILIES[config.model_type].build(config, card.architecture["front_end"])
    return encoder


def load_hf_audio(encoder: Encoder, card: EncoderSpec) -> None:
    """Put the pretrained weights into an encoder that :func:`build_hf_audio` made.

    Raises:
        UsageError: see :func:`read_weights`.
    """
    config = config_from_state(card.architecture["config"])
    family = _FAMILIES[config.model_type]
    weights = read_weights(card, config, family.not_taken, family.inside)
    encoder.model.load_state_dict(weights)  # type: ignore[union-attr]


def _front_end(place: str, kept: Sequence[str] | None) -> dict[str, Any]:
    """The settings of the feature extractor, as plain values."""
    check_json(place, "preprocessor_config.json")
    try:
        extractor = transformers().AutoFeatureExtractor.from_pretrained(place)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"hf:{place}: does not say how it wants its samples; put the model's "
            "preprocessor_config.json there",
            "preprocessor-missing",
        ) from error
    if extractor.sampling_rate != SAMPLE_RATE:
        raise UsageError(
            f"hf:{place}: reads speech at {extractor.sampling_rate} Hz, where ours is at "
            f"{SAMPLE_RATE}; give another model",
            "encoder-sample-rate",
        )
    settings: dict[str, Any] = json.loads(extractor.to_json_string())
    return {name: value for name, value in settings.items() if kept is None or name in kept}
