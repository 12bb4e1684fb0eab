"""Frames as :mod:`data_prep.extract_features` would store them, of rows in memory."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from data_prep.audio.frames import FloatArray
from data_prep.features import egemaps
from data_prep.features.log_mel import LOG_MEL, frames_of
from data_prep.features.pooling import pooled
from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.text_tokenizers import load_text_tokenizer
from emo_fairseq import pretrained
from emo_fairseq.data.memory import HeardWaveforms
from emo_fairseq.data.tokens import TokenDataset
from emo_fairseq.data.vocabulary import read_vocabulary
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.recipes import FeatureRecipe
from emo_fairseq.models.encode import (
    batch_budget,
    encode_rows,
)
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.types import TOKENS

Source = FloatArray | str
MakeFrames = Callable[[Sequence[Any]], list[np.ndarray]]


class FeatureFrames:
    """Computes what a recipe says.

    Args:
        recipe: of one modality.
        device: where a pretrained encoder works.

    Raises:
        UsageError: a library of the recipe is missing, or of another version.
    """

    def __init__(self, recipe: FeatureRecipe, device: torch.device) -> None:
        self._settings = recipe.settings
        self._make = _maker(recipe, device)

    def __call__(self, sources: Sequence[Source]) -> list[np.ndarray]:
        """For each recording (T,) or text its frames, in the numbers that are kept on disk."""
        pool, dtype = self._settings.get("pool", "none"), self._settings["dtype"]
        return [pooled(frames, pool).astype(dtype) for frames in self._make(sources)]


def _maker(recipe: FeatureRecipe, device: torch.device) -> MakeFrames:
    kind = recipe.settings["features"]
    if kind == LOG_MEL:
        return lambda sounds: [frames_of(sound) for sound in sounds]
    if kind == egemaps.EGEMAPS:
        return _egemaps(recipe)
    return _pretrained(recipe, device)


def _egemaps(recipe: FeatureRecipe) -> MakeFrames:
    try:
        here = egemaps.settings()
    except ValueError as error:
        raise UsageError(str(error)) from error
    was = recipe.settings["opensmile"]
    if here["opensmile"] != was:
        raise UsageError(
            f"openSMILE {here['opensmile']}, where the model was trained on the numbers of {was}; "
            f"`pip install opensmile=={was}`"
        )
    functionals = egemaps.build_functionals()
    return lambda sounds: [functionals(sound) for sound in sounds]


def _pretrained(recipe: FeatureRecipe, device: torch.device) -> MakeFrames:
    card, settings = recipe.card, recipe.settings
    assert card is not None
    backbone = pretrained.build(card)
    backbone.load_state_dict(dict(recipe.weights or {}))
    encoder = ModalityEncoder(backbone, settings["layer"])
    encoder.freeze()
    leaf_of = _token_leaf(recipe) if card.input == TOKENS else _sound_leaf(recipe)
    budget = batch_budget(card.input, device)
    return lambda sources: list(encode_rows(encoder, leaf_of(sources), budget, device))


def _sound_leaf(recipe: FeatureRecipe) -> Callable[[Sequence[Any]], Any]:
    limit = int(recipe.settings["max_seconds"] * SAMPLE_RATE)
    return lambda sounds: HeardWaveforms(sounds, limit)


def _token_leaf(recipe: FeatureRecipe) -> Callable[[Sequence[Any]], Any]:
    assert recipe.tokenizer is not None
    tokenizer, vocabulary = load_text_tokenizer(recipe.tokenizer), read_vocabulary(recipe.tokenizer)
    if vocabulary is None:
        raise UsageError(f"{recipe.tokenizer}: names no symbols; export the checkpoint again")
    specials, reach = vocabulary.specials, int(recipe.settings["max_tokens"])

    def leaf_of(texts: Sequence[str]) -> TokenDataset:
        ids = [tokenizer.encode(text) for text in texts]
        lengths = np.array([len(row) for row in ids])
        return TokenDataset(ids, lengths, np.ones(len(ids), dtype=bool), specials, reach)

    return leaf_of
