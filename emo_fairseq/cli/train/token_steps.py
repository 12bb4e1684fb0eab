"""The commands that tokenize what a training reads, and is not tokenized yet."""

import argparse
from pathlib import Path

from data_prep.schema import SPLITS, TRAIN, read_manifest
from data_prep.tokens.token_sets import FITTED_ON, FOLD, TokenSet, token_sets
from emo_fairseq.cli import processes
from emo_fairseq.data.token_choice import choose_tokens, has_tokens
from emo_fairseq.encoder_spec import EncoderSpec, check_spec, features_name
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import TEXT, TOKENS


def token_steps(
    folder: Path, modalities: tuple[str, ...], options: argparse.Namespace
) -> list[list[str]]:
    """Return the command that tokenizes the text, unless it is tokenized or no tokens are read.

    Raises:
        UsageError: ``--text-encoder`` is no text encoder; or its tokens cannot be made by a
            command.
    """
    spec, name = options.text_encoder, getattr(options, "text_tokens", None)
    kind = (spec or "scratch").partition(":")[0]
    if TEXT not in modalities or features_name(spec):
        return []
    if spec is None or kind == "scratch":
        return _steps_from_scratch(folder, name, options.fold)
    encoder = _describe(spec)
    if name is not None and TokenSet(folder, TEXT, name) in token_sets(folder, TEXT):
        return []  # fairseq-train checks whether they fit
    if name is None and has_tokens(folder, TEXT, encoder):
        return []
    named = [] if name is None else ["--name", name]
    if kind == "fairseq":
        raise UsageError(
            f"{folder / TEXT}: the text is not tokenized for {spec}; run `emotion-recognize "
            f"tokenize {' '.join([str(folder), *named])} --bpe gpt2 --encoder-json FILE "
            "--vocab-bpe FILE --dict FILE` first",
            "tokens-missing",
        )
    return [processes.module("data_prep.tokenize_text", folder, "--bpe", spec, *named)]


def _describe(spec: str) -> EncoderSpec:
    """Describe a pretrained text encoder, so that a wrong one is refused before any step."""
    from emo_fairseq import pretrained  # imports the library of the encoder

    return pretrained.describe(TEXT, check_spec(TEXT, spec))


def _steps_from_scratch(folder: Path, name: str | None, fold: str | None) -> list[list[str]]:
    """Return the command that fits a tokenizer, on the train set of the fold where it has to be."""
    sets = token_sets(folder, TEXT)
    of_fold = [] if fold is None or _is_train_apart(folder, fold) else ["--fold", fold]
    if name is None:
        sets = [tokens for tokens in sets if _may_read(tokens, fold, bool(of_fold))]
    if sets:
        choose_tokens(folder, TEXT, EncoderSpec("scratch:", TOKENS), name, fold=fold)
        return []
    named = [] if name is None else ["--name", name]
    return [processes.module("data_prep.tokenize_text", folder, *named, *of_fold)]


def _may_read(tokens: TokenSet, fold: str | None, holds_out_train: bool) -> bool:
    """Return whether a training may read tokens: their tokenizer saw no row that is held out."""
    if FOLD in tokens.settings:
        return tokens.settings[FOLD] == fold
    return not (holds_out_train and FITTED_ON in tokens.settings)


def _is_train_apart(folder: Path, fold: str) -> bool:
    """Return whether there is a train split, and the fold holds out none of its rows."""
    from emo_fairseq.data.fold import read_fold

    _, sets = read_fold(folder, fold)
    held_out = {name for part in SPLITS if part != TRAIN for name in sets[part]}
    file = folder / f"{TRAIN}.tsv"
    return file.is_file() and held_out.isdisjoint(row.id for row in read_manifest(file))
