"""The record of the rows that something was made from: what overlaps, and what cannot be read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codes import raises

from data_prep.manifest.provenance import (
    SELECTED,
    TRAINED,
    Provenance,
    provenance_path,
    read_beside,
    seen_rows,
    write_beside,
)
from data_prep.schema import Utterance

ROWS = [Utterance(f"dia0_utt{n}") for n in range(6)]
COMBINED = [replace(row, id=f"meld/{row.id}", corpus="meld") for row in ROWS]


def test_partial_overlaps_are_found_and_named_as_the_manifest_has_them() -> None:
    record = seen_rows(ROWS[:3], "meld", "train")
    assert record.overlap(ROWS[2:], "meld") == ["dia0_utt2"]
    assert record.overlap(ROWS[3:], "meld") == []
    assert record.overlap(ROWS, "meld", (SELECTED,)) == []
    assert seen_rows(ROWS[:1], "meld", "valid", use=SELECTED).overlap(ROWS, "meld") == []


def test_a_row_is_the_same_alone_and_combined() -> None:
    alone, combined = seen_rows(ROWS[:2], "meld", "train"), seen_rows(COMBINED[:2], "both", "train")
    assert alone.overlap(COMBINED, "both") == ["meld/dia0_utt0", "meld/dia0_utt1"]
    assert combined.overlap(ROWS, "meld") == ["dia0_utt0", "dia0_utt1"]


def test_like_ids_of_two_corpora_are_two_rows_and_are_told_of_where_all_are_alike() -> None:
    record = seen_rows(ROWS, "meld", "train")
    assert record.overlap(ROWS, "mine") == []
    assert record.namesakes(ROWS[:2], "mine") == "meld"
    assert record.namesakes([*ROWS, Utterance("other")], "mine") is None
    assert record.namesakes(ROWS, "meld") is None
    assert record.namesakes([], "mine") is None
    assert seen_rows(ROWS, None, "train").overlap(ROWS[:1], None) == ["dia0_utt0"], "unnamed"


def test_records_join_and_survive_json() -> None:
    first = seen_rows(ROWS[:3], "meld", "train", "k_fold/1")
    second = seen_rows(ROWS[2:4], "meld", "train", "k_fold/1")
    valid = seen_rows(ROWS[5:], "meld", "valid", "k_fold/1", SELECTED)
    joined = first.merged(second, valid, Provenance(unknown=("x",), allowed=("y", "y")))
    again = Provenance.from_state(joined.to_state(), "file")
    assert again.to_state() == joined.to_state()
    assert [(str(part), part.use, len(part.hashes)) for part in again.seen] == [
        ("train of k_fold/1 of meld", TRAINED, 4),
        ("valid of k_fold/1 of meld", SELECTED, 1),
    ]
    assert again.overlap(ROWS, "meld", (TRAINED, SELECTED)) == [
        row.id for number, row in enumerate(ROWS) if number != 4
    ]
    assert (again.unknown, again.allowed) == (("x",), ("y",))
    assert all(np.all(np.diff(part.hashes.astype(float)) > 0) for part in again.seen)


@pytest.mark.parametrize(
    "change",
    [
        {"seen": None},
        {"allowed": "a sentence"},
        {"more": 1},
        {"seen": [{"corpus": "meld"}]},
        {"ids": "!!"},
        {"n": 7},
        {"use": "heard"},
        {"fold": 1},
    ],
)
def test_what_is_no_record_is_refused(change: dict[str, Any]) -> None:
    state = seen_rows(ROWS, "meld", "train").to_state()
    (part,) = state["seen"]
    inner = {name: value for name, value in change.items() if name in part}
    outer = {name: value for name, value in change.items() if name not in part}
    with raises("document-invalid"):
        Provenance.from_state({**state, "seen": [{**part, **inner}], **outer}, "model.pt")


def test_a_record_beside_a_file_is_of_its_content(tmp_path: Path) -> None:
    file = tmp_path / "predictions.tsv"
    file.write_text("id\tsplit\n")
    assert read_beside(file) is None
    write_beside(file, seen_rows(ROWS, "meld", "train"))
    found = read_beside(file)
    assert found is not None
    assert found.overlap(ROWS[:1], "meld") == ["dia0_utt0"]
    file.write_text("id\tsplit\nother\ttest\n")
    assert read_beside(file) is None, "of another content nothing is known"
    for broken in ("{", "[]", "{}", '{"sha256": "", "seen": 1}'):
        provenance_path(file).write_text(broken)
        with raises("document-invalid"):
            read_beside(file)


def test_names_are_readable_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "predictions.tsv"
    file.write_text("id\tsplit\n")
    write_beside(file, seen_rows(ROWS, "émotions", "train"))
    assert "émotions" in provenance_path(file).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "content", [b"id\tsplit\r\n", b"\xef\xbb\xbfid\tsplit\n", b"id\tsplit\t\t\n\n"]
)
def test_a_file_that_was_only_saved_again_keeps_its_record(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "predictions.tsv"
    file.write_bytes(b"id\tsplit\n")
    write_beside(file, seen_rows(ROWS, "meld", "train"))
    file.write_bytes(content)
    assert read_beside(file) is not None, "or what a leak is refused by would be lost"
