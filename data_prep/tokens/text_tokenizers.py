"""Text tokenizers: sentencepiece and GPT-2's BPE, and loading one from a token folder.

Ids are those of fairseq's Dictionary (`<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, then the lines of
dict.txt), those of `hf_tokenizer` are those of the pretrained model. Every row ends with `</s>` or
the model's separator; the task prepends `<s>`.
"""

from __future__ import annotations

import io
import itertools
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from data_prep.errors import CodedError
from data_prep.tokens.checking import check_tokenizer
from data_prep.tokens.folder import (
    BOS,
    DICT_FILE,
    EOS,
    PAD,
    UNK,
    SpecialIds,
    Tokens,
    load_dictionary,
    read_card,
    read_symbols,
)
from data_prep.tokens.hf_tokenizer import open_stored

if TYPE_CHECKING:
    from fairseq.data import Dictionary

logger = logging.getLogger(__name__)

# Options of sentencepiece, so that its ids are those of fairseq's Dictionary.
_SPECIAL_PIECES: dict[str, Any] = {
    "bos_id": BOS,
    "pad_id": PAD,
    "eos_id": EOS,
    "unk_id": UNK,
    "bos_piece": "<s>",
    "pad_piece": "<pad>",
    "eos_piece": "</s>",
    "unk_piece": "<unk>",
}
MODEL_FILE = "sentencepiece.model"
ENCODER_FILE, MERGES_FILE = "encoder.json", "vocab.bpe"
_COUNTED_AT_ONCE = 4096  # texts, whose ids are lists of numbers


class TextTokenizer(Protocol):
    """Protocol of the tokenizer of a token folder, for training and inference."""

    @property
    def specials(self) -> SpecialIds:
        """Ids of the special symbols."""

    def encode(self, text: str | None) -> Tokens:
        """Encode a text to int64 ids (n_tokens,) that end with the separator; None to that only."""

    def encode_batch(self, texts: Sequence[str | None]) -> list[Tokens]:
        """Encode several texts, as :meth:`encode` each of them, in fewer and parallel calls."""

    def decode(self, tokens: Iterable[int]) -> str:
        """Decode ids to text, without special tokens."""


class SentencePieceTokenizer:
    """A sentencepiece model whose ids are those of the Dictionary."""

    specials = SpecialIds()

    def __init__(self, folder: Path) -> None:
        import sentencepiece

        self._folder = folder
        try:
            self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / MODEL_FILE))
        except (OSError, RuntimeError) as error:
            raise CodedError(
                f"{folder / MODEL_FILE}: cannot be read by sentencepiece; delete the folder and "
                "tokenize again, or export the model again",
                "tokenizer-unreadable",
            ) from error

    @cached_property
    def dictionary(self) -> Dictionary:
        dictionary = load_dictionary(self._folder / DICT_FILE)
        pieces = self._pieces.id_to_piece(list(range(len(self._pieces))))
        if dictionary.symbols != pieces:
            raise CodedError(
                f"{self._folder / DICT_FILE}: does not list the pieces of {MODEL_FILE}; "
                "delete the folder and tokenize again",
                "tokenizer-mismatch",
            )
        return dictionary

    def encode(self, text: str | None) -> Tokens:
        pieces = self._pieces.encode(text) if text else []
        return np.array([*pieces, EOS], dtype=np.int64)

    def encode_batch(self, texts: Sequence[str | None]) -> list[Tokens]:
        rows = self._pieces.encode([text or "" for text in texts])
        return [np.array([*pieces, EOS], dtype=np.int64) for pieces in rows]

    def decode(self, tokens: Iterable[int]) -> str:
        pieces = [int(token) for token in tokens if int(token) not in (BOS, PAD, EOS)]
        return str(self._pieces.decode(pieces))


class Gpt2Tokenizer:
    """GPT-2's byte-level BPE with RoBERTa's dict.txt; the ids are those of fairseq's encoder."""

    specials = SpecialIds()

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bpe = _byte_level_bpe(folder)
        self._symbols = read_symbols(folder / DICT_FILE)
        self._id_of = {symbol: number for number, symbol in enumerate(self._symbols)}

    @cached_property
    def dictionary(self) -> Dictionary:
        return load_dictionary(self._folder / DICT_FILE)

    def encode(self, text: str | None) -> Tokens:
        return self._tokens(self._bpe.encode(text or "").ids)

    def encode_batch(self, texts: Sequence[str | None]) -> list[Tokens]:
        rows = self._bpe.encode_batch_fast([text or "" for text in texts])
        return [self._tokens(row.ids) for row in rows]

    def _tokens(self, pieces: Sequence[int]) -> Tokens:
        return np.array([self._id_of.get(str(x), UNK) for x in pieces] + [EOS], dtype=np.int64)

    def decode(self, tokens: Iterable[int]) -> str:
        symbols = (self._symbols[int(token)] for token in tokens)
        return str(self._bpe.decode([int(symbol) for symbol in symbols if symbol.isdigit()]))


