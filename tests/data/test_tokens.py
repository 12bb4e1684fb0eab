"""The dataset of tokens: boundaries once each, cuts before `</s>`, absent rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from codes import raises

from data_prep.manifest.digests import rows_digest, sequence_digest
from data_prep.schema import Utterance
from data_prep.tokens.folder import (
    PAD,
    SpecialIds,
    TokenFolder,
    write_tokens,
)
from emo_fairseq.data.tokens import (
    TokenDataset,
    open_binarized,
)
from emo_fairseq.errors import UsageError

FIRST, LAST = 0, 2
DICTIONARY = b"".join(b"word%d 1\n" % number for number in range(6))
ROWS = [Utterance(id=f"u{number}", text=f"text {number}") for number in range(4)]


def dataset(*rows: list[int], max_tokens: int = 10, present: Any = None) -> TokenDataset:
    source = [np.array(row, dtype=np.int64) for row in rows]
    heard = np.ones(len(rows), dtype=bool) if present is None else np.array(present)
    lengths = np.array([len(row) for row in rows])
    return TokenDataset(source, lengths, heard, SpecialIds(), max_tokens)


@pytest.mark.parametrize(
    "row", [[7, 8, 9], [FIRST, 7, 8, 9], [7, 8, 9, LAST], [FIRST, 7, 8, 9, LAST]]
)
def test_boundaries_are_added_where_they_lack(row: list[int]) -> None:
    tokens, present = dataset(row)[0]
    assert tokens.tolist() == [FIRST, 7, 8, 9, LAST]
    assert tokens.dtype == torch.long
    assert present


@pytest.mark.parametrize("row", [[], [FIRST], [LAST], [FIRST, LAST]])
def test_a_row_of_nothing_but_boundaries_is_both_once(row: list[int]) -> None:
    tokens, present = dataset(row)[0]
    assert tokens.tolist() == [FIRST, LAST]
    assert present


def test_boundary_ids_inside_a_row_stay() -> None:
    tokens, _ = dataset([FIRST, 7, LAST, LAST, FIRST, 8, LAST])[0]
    assert tokens.tolist() == [FIRST, 7, LAST, LAST, FIRST, 8, LAST]


def test_other_boundary_ids_are_honored() -> None:
    specials = SpecialIds(init=5, separator=6)
    items = TokenDataset([np.array([0, 7, 2])], np.array([3]), np.array([True]), specials, 10)
    assert items[0][0].tolist() == [5, 0, 7, 2, 6]


@pytest.mark.parametrize("row", [[7, 8, 9, 10], [FIRST, 7, 8, 9, 10, LAST]])
def test_a_cut_falls_before_the_separator(row: list[int]) -> None:
    tokens, _ = dataset(row, max_tokens=4)[0]
    assert tokens.tolist() == [FIRST, 7, 8, LAST]


def test_a_row_that_just_fits_is_not_cut() -> None:
    tokens, _ = dataset([7, 8], max_tokens=4)[0]
    assert tokens.tolist() == [FIRST, 7, 8, LAST]


def test_a_limit_without_room_for_the_boundaries_is_refused() -> None:
    assert dataset([7], max_tokens=2)[0][0].tolist() == [FIRST, LAST]
    with raises("max-tokens-too-small"):
        dataset([7], max_tokens=1)


def test_an_absent_row_is_a_placeholder_whose_source_is_not_read() -> None:
    items = dataset([7, 8], [9, 9, 9, 9], present=[True, False])
    items.source = [items.source[0]]
    tokens, present = items[1]
    assert tokens.tolist() == [FIRST, LAST]
    assert not present
    assert items.sizes[1] == 2


def test_sizes_bound_the_lengths() -> None:
    rows = [[], [7], [7, LAST], [FIRST, 7, 8, LAST], list(range(10, 40))]
    items = dataset(*rows, max_tokens=8)
    lengths = np.array([len(items[row][0]) for row in range(len(rows))])
    assert (items.sizes >= lengths).all()
    assert (items.sizes <= np.minimum(lengths + 2, 8)).all()


def test_a_batch_is_padded_at_the_end() -> None:
    items = dataset([7, 8], [9], [9], present=[True, True, False])
    batch = items.collater([items[row] for row in range(3)])
    assert batch["tokens"].tolist() == [
        [FIRST, 7, 8, LAST],
        [FIRST, 9, LAST, PAD],
        [FIRST, LAST, PAD, PAD],
    ]
    assert batch["padding_mask"].tolist() == [
        [False, False, False, False],
        [False, False, False, True],
        [False, False, True, True],
    ]
    assert batch["present"].tolist() == [True, True, False]


def test_a_padding_id_in_the_text_is_no_padding() -> None:
    items = dataset([7, PAD, 8])
    assert not items.collater([items[0]])["padding_mask"].any()


def test_binarized_rows_come_back(tmp_path: Path) -> None:
    rows = [np.array([4, 5, LAST]), np.array([LAST]), np.array([6, 7, 8, LAST])]
    write_tokens(tmp_path / "train", rows, vocab_size=10)
    source = open_binarized(tmp_path, "train", ROWS[:3])
    lengths, present = np.asarray(source.sizes), np.ones(3, dtype=bool)
    items = TokenDataset(source, lengths, present, SpecialIds(), 10)
    assert [items[row][0].tolist() for row in range(3)] == [
        [FIRST, 4, 5, LAST],
        [FIRST, LAST],
        [FIRST, 6, 7, 8, LAST],
    ]


def test_rows_that_do_not_match_the_manifest_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    write_tokens(folder / "train", [np.array([4, LAST])] * 3, vocab_size=10)
    message = r"train\.idx: 3 rows, but the manifest has 4; run `python -m data_prep.tokenize_text"
    with pytest.raises(UsageError, match=message):
        open_binarized(folder, "train", ROWS)


def test_a_split_without_tokens_is_refused(tmp_path: Path) -> None:
    message = r"speech.train\.bin: not there; run `python -m data_prep.tokenize_speech"
    with pytest.raises(UsageError, match=message):
        open_binarized(tmp_path / "speech", "train", ROWS)


def test_texts_that_changed_after_tokenization_are_refused(tmp_path: Path) -> None:
    folder = TokenFolder(tmp_path / "text", settings={})
    with folder.locked():
        folder.replace_tokenizer({"dict.txt": DICTIONARY}, vocab_size=10)
        digest = sequence_digest((row.id, row.text) for row in ROWS)
        folder.write_split("train", digest, [np.array([4, LAST])] * 4, missing=0)
    assert len(open_binarized(tmp_path / "text", "train", ROWS)) == 4
    edited = [*ROWS[:3], Utterance(id="u3", text="other words")]
    with pytest.raises(UsageError, match=r"texts of the manifest have changed since; run"):
        open_binarized(tmp_path / "text", "train", edited)


def test_codes_of_other_audio_are_refused(tmp_path: Path) -> None:
    rows = [Utterance(id=f"u{n}", audio=f"{n}.wav", n_samples=400) for n in range(3)]
    folder = TokenFolder(tmp_path / "speech", settings={})
    with folder.locked():
        folder.replace_tokenizer({"dict.txt": DICTIONARY}, vocab_size=10)
        folder.write_split("train", "", [np.array([4, LAST])] * 3, 0, rows_digest(rows))
    assert len(open_binarized(tmp_path / "speech", "train", rows)) == 3
    with pytest.raises(UsageError, match=r"audio of the manifest have changed since; run"):
        open_binarized(tmp_path / "speech", "train", rows[::-1])
