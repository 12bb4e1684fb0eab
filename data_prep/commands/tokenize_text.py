r"""Text -> tokens: DATA_DIR/text/{split}.bin + .idx, dict.txt, and the tokenizer's own files.

    python -m data_prep.tokenize_text DATA_DIR
    python -m data_prep.tokenize_text DATA_DIR --bpe gpt2 --encoder-json encoder.json \
        --vocab-bpe vocab.bpe --dict dict.txt
    python -m data_prep.tokenize_text DATA_DIR --bpe hf:MODEL_FOLDER

The default fits a sentencepiece model on the train split and needs nothing else. `--bpe gpt2` gives
RoBERTa's ids, equal to fairseq's own; `--bpe hf:` those of any Hugging Face encoder. Row i belongs
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

from data_prep.command_line import (
    make_parser,
    positive_int,
    run,
)
from data_prep.files.digests import file_digest
from data_prep.manifest.digests import sequence_digest
from data_prep.schema import Utterance
from data_prep.tokens.binarize import (
    SplitJob,
    binarize_splits,
    read_splits,
    summary_table,
    train_rows,
)
from data_prep.tokens.folder import (
    DICT_FILE,
    TokenFolder,
    Tokens,
    load_dictionary,
)
from data_prep.tokens.hf_tokenizer import HuggingFaceTokenizer
from data_prep.tokens.text_tokenizers import (
    ENCODER_FILE,
    MERGES_FILE,
    load_text_tokenizer,
    train_sentencepiece,
)

__all__ = [
    "load_text_tokenizer",
    "tokenize_with_gpt2",
    "tokenize_with_hf",
    "tokenize_with_sentencepiece",
]

logger = logging.getLogger(__name__)


def tokenize_with_sentencepiece(
    data_dir: str | Path,
    vocab_size: int = 2000,
    model_type: str = "unigram",
    character_coverage: float = 0.9995,
    byte_fallback: bool = True,
    lowercase: bool = False,
    workers: int = 1,
) -> TokenFolder:
    """Fit sentencepiece on the train split and tokenize every split.

    `byte_fallback` spells a character that the model does not know as UTF-8 bytes, so that nothing
    is lost to `<unk>`; `lowercase` folds case, in the model's own normalization.
    """
    splits = read_splits(data_dir)
    train = train_rows(data_dir, splits, "use --bpe gpt2 or --bpe hf:FOLDER, which need none")
    settings: dict[str, Any] = {
        "bpe": "sentencepiece",
        "vocab_size": vocab_size,
        "model_type": model_type,
        "character_coverage": character_coverage,
        "byte_fallback": byte_fallback,
        "lowercase": lowercase,
        "fitted_on": _digest(train),
    }
    folder = TokenFolder(Path(data_dir) / "text", settings)
    with folder.locked():
        if not folder.is_fitted:
            texts = [row.text for row in train if row.text is not None]
            logger.info("fitting sentencepiece on %d sentences of the train split", len(texts))
            folder.replace_tokenizer(*train_sentencepiece(texts, settings))
        return _tokenize(folder, splits, workers)


def tokenize_with_gpt2(
    data_dir: str | Path,
    encoder_json: str | Path,
    vocab_bpe: str | Path,
    dictionary: str | Path,
    workers: int = 1,
) -> TokenFolder:
    """Tokenize every split with GPT-2's BPE and RoBERTa's dictionary; the files are copied."""
    splits = read_splits(data_dir)
    sources = {ENCODER_FILE: encoder_json, MERGES_FILE: vocab_bpe, DICT_FILE: dictionary}
    digests = {name: file_digest(path) for name, path in sources.items()}
    folder = TokenFolder(Path(data_dir) / "text", {"bpe": "gpt2", "sources": digests})
    with folder.locked():
        if not folder.is_fitted:
            vocab_size = len(load_dictionary(dictionary))
            files = {name: Path(path).read_bytes() for name, path in sources.items()}
            folder.replace_tokenizer(files, vocab_size)
        return _tokenize(folder, splits, workers)


def tokenize_with_hf(data_dir: str | Path, model: str | Path, workers: int = 1) -> TokenFolder:
    """Tokenize every split with the tokenizer of a Hugging Face model; its files are copied."""
    splits = read_splits(data_dir)
    tokenizer = HuggingFaceTokenizer(model)
    files = tokenizer.files()
    sources = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    folder = TokenFolder(Path(data_dir) / "text", {"bpe": "hf", "sources": sources})
    with folder.locked():
        if not folder.is_fitted:
            folder.replace_tokenizer(files, len(tokenizer.symbols), tokenizer.specials)
        return _tokenize(folder, splits, workers)


def _tokenize(
    folder: TokenFolder, splits: Mapping[str, Sequence[Utterance]], workers: int
) -> TokenFolder:
    jobs = {
        split: SplitJob([row.text for row in rows], _digest(rows)) for split, rows in splits.items()
    }
    binarize_splits(folder, jobs, partial(_build_encoder, folder.folder), workers)
    return folder


def _build_encoder(folder: Path) -> Callable[[str | None], Tokens]:
    return load_text_tokenizer(folder).encode


def _digest(rows: Sequence[Utterance]) -> str:
    return sequence_digest((row.id, row.text) for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: see the module's docstring."""
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = {
        "--encoder-json": options.encoder_json,
        "--vocab-bpe": options.vocab_bpe,
        "--dict": options.dictionary,
    }
    wrong = [flag for flag, path in given.items() if (path is None) == (options.bpe == "gpt2")]
    if wrong:
        verb = "needs" if options.bpe == "gpt2" else "takes no"
        parser.error(f"--bpe {options.bpe} {verb} {', '.join(wrong)}")
    return run(lambda: print(summary_table(BPES[options.bpe.partition(":")[0]](options))))


