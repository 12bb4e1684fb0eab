"""The commands that tokenize what a training reads, and is not tokenized yet."""

import argparse
from pathlib import Path

from data_prep.schema import read_manifest
from data_prep.tokens.folder import TOKENIZER_FILE
from emo_fairseq.cli import processes
from emo_fairseq.errors import UsageError
from emo_fairseq.types import TEXT


def token_steps(
    folder: Path, modalities: tuple[str, ...], options: argparse.Namespace
) -> list[list[str]]:
    """Return the command that tokenizes the text, unless it is tokenized or no tokens are read."""
    spec = options.text_encoder or "scratch"
    kind, _, path = spec.partition(":")
    done = (folder / TEXT / TOKENIZER_FILE).is_file() or (folder / TEXT / "train.idx").is_file()
    if TEXT not in modalities or kind == "features" or done:
        return []
    if kind == "fairseq":
        raise UsageError(
            f"{folder / TEXT}: the text is not tokenized for {spec}; run `emotion-recognize "
            f"tokenize {folder} --bpe gpt2 --encoder-json FILE --vocab-bpe FILE --dict FILE` first",
            "tokens-missing",
        )
    if kind != "hf" and options.fold is not None:
        _check_train_is_apart(folder, options.fold)
    bpe = ["--bpe", f"hf:{path}"] if kind == "hf" else []
    return [processes.module("data_prep.tokenize_text", folder, *bpe)]


def _check_train_is_apart(folder: Path, fold: str) -> None:
    """Refuse to fit a tokenizer on rows that the fold holds out.

    Raises:
        UsageError: there is no train split to fit it on, or the fold holds out rows of it.
    """
    from emo_fairseq.data.manifest import (
        FOLD_SETS,
        read_fold,
    )

    _, sets = read_fold(folder, fold)
    held_out = {name for part in FOLD_SETS if part != "train" for name in sets[part]}
    file = folder / "train.tsv"
    if file.is_file() and held_out.isdisjoint(row.id for row in read_manifest(file)):
        return
    raise UsageError(
        f"--fold {fold}: the text of {folder} is not tokenized, and a tokenizer is fitted on the "
        "train split, of which the fold tests on parts; tokenize it first by one that is not "
        f"fitted: `emotion-recognize tokenize {folder} --bpe hf:FOLDER`, or --bpe gpt2 with its "
        "--encoder-json, --vocab-bpe and --dict",
        "tokenizer-leak",
    )
