"""What a page says of its model: name, card, what it reads and what it tells apart."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.serving.limits import Limits

_CARD = "README.md"


@dataclass(frozen=True)
class About:
    """A model's name, and its card in Markdown (empty if there is none)."""

    name: str = "model"
    card: str = ""


def about_model(place: Path) -> About:
    """Of a model folder, its name and its README.md without the front matter; of a file, its name.

    >>> about_model(Path("checkpoints/toy/checkpoint_best.pt"))
    About(name='checkpoint_best', card='')
    """
    if not place.is_dir():
        return About(place.stem)
    file = place / _CARD
    card = file.read_text(encoding="utf-8") if file.is_file() else ""
    if card.startswith("---\n"):
        card = card.partition("\n---\n")[2]
    return About(place.resolve().name, card.strip())


def describe(predictor: EmotionPredictor, limits: Limits, about: About) -> dict[str, Any]:
    """The answer of ``GET /api/model``."""
    heard = predictor.max_seconds()
    return {
        "name": about.name,
        "card": about.card,
        "modalities": list(predictor.modalities),
        "labels": list(predictor.labels),
        "axes": list(predictor.axes),
        "auxiliary": {name: list(answers) for name, answers in predictor.auxiliary.items()},
        "heard_seconds": heard if math.isfinite(heard) else None,
        "limits": {
            "upload_bytes": limits.upload_bytes,
            "audio_seconds": limits.audio_seconds,
            "text_characters": limits.text_characters,
            "explained_seconds": min(limits.explained_seconds, heard),
        },
    }