def _sentencepiece(options: argparse.Namespace) -> TokenFolder:
    return tokenize_with_sentencepiece(
        options.data_dir,
        vocab_size=options.vocab_size,
        model_type=options.model_type,
        character_coverage=options.character_coverage,
        byte_fallback=options.byte_fallback,
        lowercase=options.lowercase,
        workers=options.workers,
    )


def _gpt2(options: argparse.Namespace) -> TokenFolder:
    return tokenize_with_gpt2(
        options.data_dir,
        options.encoder_json,
        options.vocab_bpe,
        options.dictionary,
        workers=options.workers,
    )


def _hf(options: argparse.Namespace) -> TokenFolder:
    model = options.bpe.partition(":")[2]
    return tokenize_with_hf(options.data_dir, model, workers=options.workers)


# --bpe -> what it does with the options. Reading its tokens back is the business of the class under
# the same name in text_tokenizers.TOKENIZERS.
BPES: dict[str, Callable[[argparse.Namespace], TokenFolder]] = {
    "sentencepiece": _sentencepiece,
    "gpt2": _gpt2,
    "hf": _hf,
}


def _bpe(value: str) -> str:
    """A type for argparse: the name of a tokenizer, with the model's folder after ``hf:``."""
    kind, _, place = value.partition(":")
    if kind not in BPES or (kind == "hf") != bool(place):
        raise argparse.ArgumentTypeError(f"{value!r} is none of sentencepiece, gpt2, hf:FOLDER")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("tokenize_text", __doc__ or "", audio=False)
    add = parser.add_argument
    add("data_dir", type=Path, help="folder with {split}.tsv and corpus.yaml")
    bpe = "sentencepiece (default), gpt2, or hf:FOLDER, the tokenizer of a Hugging Face model"
    add("--bpe", type=_bpe, default="sentencepiece", metavar="BPE", help=bpe)
    workers = "processes (default: %(default)s; more pay from about 100,000 sentences)"
    add("--workers", type=positive_int, default=1, metavar="N", help=workers)

    add = parser.add_argument_group("--bpe sentencepiece").add_argument
    size = "pieces asked for; a small text yields fewer (default: %(default)s)"
    add("--vocab-size", type=positive_int, default=2000, metavar="N", help=size)
    add("--model-type", choices=("unigram", "bpe"), default="unigram", help="default: %(default)s")
    coverage = "share of the text's characters that get their own piece (default: %(default)s)"
    add("--character-coverage", type=float, default=0.9995, metavar="X", help=coverage)
    unknown = "spell other characters as bytes, or call them <unk> (default: bytes)"
    add("--byte-fallback", action=argparse.BooleanOptionalAction, default=True, help=unknown)
    add("--lowercase", action="store_true", help="fold case")

    add = parser.add_argument_group("--bpe gpt2").add_argument
    add("--encoder-json", type=Path, metavar="FILE", help="GPT-2's encoder.json")
    add("--vocab-bpe", type=Path, metavar="FILE", help="GPT-2's vocab.bpe")
    add("--dict", dest="dictionary", type=Path, metavar="FILE", help="RoBERTa's dict.txt")
    return parser
