r"""Text -> tokens: DATA_DIR/text/<name>/{split}.bin + .idx, and the files of the tokenizer.

    python -m data_prep.tokenize_text DATA_DIR
    python -m data_prep.tokenize_text DATA_DIR --bpe gpt2 --encoder-json encoder.json \
        --vocab-bpe vocab.bpe --dict dict.txt
    python -m data_prep.tokenize_text DATA_DIR --bpe hf:MODEL_FOLDER
    python -m data_prep.tokenize_text DATA_DIR --tokenizer OTHER_DATA_DIR/text/NAME
    python -m data_prep.tokenize_text DATA_DIR --name NAME
    python -m data_prep.tokenize_text DATA_DIR --fold PROTOCOL/FOLD

The default fits a sentencepiece model on the train split, or with `--fold` on the train set of a
fold, and needs nothing else. `--bpe gpt2` gives
RoBERTa's ids, equal to fairseq's own; `--bpe hf:` those of any Hugging Face encoder; `--tokenizer`
those of another data dir, or of a model folder. Each tokenizer has a folder of its own, named after
it or by `--name`; `--name` alone tokenizes again with the tokenizer of that folder. Row i belongs
to row i of the manifest and ends with `</s>`, or what the model has in its place; a row without
text is that alone. Running it again does only what is missing or has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from data_prep.command_line import make_parser, run_on_data_dir
from data_prep.engines import Workers
from data_prep.engines.options import add_engine_options, take_engine
from data_prep.files.digests import file_digest
from data_prep.files.remote import require_local
from data_prep.folds.file import train_set
from data_prep.manifest.digests import texts_digest
from data_prep.manifest.table import values
from data_prep.number_types import positive_int
from data_prep.schema import Utterance
from data_prep.tokens.binarize import (
    SplitJob,
    binarize_splits,
    read_splits,
    summary_table,
    train_rows,
)
from data_prep.tokens.checking import check_tokenizer
from data_prep.tokens.folder import (
    DICT_FILE,
    TokenFolder,
    TokenizerFiles,
    Tokens,
    load_dictionary,
    read_card,
    special_ids,
)
from data_prep.tokens.hf_tokenizer import HuggingFaceTokenizer
from data_prep.tokens.methods import Method, given_flags, has_tokens, parameters_of
from data_prep.tokens.text_tokenizers import (
    ENCODER_FILE,
    MERGES_FILE,
    load_text_tokenizer,
    train_sentencepiece,
)
from data_prep.tokens.token_sets import FITTED_ON, FOLD, TokenSet, copied_settings, place_tokens

logger = logging.getLogger(__name__)

_TEXT = "text"


def tokenize_with_sentencepiece(
    data_dir: str | Path,
    vocab_size: int = 2000,
    model_type: str = "unigram",
    character_coverage: float = 0.9995,
    byte_fallback: bool = True,
    lowercase: bool = False,
    workers: Workers = 1,
    name: str | None = None,
    fold: str | None = None,
) -> TokenFolder:
    """Fit sentencepiece on the train split and tokenize every split.

    `byte_fallback` spells a character that the model does not have as UTF-8 bytes, so that nothing
    is lost to `<unk>`; `lowercase` folds case, in the model's own normalization. `name` is by
    default such as `sentencepiece-2000`. With `fold`, PROTOCOL/FOLD, it is fitted on the train set
    of that fold.
    """
    splits = read_splits(data_dir)
    remedy = "use --fold, or --bpe gpt2 or hf:FOLDER, which need none"
    if fold is None:
        train = train_rows(data_dir, splits, remedy)
    else:
        train = train_set(data_dir, fold)
    settings: dict[str, Any] = {
        "bpe": "sentencepiece",
        "vocab_size": vocab_size,
        "model_type": model_type,
        "character_coverage": character_coverage,
        "byte_fallback": byte_fallback,
        "lowercase": lowercase,
        FITTED_ON: texts_digest(train),
        **({FOLD: fold} if fold else {}),
    }
    own = ["bpe"] if model_type == "bpe" else []
    folded = ["lowercase"] if lowercase else []
    of_fold = [fold.replace("/", "-")] if fold else []
    default = "-".join(["sentencepiece", *own, str(vocab_size), *folded, *of_fold])
    folder = TokenFolder(place_tokens(data_dir, _TEXT, settings, name, default), settings)
    with folder.locked():
        if not folder.is_fitted:
            texts = [text for text in values(train, "text") if text is not None]
            where = f"train set of {fold}" if fold else "train split"
            logger.info("fitting sentencepiece on %d sentences of the %s", len(texts), where)
            folder.replace_tokenizer(*train_sentencepiece(texts, settings))
        return _tokenize(folder, splits, workers)


def tokenize_with_gpt2(
    data_dir: str | Path,
    encoder_json: str | Path,
    vocab_bpe: str | Path,
    dictionary: str | Path,
    workers: Workers = 1,
    name: str | None = None,
) -> TokenFolder:
    """Tokenize every split with GPT-2's BPE and RoBERTa's dictionary; the files are copied."""
    splits = read_splits(data_dir)
    sources = {ENCODER_FILE: encoder_json, MERGES_FILE: vocab_bpe, DICT_FILE: dictionary}
    digests = {name: file_digest(path) for name, path in sources.items()}
    settings = {"bpe": "gpt2", "sources": digests}
    folder = TokenFolder(place_tokens(data_dir, _TEXT, settings, name, "gpt2"), settings)
    with folder.locked():
        if not folder.is_fitted:
            vocab_size = len(load_dictionary(dictionary))
            files = {name: Path(path).read_bytes() for name, path in sources.items()}
            folder.replace_tokenizer(files, vocab_size)
        return _tokenize(folder, splits, workers)


def tokenize_with_hf(
    data_dir: str | Path, model: str | Path, workers: Workers = 1, name: str | None = None
) -> TokenFolder:
    """Tokenize every split with the tokenizer of a Hugging Face model; its files are copied.

    The default of `name` is the name of the model's folder.
    """
    splits = read_splits(data_dir)
    tokenizer = HuggingFaceTokenizer(model)
    files = tokenizer.files()
    sources = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    settings = {"bpe": "hf", "sources": sources}
    default = Path(model).absolute().name
    folder = TokenFolder(place_tokens(data_dir, _TEXT, settings, name, default), settings)
    with folder.locked():
        if not folder.is_fitted:
            folder.replace_tokenizer(files, len(tokenizer.symbols), tokenizer.specials)
        return _tokenize(folder, splits, workers)


def tokenize_with_folder(
    data_dir: str | Path, tokenizer: str | Path, workers: Workers = 1, name: str | None = None
) -> TokenFolder:
    """Tokenize every split with the tokenizer of a token folder, whose files are copied.

    Raises:
        ValueError: there is no text tokenizer, or it is damaged.
    """
    splits, source = read_splits(data_dir), Path(tokenizer)
    load_text_tokenizer(source)
    card = read_card(source)
    settings = copied_settings(card["settings"])
    default = TokenSet.of(source.absolute()).name_of_copy
    folder = TokenFolder(place_tokens(data_dir, _TEXT, settings, name, default), settings)
    with folder.locked():
        if not folder.is_fitted:
            files = {file: (source / file).read_bytes() for file in card["files"]}
            folder.replace_tokenizer(files, card["vocab_size"], special_ids(card))
        return _tokenize(folder, splits, workers)


def tokenize_again(data_dir: str | Path, name: str, workers: Workers = 1) -> TokenFolder:
    """Bring a token set up to date with its own tokenizer.

    A tokenizer that is fitted on the train split is fitted again where that has changed.

    Raises:
        ValueError: it was not written by this command, or its tokenizer is damaged.
    """
    tokens = TokenSet(Path(data_dir), _TEXT, name)
    settings = dict(read_card(tokens.folder)["settings"])
    if FITTED_ON in settings:
        del settings[FITTED_ON], settings["bpe"]
        return tokenize_with_sentencepiece(data_dir, **settings, workers=workers, name=name)
    check_tokenizer(tokens.folder)
    splits, folder = read_splits(data_dir), TokenFolder(tokens.folder, settings)
    with folder.locked():
        return _tokenize(folder, splits, workers)


def _tokenize(
    folder: TokenFolder, splits: Mapping[str, Sequence[Utterance]], workers: Workers
) -> TokenFolder:
    jobs = {
        split: SplitJob(values(rows, "text"), texts_digest(rows)) for split, rows in splits.items()
    }
    build = partial(_build_encoder, TokenizerFiles.of(folder.folder))
    binarize_splits(folder, jobs, build, workers)
    return folder


def _build_encoder(carried: TokenizerFiles) -> Callable[[Sequence[str | None]], list[Tokens]]:
    with carried.written() as folder:
        return load_text_tokenizer(folder).encode_batch


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: see the module's docstring."""
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return run_on_data_dir(
        options, lambda given: summary_table(_choose(parser, given)()), writes=[_TEXT]
    )


