"""Learning rates, batch sizes and epochs that a training begins with, by encoder and tuning.

Each value is one that its source recommends or that a table of this project was made with; a study
tunes them. Where the encoders of a model have different recipes, see :func:`combine`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from emo_fairseq.modalities import SPEECH, TEXT, VIDEO
from emo_fairseq.option_values import FROZEN, FULL, LORA

SCRATCH = "scratch"  # also of frames on disk: new parameters alone
_HIDDEN_OF_LARGE = 1024  # units of a layer; 768 in a base model
_LARGEST_SCALE = 10.0  # of a learning rate beside that of a tuned encoder


class Recipe(NamedTuple):
    """How one kind of encoder is trained.

    Attributes:
        lr: highest learning rate.
        epochs: passes over the train split.
        batch_size: utterances an update.
        options: further ones of fairseq-train.
    """

    lr: float
    epochs: int
    batch_size: int
    options: str


_OF_TUNED = "--layer-lr-decay 0.9 --head-lr-scale 10 --weight-decay 0.01"

#: By tuning and encoder: SCRATCH, or a modality, with " large" where a large encoder differs.
RECIPES: Mapping[tuple[str, str], Recipe] = {
    # BERT (Devlin et al. 2019, appendix A.3): 2e-5 to 5e-5, batches of 16 or 32, 2 to 4 epochs.
    # Mosbach et al. 2021: 2e-5, and more updates, make fine-tuning stable on small corpora.
    (FULL, TEXT): Recipe(2e-5, 5, 32, _OF_TUNED),
    # RoBERTa large (Liu et al. 2019, table 10): 1e-5 to 3e-5, batches of 16 or 32.
    (FULL, f"{TEXT} large"): Recipe(1e-5, 5, 32, _OF_TUNED),
    # wav2vec 2.0 and its like on IEMOCAP (Wang et al. 2021; SpeechBrain's recipe of it): 1e-5 for
    # the encoder, 1e-4 for what is new, small batches. Their audio fills memory early.
    (FULL, SPEECH): Recipe(1e-5, 10, 16, _OF_TUNED),
    # LoRA (Hu et al. 2022, appendix D): from 2e-4 (GPT-2) to 5e-4 (RoBERTa), and more epochs.
    (LORA, TEXT): Recipe(2e-4, 8, 32, "--weight-decay 0.01"),
    (LORA, SPEECH): Recipe(2e-4, 10, 16, "--weight-decay 0.01"),
    # Heads on frozen encoders: as in the tables of this project (RAVDESS on Whisper).
    (FROZEN, TEXT): Recipe(1e-3, 20, 32, "--weight-decay 0.01"),
    (FROZEN, SPEECH): Recipe(1e-3, 20, 32, "--weight-decay 0.01"),
    # VideoMAE and ViT (the recipe of transformers for video classification): 5e-5, small batches.
    (FULL, VIDEO): Recipe(5e-5, 10, 8, _OF_TUNED),
    (LORA, VIDEO): Recipe(2e-4, 10, 8, "--weight-decay 0.01"),
    (FROZEN, VIDEO): Recipe(1e-3, 20, 32, "--weight-decay 0.01"),
    # From scratch: as in the tables of this project (MELD, RAVDESS with robertaEMO_tiny).
    (FULL, SCRATCH): Recipe(1e-3, 20, 32, "--dropout 0.2 --weight-decay 0.05"),
}
_LEAST_UPDATES, _MOST_EPOCHS = 300, 100  # of small corpora, which are passed over more often
WARMUP = 0.06  # of all updates, as in RoBERTa's fine-tuning


class Combined(NamedTuple):
    """The recipe of a model.

    Attributes:
        recipe: of its most delicate encoder, see :func:`combine`.
        lr_scales: modality -> how many times as fast its encoder learns; without those at 1.
    """

    recipe: Recipe
    lr_scales: Mapping[str, float]


def combine(encoders: Mapping[str, tuple[str, str]]) -> Combined:
    """Return the recipe of a model with these encoders.

    It is the recipe with the lowest learning rate. Beside an encoder that is tuned in full, others
    learn at a multiple of that rate: the ratio of theirs to it, of at most 10, which is that of the
    head. Batches are the smallest of all recipes.

    >>> of_both = combine({"text": ("full", "text"), "speech": ("full", "scratch")})
    >>> of_both.recipe.lr, of_both.lr_scales
    (2e-05, {'speech': 10.0})
    """
    recipes = {name: RECIPES[key] for name, key in encoders.items()}
    first = min(recipes.values(), key=lambda recipe: recipe.lr)
    tuned = [tuning == FULL and kind != SCRATCH for tuning, kind in encoders.values()]
    scales = {}
    if any(tuned):
        scales = {n: min(r.lr / first.lr, _LARGEST_SCALE) for n, r in recipes.items()}
    batch_size = min(recipe.batch_size for recipe in recipes.values())
    return Combined(
        first._replace(batch_size=batch_size),
        {name: round(scale, 2) for name, scale in scales.items() if scale > 1},
    )


def n_epochs(recipe: Recipe, updates_an_epoch: int) -> int:
    """Return the passes over the train split: more than the recipe's if it is small.

    >>> small, large = (n_epochs(RECIPES["full", "text"], n) for n in (10, 300))
    >>> small, large
    (30, 5)
    """
    needed = -(-_LEAST_UPDATES // updates_an_epoch)
    return max(recipe.epochs, min(needed, _MOST_EPOCHS))


def recipe_key(
    modality: str, tuning: str, is_pretrained: bool, hidden_size: int = 0
) -> tuple[str, str]:
    """Return the key of an encoder in :data:`RECIPES`.

    >>> recipe_key("text", "full", True, 1024), recipe_key("video", "full", False)
    (('full', 'text large'), ('full', 'scratch'))
    """
    if not is_pretrained:
        return FULL, SCRATCH
    large = (tuning, f"{modality} large")
    return large if hidden_size >= _HIDDEN_OF_LARGE and large in RECIPES else (tuning, modality)
