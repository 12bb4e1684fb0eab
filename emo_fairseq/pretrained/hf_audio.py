"""Speech encoders of Hugging Face: the families, and how they are described and loaded."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from data_prep.files.model_folders import model_folder
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.encoder_spec import WHISPER, EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import WAVEFORM
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


class _Family(NamedTuple):
    build: Callable[..., Any]  # called with configuration and front end; Whisper, with padding too
    front_end: Sequence[str] | None  # settings of the feature extractor to keep; None = all
    inside: str  # prefix of the encoder's weights in the whole model
    not_taken: Sequence[str]  # prefixes of weights that are not of the encoder


_WAV2VEC2 = _Family(
    HuggingFaceWav2Vec2,
    ("do_normalize",),
    "",
    (
        "masked_spec_embed",
        "lm_head.",
        "final_proj.",
        "label_embeddings_concat",
        "quantizer.",
        "project_q.",
        "project_hid.",  # pretraining
        "projector.",
        "classifier.",
        "layer_weights",
        "tdnn.",
        "objective.",
        "feature_extractor.weight",
        "feature_extractor.bias",  # x-vectors
    ),
)
_FAMILIES: Mapping[str, _Family] = {  # by model_type
    **dict.fromkeys(("wav2vec2", "hubert", "wavlm", "data2vec-audio"), _WAV2VEC2),
    WHISPER: _Family(
        HuggingFaceWhisper,
        None,
        "encoder.",
        ("proj_out.", "projector.", "classifier.", "layer_weights"),
    ),
}

# Disabled augmentation: LayerDrop and SpecAugment draw from numpy's generator, whose state is not
# restored on resume.
_OFF: Mapping[str, Any] = {
    "layerdrop": 0.0,
    "encoder_layerdrop": 0.0,
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
}


def describe_hf_audio(source: str) -> EncoderSpec:
    """Describe a model in a folder, or on the hub.

    Raises:
        UsageError: there is no such model, it is not a supported speech encoder, or it has no
            feature extractor for 16 kHz.
    """
    config = read_config(source)
    if config.model_type not in _FAMILIES:
        raise UsageError(
            f"hf:{source}: the model type {config.model_type} is not supported as "
            f"--speech-encoder; give one of {', '.join(_FAMILIES)}",
            "encoder-unsupported",
        )
    settings = config_to_state(config)
    return EncoderSpec(
        spec=f"hf:{source}",
        input=WAVEFORM,
        architecture={
            "config": {name: _OFF.get(name, value) for name, value in settings.items()},
            "front_end": _front_end(source, _FAMILIES[config.model_type].front_end),
        },
        weights=weights_digest(source),
    )


def build_hf_audio(encoder_spec: EncoderSpec) -> Encoder:
    """Build the encoder with random weights, without its folder."""
    architecture = encoder_spec.architecture
    config = config_from_state(architecture["config"])
    padding = {"padding": encoder_spec.whisper_padding} if encoder_spec.is_whisper else {}
    encoder: Encoder = _FAMILIES[config.model_type].build(
        config, architecture["front_end"], **padding
    )
    return encoder


def load_hf_audio(encoder: Encoder, encoder_spec: EncoderSpec) -> None:
    """Load the pretrained weights into an encoder built by :func:`build_hf_audio`.

    Raises:
        UsageError: see :func:`read_weights`.
    """
    config = config_from_state(encoder_spec.architecture["config"])
    family = _FAMILIES[config.model_type]
    weights = read_weights(encoder_spec, config, family.not_taken, family.inside)
    encoder.model.load_state_dict(weights)  # type: ignore[union-attr]


def _front_end(source: str, kept: Sequence[str] | None) -> dict[str, Any]:
    """Return the settings of the feature extractor, as plain values."""
    check_json(source, "preprocessor_config.json")
    try:
        extractor = transformers().AutoFeatureExtractor.from_pretrained(model_folder(source))
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"hf:{source}: has no settings of a feature extractor; put the model's "
            "preprocessor_config.json there",
            "preprocessor-missing",
        ) from error
    if extractor.sampling_rate != SAMPLE_RATE:
        raise UsageError(
            f"hf:{source}: expects speech at {extractor.sampling_rate} Hz, not at {SAMPLE_RATE}; "
            "give another model",
            "encoder-sample-rate",
        )
    settings: dict[str, Any] = json.loads(extractor.to_json_string())
    return {name: value for name, value in settings.items() if kept is None or name in kept}
