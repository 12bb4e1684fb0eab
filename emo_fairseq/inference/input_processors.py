"""How recordings and texts become what the encoders read: tokenizers and feature extractors."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_prep.audio.frames import FloatArray
from data_prep.features import egemaps
from data_prep.features.egemaps import EGEMAPS
from data_prep.features.extraction import pooled
from data_prep.features.log_mel import LOG_MEL, frames_of
from data_prep.features.stored import read_card
from data_prep.manifest.cells import normalize_text
from data_prep.schema import CORPUS_FILE, SAMPLE_RATE, read_corpus, read_manifest
from data_prep.tokens.folder import TOKENIZER_FILE
from data_prep.tokens.text_tokenizers import load_text_tokenizer
from emo_fairseq import pretrained
from emo_fairseq.data.audio import InMemoryWaveforms
from emo_fairseq.data.tokens import TokenDataset
from emo_fairseq.data.vocabulary import read_vocabulary
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.models.encode import (
    batch_budget,
    encode_rows,
)
from emo_fairseq.models.encoders import ModalityEncoder
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
        name = task.encoder_cards()[modality].source
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


# -- frames of new input, as data_prep.extract_features stores them --------------------------------

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
    return lambda sounds: InMemoryWaveforms(sounds, limit)


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


# -- tokenizers and text form of a data dir --------------------------------------------------------

logger = logging.getLogger(__name__)


def find_tokenizers(
    task: Any, folder: Path, is_given: bool
) -> tuple[dict[str, Path], dict[str, str]]:
    """For each modality read as tokens the folder of its tokenizer, or what is missing.

    Args:
        task: knows its modalities and vocabularies.
        folder: the data dir.
        is_given: whether somebody named it, so that it has to be there.

    Raises:
        UsageError: it is not there, or its tokenizer has other symbols than the model.
    """
    if is_given and not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder; give the data dir of the training")
    found, missing = {}, {}
    for modality in task.source.modalities_of(TOKENS):
        place = folder / modality
        if not (place / TOKENIZER_FILE).is_file():
            missing[modality] = (
                f"the tokenizer, {modality}/{TOKENIZER_FILE} of the data dir; open or export the "
                "checkpoint again with a data dir that has it"
            )
            continue
        vocabulary = read_vocabulary(place)
        if vocabulary is not None:
            vocabulary.check_same(task.vocabularies()[modality])
        found[modality] = place
    return found, missing


def texts_are_clean(folder: Path) -> bool:
    """Whether every text of a data dir has the form that :mod:`data_prep.manifest.cells` gives.

    Such a model expects this form, and to give it changes no row of its corpus. Where there is no
    manifest to see it from, texts are taken to be clean, as those of most corpora are.
    """
    if not (folder / CORPUS_FILE).is_file():
        return True
    for split in read_corpus(folder).splits:  # other tables may lie there too
        file = folder / f"{split}.tsv"
        for row in read_manifest(file):
            if row.text is not None and normalize_text(row.text) != row.text:
                logger.info("%s: %s is no cleaned text, so none is cleaned", file, row.id)
                return False
    return True
