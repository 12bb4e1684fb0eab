"""Whether tokens are of the symbols that a pretrained encoder knows."""

from collections.abc import Mapping
from dataclasses import replace

from data_prep.tokens.folder import UNK, SpecialIds
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.types import SPEECH


def check_knows(cards: Mapping[str, EncoderSpec], vocabularies: Mapping[str, Vocabulary]) -> None:
    """See that the tokens are of the symbols that the pretrained encoders know.

    Raises:
        UsageError: an encoder was trained with another dictionary, or with other special symbols.
    """
    for name, vocabulary in vocabularies.items():
        if cards[name].is_pretrained:
            _check_symbols(name, cards[name], vocabulary)
            if cards[name].kind == "fairseq":
                _check_specials(name, cards[name], vocabulary)


def _check_symbols(modality: str, card: EncoderSpec, vocabulary: Vocabulary) -> None:
    both_named = vocabulary.digest and card.vocabulary_digest
    same = vocabulary.digest == card.vocabulary_digest
    if (both_named and not same) or vocabulary.size > card.vocabulary_size:
        raise UsageError(
            f"{vocabulary.source}: these {vocabulary.size} symbols are not the "
            f"{card.vocabulary_size} of {card.spec}; tokenize with that model's own "
            f"tokenizer: {_tokenize_command(modality, card)}",
            "vocabulary-mismatch",
        )


def _check_specials(modality: str, card: EncoderSpec, vocabulary: Vocabulary) -> None:
    """A fairseq model has them where its Dictionary does, even if no ``dict.txt`` is beside it."""
    found, known = vocabulary.specials, SpecialIds()
    if replace(found, unknown=UNK) != known:
        raise UsageError(
            f"{vocabulary.source}: rows begin with id {found.init}, end with {found.separator} and "
            f"are padded with {found.pad}, where {card.spec} knows {known.init}, "
            f"{known.separator} and {known.pad}; leave --init-token and --separator-token out, and "
            f"tokenize with that model's own tokenizer: {_tokenize_command(modality, card)}",
            "special-tokens-mismatch",
        )


def _tokenize_command(modality: str, card: EncoderSpec) -> str:
    if modality == SPEECH:
        return "`python -m data_prep.tokenize_speech DATA --quantizer ... --dict its dict.txt`"
    bpe = card.spec if card.kind == "hf" else "gpt2 --dict its dict.txt ..."
    return f"`python -m data_prep.tokenize_text DATA --bpe {bpe}`"
