"""The page of the values that `emotion-recognize train` begins with, from their table."""

from emo_fairseq.cli.train.recipes import RECIPES, SCRATCH, WARMUP
from reference_pages.markdown import GENERATED, code, joined, table

_INTRODUCTION = """# Recipes

What `emotion-recognize train` begins with, by encoder and tuning, and prints as the command of
fairseq. Each value is one that its source recommends, or that a table of this project was made
with; the sources are in `emo_fairseq/cli/train/recipes.py`. An option that you give replaces it:
`--lr`, `--epochs`, `--batch-size`, and after `--` every option of fairseq-train.

Where the encoders of a model have different recipes, the lowest learning rate is that of the model,
and the others learn at a multiple of it, of at most 10. Batches are the smallest of all. Small
corpora are passed over more often, until there are 300 updates."""


def pages() -> dict[str, str]:
    """Return the page."""
    rows = [
        [
            "from scratch, or stored features" if encoder == SCRATCH else f"pretrained {encoder}",
            code(tuning),
            f"{recipe.lr:g}",
            str(recipe.epochs),
            str(recipe.batch_size),
            code(recipe.options),
        ]
        for (tuning, encoder), recipe in RECIPES.items()
    ]
    header = ["encoder", "tuning", "learning rate", "epochs", "batch size", "further options"]
    end = (
        f"The learning rate rises over the first {WARMUP:.0%} of all updates, and then falls to 0."
    )
    return {"reference/recipes.md": joined([_INTRODUCTION, GENERATED, table(header, rows), end])}
