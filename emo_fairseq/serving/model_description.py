"""``GET /api/model``: what the model is, reads and predicts, and the limits of requests."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.files.hub import name_of_folder
from emo_fairseq.inference.model_folder.files import CARD_FILE
from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.inference.transcribing import FasterWhisper
from emo_fairseq.serving.limits import Limits


@dataclass(frozen=True)
class ModelDescription:
    """A model's name, and its card in Markdown (empty if there is none)."""

    name: str = "model"
    card: str = ""


def read_description(path: Path) -> ModelDescription:
    """Return the name of a model folder and its README.md without front matter.

    Of a checkpoint the name of its folder.

    >>> read_description(Path("checkpoints/toy/checkpoint_best.pt"))
    ModelDescription(name='toy', card='')
    """
    if not path.is_dir():
        return ModelDescription(path.resolve().parent.name)
    file = path / CARD_FILE
    card = file.read_text(encoding="utf-8") if file.is_file() else ""
    if card.startswith("---\n"):
        card = card.partition("\n---\n")[2]
    return ModelDescription(name_of_folder(path.absolute()), card.strip())


def describe_model(
    predictor: EmotionPredictor,
    limits: Limits,
    description: ModelDescription,
    transcriber: FasterWhisper | None = None,
) -> dict[str, Any]:
    """Return the response of ``GET /api/model``."""
    max_seconds = predictor.max_seconds()
    return {
        "name": description.name,
        "card": description.card,
        "modalities": list(predictor.modalities),
        "transcribes": None if transcriber is None else transcriber.name,
        "labels": list(predictor.labels),
        "axes": list(predictor.axes),
        "auxiliary": {name: list(outputs) for name, outputs in predictor.auxiliary.items()},
        "max_audio_seconds": max_seconds if math.isfinite(max_seconds) else None,
        "limits": {
            "upload_bytes": limits.upload_bytes,
            "audio_seconds": limits.audio_seconds,
            "video_seconds": limits.video_seconds,
            "video_frames": limits.video_frames,
            "video_pixels": limits.video_pixels,
            "text_characters": limits.text_characters,
            "explained_seconds": min(limits.explained_seconds, max_seconds),
            "rows": limits.rows,
        },
    }
