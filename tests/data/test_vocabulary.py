"""Sizes of vocabularies, and refusals of tokens that do not fit them."""

import logging
from pathlib import Path

import numpy as np
import pytest
from codes import raises

from emo_fairseq.data.vocabulary import (
    ROBERTA_SIZE,
    Vocabulary,
    assume_vocabulary,
    check_fits,
    read_dictionary,
)
from emo_fairseq.errors import UsageError

IDS = [np.array([0, 5, 2]), np.array([0, 41, 7, 2])]


@pytest.fixture
def dictionary(tmp_path: Path) -> Path:
    (tmp_path / "dict.txt").write_text("yes 10\nno 7\nmaybe 1\n")
    return tmp_path / "dict.txt"


def test_a_dictionary_is_counted_with_its_specials(dictionary: Path) -> None:
    vocabulary = read_dictionary(dictionary)
    assert vocabulary.size == 7  # <s> <pad> </s> <unk> yes no maybe
    assert vocabulary.source == str(dictionary)


def test_it_survives_a_checkpoint(dictionary: Path) -> None:
    vocabulary = read_dictionary(dictionary)
    assert Vocabulary.from_state(vocabulary.to_state()) == vocabulary


def test_the_digest_is_of_the_symbols_in_order_and_not_of_their_counts(dictionary: Path) -> None:
    first = read_dictionary(dictionary)
    dictionary.write_text("yes 11\nno 11\nmaybe 11\n")
    read_dictionary(dictionary).check_same(first)
    dictionary.write_text("no 7\nyes 10\nmaybe 1\n")
    with raises("vocabulary-other"):
        read_dictionary(dictionary).check_same(first)


@pytest.mark.parametrize("text", ["yes\n", "yes ten\n", "yes 1\nyes 2\n", None])
def test_a_broken_dictionary_is_named(dictionary: Path, text: str | None) -> None:
    dictionary.unlink() if text is None else dictionary.write_text(text)
    with pytest.raises(UsageError, match=r"dict\.txt: ") as error:
        read_dictionary(dictionary)
    assert error.value.code


def test_without_a_digest_only_the_size_is_compared(dictionary: Path) -> None:
    named = read_dictionary(dictionary)
    named.check_same(Vocabulary(7, "", "a scan"))
    named.check_same(Vocabulary(8, "", "a scan"))
    with raises("vocabulary-other"):
        named.check_same(Vocabulary(6, "", "a scan"))


def test_text_without_a_dictionary_is_taken_for_robertas(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        vocabulary = assume_vocabulary("text", IDS)
    assert vocabulary.size == ROBERTA_SIZE == 50_265
    assert "RoBERTa's 50265 symbols are assumed" in caplog.text


def test_text_beyond_robertas_dictionary_is_refused() -> None:
    with raises("token-out-of-range"):
        assume_vocabulary("text", [*IDS, np.array([50_265])])


def test_speech_without_a_dictionary_is_scanned(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        vocabulary = assume_vocabulary("speech", IDS)
    assert vocabulary.size == 42
    assert "the codes reach 41, so 42 symbols" in caplog.text


def test_an_id_outside_the_vocabulary_is_refused() -> None:
    check_fits(Vocabulary(42, "", "a scan"), "speech", IDS)
    with raises("token-out-of-range"):
        check_fits(Vocabulary(41, "", "a scan"), "speech", IDS)