def _choose(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> Callable[[], TokenFolder]:
    """Return what tokenizes by the options; end with a usage error where these contradict."""
    kind, _, model = getattr(options, "bpe", "").partition(":")
    given = [*["--bpe"] * bool(kind), *given_flags(options, BPES)]
    data_dir, source = options.data_dir, options.tokenizer
    common = {"name": options.name, "workers": take_engine(options).with_default(1)}
    if source is not None:
        require_local(source, "--tokenizer", "copy the token folder here")
        if given:
            parser.error(f"--tokenizer takes no {', '.join(given)}")
        return partial(tokenize_with_folder, data_dir, source, **common)
    if not given and has_tokens(data_dir, _TEXT, options.name):
        return partial(tokenize_again, data_dir, **common)
    kind = kind or "sentencepiece"
    parameters = parameters_of(parser, options, BPES, kind, "--bpe")
    of_model = {"model": model} if kind == "hf" else {}
    return partial(BPES[kind].tokenize, data_dir, **of_model, **parameters, **common)


_GPT2_FILES = {
    "--encoder-json": "encoder_json",
    "--vocab-bpe": "vocab_bpe",
    "--dict": "dictionary",
}

# By --bpe. The class of this name in text_tokenizers.TOKENIZERS reads the tokens back.
BPES: Mapping[str, Method] = {
    "sentencepiece": Method(
        tokenize_with_sentencepiece,
        {
            "--fold": "fold",
            "--vocab-size": "vocab_size",
            "--model-type": "model_type",
            "--character-coverage": "character_coverage",
            "--byte-fallback": "byte_fallback",
            "--lowercase": "lowercase",
        },
    ),
    "gpt2": Method(tokenize_with_gpt2, _GPT2_FILES, needs=tuple(_GPT2_FILES)),
    "hf": Method(tokenize_with_hf),
}


def _bpe(value: str) -> str:
    """A type for argparse: the name of a tokenizer, with the model's folder after ``hf:``."""
    kind, _, path = value.partition(":")
    if kind not in BPES or (kind == "hf") != bool(path):
        raise argparse.ArgumentTypeError(f"{value!r} is none of sentencepiece, gpt2, hf:FOLDER")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("tokenize_text", __doc__ or "", audio=False)
    add = parser.add_argument
    add("data_dir", type=Path, help="folder with {split}.tsv and corpus.yaml, or its URL (s3://…)")
    bpe = "sentencepiece (default), gpt2, or hf:FOLDER, the tokenizer of a Hugging Face model"
    add("--bpe", type=_bpe, default=argparse.SUPPRESS, metavar="BPE", help=bpe)
    own = "a token folder, such as OTHER_DATA_DIR/text/NAME, whose tokenizer is taken"
    add("--tokenizer", type=Path, metavar="FOLDER", help=own)
    name = "folder under DATA_DIR/text (default: that of the same tokenizer, or its name)"
    add("--name", metavar="NAME", help=name)
    add_engine_options(parser, "processes (default: 1; more pay from about 100,000 sentences)")

    # An option that is not given is absent, so that it can be checked whether it acts; defaults are
    # those of the functions.
    parser.argument_default = argparse.SUPPRESS
    add = parser.add_argument_group("--bpe sentencepiece").add_argument
    fold = "fit it on the train set of a fold, such as k_fold/1 (default: on the train split)"
    add("--fold", metavar="PROTOCOL/FOLD", help=fold)
    size = "largest number of pieces; a small text yields fewer (default: 2000)"
    add("--vocab-size", type=positive_int, metavar="N", help=size)
    add("--model-type", choices=("unigram", "bpe"), help="default: unigram")
    coverage = "share of the text's characters that get their own piece (default: 0.9995)"
    add("--character-coverage", type=float, metavar="X", help=coverage)
    unknown = "spell other characters as bytes, or call them <unk> (default: bytes)"
    flag = argparse.BooleanOptionalAction
    add("--byte-fallback", action=flag, default=argparse.SUPPRESS, help=unknown)
    add("--lowercase", action="store_true", default=argparse.SUPPRESS, help="fold case")

    add = parser.add_argument_group("--bpe gpt2").add_argument
    add("--encoder-json", type=Path, metavar="FILE", help="GPT-2's encoder.json")
    add("--vocab-bpe", type=Path, metavar="FILE", help="GPT-2's vocab.bpe")
    add("--dict", dest="dictionary", type=Path, metavar="FILE", help="RoBERTa's dict.txt")
    return parser
