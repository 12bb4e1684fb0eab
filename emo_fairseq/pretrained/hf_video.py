"""Video encoders of Hugging Face: the families, and how they are described and loaded."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import PIXELS
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.pretrained.hf_clips import HuggingFaceClips, space_first, time_first
from emo_fairseq.pretrained.hf_files import (
    config_from_state,
    config_to_state,
    read_config,
    read_weights,
    weights_digest,
)
from emo_fairseq.pretrained.hf_images import HuggingFaceImages
from emo_fairseq.pretrained.pictures import read_front_end


class _Family(NamedTuple):
    build: Callable[[Any, Mapping[str, Any]], Encoder]  # from a configuration and a front end
    not_taken: Sequence[str]  # prefixes of weights that are not of the encoder
    inside: str = ""  # prefix of the encoder's weights in the whole model


def _vit(config: Any, front_end: Mapping[str, Any]) -> Encoder:
    return HuggingFaceImages(
        config, front_end, "layers", ("embeddings",), "layernorm", add_pooling_layer=False
    )


def _dinov2(config: Any, front_end: Mapping[str, Any]) -> Encoder:
    return HuggingFaceImages(config, front_end, "encoder.layer", ("embeddings",), "layernorm")


def _clip(config: Any, front_end: Mapping[str, Any]) -> Encoder:
    before = ("embeddings", "pre_layrnorm")
    return HuggingFaceImages(
        _vision_of(config), front_end, "encoder.layers", before, "post_layernorm"
    )


def _vivit(config: Any, front_end: Mapping[str, Any]) -> Encoder:
    step = int(config.tubelet_size[0])
    return HuggingFaceClips(
        config, front_end, "layers", step, 1, time_first, add_pooling_layer=False
    )


def _videomae(config: Any, front_end: Mapping[str, Any]) -> Encoder:
    step = int(config.tubelet_size)
    return HuggingFaceClips(config, front_end, "encoder.layer", step, 0, time_first)


def _timesformer(config: Any, front_end: Mapping[str, Any]) -> Encoder:
    if config.attention_type == "space_only":
        raise UsageError(
            "TimeSformer with attention over space alone encodes no time; give one with "
            "divided_space_time, or an image encoder",
            "encoder-unsupported",
        )
    return HuggingFaceClips(config, front_end, "encoder.layer", 1, 1, space_first)


_HEADS = ("pooler.", "classifier.", "decoder.", "fc_norm.")
_MASKS = ("mask_token", "position_embeddings", "encoder_to_decoder.", "embeddings.mask_token")
_FAMILIES: Mapping[str, _Family] = {  # by model_type
    "vit": _Family(_vit, (*_HEADS, "embeddings.mask_token")),
    "dinov2": _Family(_dinov2, _HEADS),
    "clip_vision_model": _Family(_clip, ("visual_projection.",)),
    "clip": _Family(
        _clip,
        ("text_model.", "text_projection.", "visual_projection.", "logit_scale"),
        "vision_model.",
    ),
    "vivit": _Family(_vivit, _HEADS),
    "videomae": _Family(_videomae, (*_HEADS, *_MASKS)),
    "timesformer": _Family(_timesformer, _HEADS),
}


def describe_hf_video(source: str) -> EncoderSpec:
    """Describe a model in a folder, or on the hub.

    Raises:
        UsageError: there is no such model, it is not a supported encoder of videos or images, or it
            has no settings of an image processor.
    """
    config = read_config(source)
    if config.model_type not in _FAMILIES:
        raise UsageError(
            f"hf:{source}: the model type {config.model_type} is not supported as "
            f"--video-encoder; give one of {', '.join(_FAMILIES)}",
            "encoder-unsupported",
        )
    return EncoderSpec(
        spec=f"hf:{source}",
        input=PIXELS,
        architecture={
            "config": config_to_state(config),
            "front_end": read_front_end(source, _picture_size(config)),
        },
        weights=weights_digest(source),
    )


def build_hf_video(encoder_spec: EncoderSpec) -> Encoder:
    """Build the encoder with random weights, without its folder.

    Raises:
        UsageError: the family has no such variant.
    """
    architecture = encoder_spec.architecture
    config = config_from_state(architecture["config"])
    return _FAMILIES[config.model_type].build(config, architecture["front_end"])


def load_hf_video(encoder: Encoder, encoder_spec: EncoderSpec) -> None:
    """Load the pretrained weights into an encoder built by :func:`build_hf_video`.

    Raises:
        UsageError: see :func:`read_weights`.
    """
    config = config_from_state(encoder_spec.architecture["config"])
    family = _FAMILIES[config.model_type]
    weights = read_weights(encoder_spec, config, family.not_taken, family.inside)
    encoder.model.load_state_dict(weights)  # type: ignore[union-attr]


def _vision_of(config: Any) -> Any:
    return getattr(config, "vision_config", config)


def _picture_size(config: Any) -> tuple[int, int]:
    size = _vision_of(config).image_size
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)
