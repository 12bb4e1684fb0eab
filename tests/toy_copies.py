"""Data dirs with the toy's tokens and audio, and rows of their own."""

from collections.abc import Callable, Sequence
from pathlib import Path

from data_prep.schema import Utterance, read_corpus, read_manifest, write_corpus

Change = Callable[[str, list[Utterance]], Sequence[Utterance]]


def copy_of_toy(toy: Path, own: Path, change: Change | None = None) -> Path:
    """Write the rows of the toy corpus into the folder `own`, beside links to what else it has.

    Args:
        toy: the data dir, tokenized.
        own: a folder that does not exist.
        change: takes a split and its rows, and returns the rows to write; as many as there were,
            with the same texts, fit the tokens.

    Returns:
        `own`. Tokens and audio are links: do not write into them.
    """
    corpus = read_corpus(toy)
    splits = {split: read_manifest(toy / f"{split}.tsv") for split in corpus.splits}
    if change is not None:
        splits = {split: list(change(split, list(rows))) for split, rows in splits.items()}
    write_corpus(own, corpus, splits)
    for folder in ("audio", "text", "speech"):
        (own / folder).symlink_to(toy / folder)
    return own
