"""Text tokenizers: how each is made, and how a token folder gives it back.

Those of this file number tokens as fairseq's Dictionary does (`<s>` 0, `<pad>` 1, `</s>` 2,
`<unk>` 3, then dict.txt line by line); `hf_tokenizer` keeps the ids of the pretrained model. All
end every row with `</s>`, or what the model has in its place; the task puts `<s>` in front.
"""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from data_prep.errors import CodedError
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
)
from data_prep.tokens.hf_tokenizer import HuggingFaceTokenizer
from data_prep.tokens.opened import check_tokenizer

if TYPE_CHECKING:
    from fairseq.data import Dictionary

logger = logging.getLogger(__name__)

# sentencepiece's own ids and names for them, so that its ids need no translation.
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


class TextTokenizer(Protocol):
    """What a token folder's tokenizer does, at training and at inference."""

    @property
    def specials(self) -> SpecialIds:
        """Ids of the symbols that are no words."""

    def encode(self, text: str | None) -> Tokens:
        """(n_tokens,) int64 ids that end with the separator; None gives that alone."""

    def decode(self, tokens: Iterable[int]) -> str:
        """The text again, without special tokens."""


class SentencePieceTokenizer:
    """A sentencepiece model whose piece ids are the Dictionary's ids."""

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

    def decode(self, tokens: Iterable[int]) -> str:
        pieces = [int(token) for token in tokens if int(token) not in (BOS, PAD, EOS)]
        return str(self._pieces.decode(pieces))


class Gpt2Tokenizer:
    """GPT-2's byte-level BPE with RoBERTa's dict.txt, by fairseq's own encoder and Dictionary."""

    specials = SpecialIds()

    def __init__(self, folder: Path) -> None:
        from fairseq.data.encoders.gpt2_bpe_utils import get_encoder

        try:
            self._bpe = get_encoder(str(folder / ENCODER_FILE), str(folder / MERGES_FILE))
        except ValueError as error:
            raise CodedError(
                f"{folder}: {ENCODER_FILE} or {MERGES_FILE} is not GPT-2's ({error}); "
                "fetch it again",
                "tokenizer-unreadable",
            ) from error
        self.dictionary = load_dictionary(folder / DICT_FILE)

    def encode(self, text: str | None) -> Tokens:
        ids = [self.dictionary.index(str(token)) for token in self._bpe.encode(text or "")]
        return np.array([*ids, EOS], dtype=np.int64)

    def decode(self, tokens: Iterable[int]) -> str:
        symbols = (self.dictionary[int(token)] for token in tokens)
        return str(self._bpe.decode([int(symbol) for symbol in symbols if symbol.isdigit()]))


TOKENIZERS: dict[str, Callable[[Path], TextTokenizer]] = {
    "sentencepiece": SentencePieceTokenizer,
    "gpt2": Gpt2Tokenizer,
    "hf": HuggingFaceTokenizer,
}


def load_text_tokenizer(folder: str | Path) -> TextTokenizer:
    """The tokenizer of `DATA_DIR/text`. Raises ValueError when the folder holds none."""
    folder = Path(folder)
    bpe = read_card(folder)["settings"].get("bpe")
    if bpe not in TOKENIZERS:
        raise CodedError(
            f"{folder}: is made by {bpe!r}, no text tokenizer; name DATA_DIR/text",
            "tokenizer-missing",
        )
    check_tokenizer(folder)
    return TOKENIZERS[bpe](folder)


def train_sentencepiece(
    texts: Sequence[str], settings: Mapping[str, Any]
) -> tuple[dict[str, bytes], int]:
    """Fit a model on `texts`: its files by name, and the vocabulary size, special symbols included.

    One thread, since the sums of several would depend on their number. A text too small for
    `vocab_size` pieces gives fewer, with a warning; a size too small for the characters raises
    ValueError.
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
    counts = Counter(piece for ids in pieces.encode(list(texts)) for piece in ids)
    lines = [f"{pieces.id_to_piece(i)} {counts[i]}\n" for i in range(UNK + 1, len(pieces))]
    return {MODEL_FILE: model.getvalue(), DICT_FILE: "".join(lines).encode()}, len(pieces)