def _byte_level_bpe(folder: Path) -> Any:
    """Return GPT-2's encoder of the files of a token folder."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    try:
        vocabulary = json.loads((folder / ENCODER_FILE).read_text(encoding="utf-8"))
        lines = (folder / MERGES_FILE).read_text(encoding="utf-8").split("\n")[1:-1]
        merges = [(pair[0], pair[1]) for line in lines if len(pair := line.split(" ")) == 2]
        bpe = Tokenizer(models.BPE(vocabulary, merges))
    except OSError:
        raise
    except Exception as error:  # tokenizers, written in Rust, raises plain Exception
        raise CodedError(
            f"{folder}: {ENCODER_FILE} or {MERGES_FILE} is not GPT-2's ({error}); fetch it again",
            "tokenizer-unreadable",
        ) from error
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    return bpe


TOKENIZERS: dict[str, Callable[[Path], TextTokenizer]] = {
    "sentencepiece": SentencePieceTokenizer,
    "gpt2": Gpt2Tokenizer,
    "hf": open_stored,
}


def load_text_tokenizer(folder: str | Path) -> TextTokenizer:
    """Load the tokenizer of `DATA_DIR/text/<name>`. Raises ValueError if there is none."""
    folder = Path(folder)
    bpe = read_card(folder)["settings"].get("bpe")
    if bpe not in TOKENIZERS:
        raise CodedError(
            f"{folder}: is made by {bpe!r}, no text tokenizer; name DATA_DIR/text/NAME",
            "tokenizer-missing",
        )
    check_tokenizer(folder)
    return TOKENIZERS[bpe](folder)


def train_sentencepiece(
    texts: Sequence[str], settings: Mapping[str, Any]
) -> tuple[dict[str, bytes], int]:
    """Fit a sentencepiece model.

    It uses one thread, since the result depends on the number of threads.

    Args:
        texts: texts of the train split.
        settings: `vocab_size`, `model_type`, `character_coverage`, `byte_fallback`, `lowercase`. If
            the texts are too few for `vocab_size` pieces, there are fewer, with a warning.

    Returns:
        The tokenizer files by name; and the size of the vocabulary, including special symbols.

    Raises:
        ValueError: there are no texts, or `vocab_size` is too small for their characters.

    >>> settings = {"vocab_size": 14, "model_type": "unigram", "character_coverage": 1.0,
    ...             "byte_fallback": False, "lowercase": True}
    >>> files, size = train_sentencepiece(["so happy", "so sad", "happy days"], settings)
    >>> sorted(files), size
    (['dict.txt', 'sentencepiece.model'], 14)
    """
    import sentencepiece

    if not texts:
        raise CodedError("the train split has no text to fit sentencepiece on", "text-missing")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            vocab_size=settings["vocab_size"],
            model_type=settings["model_type"],
            character_coverage=settings["character_coverage"],
            byte_fallback=settings["byte_fallback"],
            normalization_rule_name="nmt_nfkc_cf" if settings["lowercase"] else "nmt_nfkc",
            max_sentence_length=max(len(text.encode()) for text in texts) + 1,
            hard_vocab_limit=False,
            num_threads=1,
            minloglevel=2,
            **_SPECIAL_PIECES,
        )
    except RuntimeError as error:
        reason = str(error).rpartition("] ")[2]
        raise CodedError(
            f"sentencepiece cannot fit {settings['vocab_size']} pieces: {reason}", "vocabulary-size"
        ) from error
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    if len(pieces) < settings["vocab_size"]:
        logger.warning(
            "the train text yields %d pieces, not the %d of --vocab-size; using %d",
            len(pieces),
            settings["vocab_size"],
            len(pieces),
        )
    counts = _count_pieces(pieces, texts)
    lines = [f"{pieces.id_to_piece(i)} {counts[i]}\n" for i in range(UNK + 1, len(pieces))]
    return {MODEL_FILE: model.getvalue(), DICT_FILE: "".join(lines).encode()}, len(pieces)


def _count_pieces(pieces: Any, texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return how often each of the V pieces of a sentencepiece model is in the texts, (V,)."""
    counts = np.zeros(len(pieces), dtype=np.int64)
    for start in range(0, len(texts), _COUNTED_AT_ONCE):
        rows = pieces.encode(list(texts[start : start + _COUNTED_AT_ONCE]))
        ids = np.fromiter(itertools.chain.from_iterable(rows), dtype=np.int64)
        counts += np.bincount(ids, minlength=len(counts))
    return counts
