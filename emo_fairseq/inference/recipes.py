"""How the frames of ``features:NAME`` were made, as far as that can be done again for new input."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from data_prep.features.egemaps import EGEMAPS
from data_prep.features.log_mel import LOG_MEL
from data_prep.features.stored import read_card
from data_prep.tokens.folder import TOKENIZER_FILE
from emo_fairseq import pretrained
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.types import (
    FRAMES,
    SPEECH,
    TOKENS,
    VIDEO,
)

PRETRAINED = "pretrained"


@dataclass(frozen=True)
class FeatureRecipe:
    """What :mod:`data_prep.extract_features` did.

    Attributes:
        settings: what ``features.yaml`` keeps: the kind of features, their layer, pooling, limits
            and the numbers on disk.
        card: of the pretrained encoder; None where there is none.
        weights: of that encoder's state dict.
        tokenizer: the folder whose tokens it reads; None if it reads samples.
    """

    settings: Mapping[str, Any]
    card: EncoderSpec | None = None
    weights: Mapping[str, Tensor] | None = None
    tokenizer: Path | None = None


def find_recipes(task: Any, folder: Path) -> tuple[dict[str, FeatureRecipe], dict[str, str]]:
    """For each modality read as features their recipe, or why there is none.

    Args:
        task: knows its modalities and encoders.
        folder: the data dir.
    """
    found, missing = {}, {}
    for modality in task.source.modalities_of(FRAMES):
        name = task.encoder_cards()[modality].place
        try:
            found[modality] = _find(modality, folder, name)
        except (UsageError, ValueError) as error:
            missing[modality] = f"a way to compute features/{name}: {error}"
    return found, missing


def _find(modality: str, folder: Path, name: str) -> FeatureRecipe:
    if modality == VIDEO:
        raise UsageError("video is not read here, only what others made of it")
    card = read_card(folder / "features" / name)
    settings = card.get("settings", {})
    if settings.get("features") not in (LOG_MEL, EGEMAPS, PRETRAINED):
        raise UsageError("they were not written by data_prep.extract_features, or are gone")
    if settings.get("modality", SPEECH) != modality:
        raise UsageError(f"they were made of {settings.get('modality', SPEECH)}")
    if settings["features"] != PRETRAINED:
        return FeatureRecipe(settings)
    spec = card.get("about", {}).get("encoder", "")
    encoder_card = pretrained.describe(modality, spec)
    if encoder_card.weights != settings["weights"]:
        raise UsageError(f"{spec} is no longer the encoder that wrote them")
    encoder = pretrained.build(encoder_card)
    pretrained.load(encoder, encoder_card)
    tokenizer = None
    if encoder_card.input == TOKENS:
        tokenizer = folder / modality
        if not (tokenizer / TOKENIZER_FILE).is_file():
            raise UsageError(f"the data dir has no {modality}/{TOKENIZER_FILE}")
    return FeatureRecipe(settings, encoder_card, encoder.state_dict(), tokenizer)
