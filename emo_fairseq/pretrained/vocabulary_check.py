"""Check that tokens match the vocabulary of a pretrained encoder."""

from collections.abc import Mapping
from dataclasses import replace

from data_prep.tokens.folder import UNK, SpecialIds
from emo_fairseq.data.token_choice import tokenize_command
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError


def check_knows(
    encoder_specs: Mapping[str, EncoderSpec], vocabularies: Mapping[str, Vocabulary]
) -> None:
    """Check the vocabularies of tokens against those of the pretrained encoders.

    Args:
        encoder_specs: encoder of each modality.
        vocabularies: vocabulary of the tokens of each modality that has tokens.

    Raises:
        UsageError: an encoder was trained with another dictionary, or with other special symbols.
    """
    for name, vocabulary in vocabularies.items():
        if encoder_specs[name].is_pretrained:
            _check_symbols(name, encoder_specs[name], vocabulary)
            if encoder_specs[name].kind == "fairseq":
                _check_specials(name, encoder_specs[name], vocabulary)


def _check_symbols(modality: str, encoder_spec: EncoderSpec, vocabulary: Vocabulary) -> None:
    both_named = vocabulary.digest and encoder_spec.vocabulary_digest
    same = vocabulary.digest == encoder_spec.vocabulary_digest
    if (both_named and not same) or vocabulary.size > encoder_spec.vocabulary_size:
        raise UsageError(
            f"{vocabulary.source}: these {vocabulary.size} symbols are not the "
            f"{encoder_spec.vocabulary_size} of {encoder_spec.spec}; tokenize with that "
            f"model's own tokenizer: `{tokenize_command(modality, encoder_spec)}`",
            "vocabulary-mismatch",
        )


def _check_specials(modality: str, encoder_spec: EncoderSpec, vocabulary: Vocabulary) -> None:
    """Compare special symbols; without ``dict.txt``, a fairseq model has those of Dictionary."""
    actual, expected = vocabulary.specials, SpecialIds()
    if replace(actual, unknown=UNK) != expected:
        raise UsageError(
            f"{vocabulary.source}: rows begin with id {actual.init}, end with {actual.separator} "
            f"and are padded with {actual.pad}, where {encoder_spec.spec} has {expected.init}, "
            f"{expected.separator} and {expected.pad}; leave --init-token and --separator-token "
            "out, and tokenize with that model's own tokenizer: "
            f"`{tokenize_command(modality, encoder_spec)}`",
            "special-tokens-mismatch",
        )
