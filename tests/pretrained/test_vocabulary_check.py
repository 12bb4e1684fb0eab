"""Tokens have to be of the symbols that a pretrained encoder knows."""

from dataclasses import replace

import pytest
from codes import raises

from data_prep.tokens.folder import SpecialIds
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.modalities import TOKENS
from emo_fairseq.pretrained.vocabulary_check import check_knows

CARD = EncoderSpec("fairseq:roberta", TOKENS, vocabulary_size=20)
VOCABULARY = Vocabulary(20, "abc", "data/text/symbols.json")


@pytest.mark.parametrize("digest", ["", "abc"])
@pytest.mark.parametrize("change", [{"init": 5}, {"pad": 3}, {"separator": 1}])
def test_fairseqs_encoders_know_the_special_ids_of_its_dictionary(
    digest: str, change: dict[str, int]
) -> None:
    card = replace(CARD, vocabulary_digest=digest)
    check_knows({"text": card}, {"text": VOCABULARY})
    check_knows({"text": card}, {"text": replace(VOCABULARY, specials=SpecialIds(unknown=9))})
    other = replace(VOCABULARY, specials=replace(SpecialIds(), **change))
    with raises("special-tokens-mismatch"):
        check_knows({"text": card}, {"text": other})
    check_knows({"text": replace(card, spec="hf:bert")}, {"text": other})
    check_knows({"text": replace(card, spec="scratch:tiny")}, {"text": other})


@pytest.mark.parametrize("kind", ["hf", "fairseq"])
def test_another_dictionary_is_refused(kind: str) -> None:
    card = replace(CARD, spec=f"{kind}:place", vocabulary_digest="abc")
    for other in (replace(VOCABULARY, digest="xyz"), replace(VOCABULARY, size=21)):
        with raises("vocabulary-mismatch"):
            check_knows({"text": card}, {"text": other})
    check_knows({"text": card}, {"text": replace(VOCABULARY, digest="", size=19)})
    check_knows({"text": EncoderSpec("scratch:tiny", TOKENS)}, {"text": VOCABULARY})
