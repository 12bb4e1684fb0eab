"""What pictures become before a video encoder reads them: the settings of its image processor."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from emo_fairseq.errors import UsageError
from emo_fairseq.pretrained.hf_files import check_json

# Files of image processors in folders of Hugging Face; the last has the settings of each part.
_FILES = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
_PARTS = ("image_processor", "video_processor")
_CHANNELS = 3
_BILINEAR = 2  # number of Pillow's filter
_FILTERS = range(6)


def read_front_end(source: str, picture_size: tuple[int, int]) -> dict[str, Any]:
    """Read how the pictures for a model are resized, cropped and normalized, as plain values.

    Args:
        source: folder of the model.
        picture_size: height and width that its weights are for.

    Raises:
        UsageError: there are no such settings, they have another form, or another size.
    """
    settings = _read_settings(source)
    try:
        front_end = _front_end(settings)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"hf:{source}: the settings of its image processor are not understood ({error!r}); "
            "fetch the model again",
            "preprocessor-invalid",
        ) from error
    size = front_end["height"], front_end["width"]
    if size != picture_size:
        raise UsageError(
            f"hf:{source}: its image processor makes pictures of {size[0]} x {size[1]}, where the "
            f"model reads {picture_size[0]} x {picture_size[1]}; fetch the model again",
            "preprocessor-mismatch",
        )
    return front_end


def _read_settings(source: str) -> Mapping[str, Any]:
    for name in _FILES:
        settings = check_json(source, name)
        parts = [settings[part] for part in _PARTS if isinstance(settings.get(part), dict)]
        if parts:
            return parts[0]  # type: ignore[return-value]
        if "image_mean" in settings or "size" in settings:
            return settings
    raise UsageError(
        f"hf:{source}: has no settings of an image processor; put the model's {_FILES[0]} there",
        "preprocessor-missing",
    )


def _front_end(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that act, with the defaults of transformers."""
    size = settings["size"]
    is_cropped = settings.get("do_center_crop", False)
    height, width = _height_and_width(settings["crop_size"] if is_cropped else size)
    shortest_edge = size.get("shortest_edge") if isinstance(size, Mapping) else None
    if shortest_edge is None and is_cropped:
        raise ValueError("a crop, but no shortest_edge")
    if shortest_edge is not None and shortest_edge < max(height, width):
        raise ValueError(f"shortest_edge {shortest_edge} below the crop of {height} x {width}")
    resample = int(settings.get("resample", _BILINEAR))
    if resample not in _FILTERS:
        raise ValueError(f"resample {resample}")
    scale = float(settings.get("rescale_factor", 1 / 255)) if _does(settings, "rescale") else 1.0
    normalizes = _does(settings, "normalize")
    return {
        "height": height,
        "width": width,
        "shortest_edge": None if shortest_edge is None else int(shortest_edge),
        "resample": resample,
        "scale": scale,
        "offset": 1.0 if settings.get("offset", False) else 0.0,
        "mean": _channels(settings["image_mean"]) if normalizes else [0.0] * _CHANNELS,
        "std": _channels(settings["image_std"]) if normalizes else [1.0] * _CHANNELS,
    }


def _does(settings: Mapping[str, Any], step: str) -> bool:
    return bool(settings.get(f"do_{step}", True))


def _height_and_width(size: Any) -> tuple[int, int]:
    if not isinstance(size, Mapping):
        return int(size), int(size)
    if "height" in size:
        return int(size["height"]), int(size["width"])
    return int(size["shortest_edge"]), int(size["shortest_edge"])


def _channels(values: Any) -> list[float]:
    numbers = [float(value) for value in (values if isinstance(values, list) else [values] * 3)]
    if len(numbers) != _CHANNELS:
        raise ValueError(f"{len(numbers)} channels")
    return numbers


class NormalizedPictures(nn.Module):
    """Normalize pictures as the image processor of a model does."""

    def __init__(self, front_end: Mapping[str, Any]) -> None:
        super().__init__()
        self.scale = float(front_end["scale"])
        self.offset = float(front_end["offset"])
        self.mean = tuple(front_end["mean"])
        self.std = tuple(front_end["std"])

    def forward(self, pixels: Tensor, dtype: torch.dtype) -> Tensor:
        """Return pixels (..., H, W, 3) of 0 to 255 as (..., 3, H, W), in a dtype."""
        x = pixels.float() * self.scale - self.offset
        x = (x - x.new_tensor(self.mean)) / x.new_tensor(self.std)
        n_axes = x.ndim
        return x.movedim(n_axes - 1, n_axes - 3).to(dtype)  # torch's export takes no negative axes
