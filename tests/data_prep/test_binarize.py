"""Token folders: whole or not at all, restarted where they stopped, the same with any workers."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codes import raises

from data_prep.engines.mapping import for_groups
from data_prep.files.digests import file_digest, records_of
from data_prep.manifest.digests import sequence_digest
from data_prep.schema import Corpus, Utterance, write_corpus
from data_prep.tokens.binarize import (
    SplitJob,
    binarize_splits,
    read_splits,
    summary_table,
    train_rows,
)
from data_prep.tokens.folder import (
    EOS,
    TokenFolder,
    Tokens,
    read_card,
    write_tokens,
)

SETTINGS = {"bpe": "test", "size": 10}
FILES = {"dict.txt": b"a 1\nb 1\n"}
REPOSITORY = Path(__file__).resolve().parents[2]


def row(*ids: int) -> Tokens:
    return np.array([*ids, EOS], dtype=np.int64)


def open_tokens(prefix: Path) -> Any:
    from fairseq.data.indexed_dataset import MMapIndexedDataset  # worker processes need it not

    return MMapIndexedDataset(str(prefix))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name != ".lock"}


def fitted(folder: Path, vocab_size: int = 10) -> TokenFolder:
    tokens = TokenFolder(folder, SETTINGS)
    with tokens.locked():
        if not tokens.is_fitted:
            tokens.replace_tokenizer(FILES, vocab_size)
    return tokens


def reopened(folder: Path, settings: dict[str, object] | None = None) -> TokenFolder:
    tokens = TokenFolder(folder, SETTINGS if settings is None else settings)
    with tokens.locked():
        return tokens


@pytest.mark.parametrize(("vocab_size", "dtype"), [(100, np.uint16), (70_000, np.uint32)])
def test_fairseq_reads_back_what_was_written(vocab_size: int, dtype: type, tmp_path: Path) -> None:
    rows = [row(5, 6, vocab_size - 1), row(), row(9)]
    n_bytes = write_tokens(tmp_path / "train", iter(rows), vocab_size)
    dataset = open_tokens(tmp_path / "train")
    assert dataset._index.dtype == dtype
    assert dataset.sizes.tolist() == [4, 1, 2]
    assert [dataset[i].tolist() for i in range(3)] == [r.tolist() for r in rows]
    assert n_bytes == 7 * dtype().itemsize
    assert sorted(f.name for f in tmp_path.iterdir()) == ["train.bin", "train.idx"]


def test_the_card_says_what_is_there(tmp_path: Path) -> None:
    folder = fitted(tmp_path)
    folder.write_split("train", "abc", [row(4, 3), row()], missing=1)
    card = read_card(tmp_path)
    assert card["settings"] == SETTINGS
    assert card["vocab_size"] == 10
    assert card["files"] == {"dict.txt": file_digest(tmp_path / "dict.txt")}
    assert card["splits"]["train"] == {
        "digest": "abc",
        "rows": 2,
        "tokens": 4,
        "unknown": 1,
        "missing": 1,
        "bin_bytes": 8,
        "manifest": "",
        "files": records_of(tmp_path, ["train.bin", "train.idx"]),
    }
    assert "25.000%" in summary_table(folder)


def test_a_finished_split_stays_finished_until_something_changes(tmp_path: Path) -> None:
    fitted(tmp_path).write_split("train", "abc", [row(4)], missing=0)
    assert reopened(tmp_path).is_finished("train", "abc")
    assert not reopened(tmp_path).is_finished("train", "abd")
    assert not reopened(tmp_path).is_finished("valid", "abc")
    assert not reopened(tmp_path, {**SETTINGS, "size": 11}).is_fitted
    whole = (tmp_path / "train.bin").read_bytes()
    (tmp_path / "train.bin").write_bytes(whole[:-1])
    assert not reopened(tmp_path).is_finished("train", "abc")
    (tmp_path / "train.bin").write_bytes(whole)
    (tmp_path / "train.idx").unlink()
    assert not reopened(tmp_path).is_finished("train", "abc")


def test_a_changed_tokenizer_file_is_not_trusted(tmp_path: Path) -> None:
    fitted(tmp_path)
    assert reopened(tmp_path).is_fitted
    (tmp_path / "dict.txt").write_bytes(b"b 1\na 1\n")
    assert not reopened(tmp_path).is_fitted


def test_a_new_tokenizer_takes_the_old_ones_tokens_away(tmp_path: Path) -> None:
    folder = fitted(tmp_path)
    folder.write_split("train", "abc", [row(4)], missing=0)
    folder.replace_tokenizer({"dict.txt": b"c 1\n"}, 5)
    assert sorted(snapshot(tmp_path)) == ["dict.txt", "tokenizer.yaml"]
    assert read_card(tmp_path)["splits"] == {}


def test_an_exception_midway_leaves_no_tokens_and_no_claim(tmp_path: Path) -> None:
    folder = fitted(tmp_path)
    folder.write_split("train", "abc", [row(4)], missing=0)
    folder.write_split("valid", "def", [row(4)], missing=0)
    before = snapshot(tmp_path)

    def broken() -> Iterator[Tokens]:
        yield row(5)
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        folder.write_split("valid", "new", broken(), missing=0)
    after = snapshot(tmp_path)
    assert set(before) - set(after) == {"valid.bin", "valid.idx"}
    assert set(after) <= set(before)
    assert after["train.bin"] == before["train.bin"]
    assert set(read_card(tmp_path)["splits"]) == {"train"}


def test_kill_9_midway_leaves_nothing_half_written_and_a_rerun_completes(tmp_path: Path) -> None:
    fitted(tmp_path).write_split("train", "abc", [row(4)], missing=0)
    script = f"""
        import os, signal
        import numpy as np
        from data_prep.tokens.folder import TokenFolder
        def rows():
            for i in range(100_000):
                yield np.array([4, 5, 6, 2])
            os.kill(os.getpid(), signal.SIGKILL)
        folder = TokenFolder({str(tmp_path)!r}, {SETTINGS!r})
        with folder.locked():
            folder.write_split("valid", "def", rows(), missing=0)
    """
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=REPOSITORY, check=False
    )
    assert child.returncode == -signal.SIGKILL
    left = snapshot(tmp_path)
    assert ".valid.bin.part" in left, "the child died before it wrote anything"
    assert not {"valid.bin", "valid.idx"} & set(left)
    assert set(read_card(tmp_path)["splits"]) == {"train"}

    again = reopened(tmp_path)  # the dead child's lock is gone
    assert ".valid.bin.part" not in snapshot(tmp_path)
    assert again.is_finished("train", "abc")
    again.write_split("valid", "def", [row(4, 5)], missing=0)
    assert reopened(tmp_path).is_finished("valid", "def")


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    first, second = TokenFolder(tmp_path, SETTINGS), TokenFolder(tmp_path, {})
    with first.locked(), raises("folder-locked"), second.locked():
        pass
    with TokenFolder(tmp_path, SETTINGS).locked():
        assert (tmp_path / ".lock").exists()


@pytest.mark.parametrize("content", ["", "[1, 2]", "a: [", "settings: {}\n"])
def test_a_broken_card_is_named(content: str, tmp_path: Path) -> None:
    with raises("document-invalid"):
        read_card(tmp_path)
    (tmp_path / "tokenizer.yaml").write_text(content)
    with raises("document-invalid"):
        read_card(tmp_path)


def test_the_digest_tells_apart_what_differs() -> None:
    sequences = [
        [("a", "b"), ("c", None)],
        [("c", None), ("a", "b")],
        [("a", "b"), ("c", "None")],
        [("a", "b"), ("c", "")],
        [("a", "bc"), ("", None)],
        [("a", "b")],
        [],
    ]
    assert len({sequence_digest(s) for s in sequences}) == len(sequences)
    assert sequence_digest(iter(sequences[0])) == sequence_digest(sequences[0])


# --- the flow over splits and workers -------------------------------------------------------------


def build_squarer(fail_at: int | None = None) -> Callable[[int | None], Tokens]:
    def square(item: int | None) -> Tokens:
        if item is None:
            return row()
        if item == fail_at:
            raise ValueError(f"item {item} is bad")
        return row(item * item)

    return square


SQUARERS = partial(for_groups, build_squarer)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_item_stops_the_run_and_the_next_run_goes_on(workers: int, tmp_path: Path) -> None:
    folder = fitted(tmp_path, vocab_size=1000)
    jobs = {
        "train": SplitJob([1, 2, None], "t"),
        "valid": SplitJob([3, 4, 5], "v"),
        "test": SplitJob([6, None, None], "x"),
    }
    with pytest.raises(ValueError, match="item 4 is bad"):
        binarize_splits(folder, jobs, partial(for_groups, partial(build_squarer, 4)), workers)
    assert sorted(read_card(tmp_path)["splits"]) == ["train"]
    assert not list(tmp_path.glob(".*.part"))
    train = (tmp_path / "train.bin").stat().st_mtime_ns
    binarize_splits(reopened(tmp_path), jobs, SQUARERS, workers)
    assert (tmp_path / "train.bin").stat().st_mtime_ns == train
    counts = read_card(tmp_path)["splits"]
    assert list(counts) == ["train", "valid", "test"]
    assert [c["missing"] for c in counts.values()] == [1, 0, 2]
    dataset = open_tokens(tmp_path / "valid")
    assert [dataset[i].tolist() for i in range(3)] == [[9, 2], [16, 2], [25, 2]]


def test_a_split_that_the_corpus_lost_loses_its_tokens(tmp_path: Path) -> None:
    folder = fitted(tmp_path)
    binarize_splits(folder, {"a": SplitJob([1], "a"), "b": SplitJob([2], "b")}, SQUARERS, 1)
    binarize_splits(folder, {"a": SplitJob([1], "a")}, SQUARERS, 1)
    assert set(read_card(tmp_path)["splits"]) == {"a"}
    assert sorted(f.name for f in tmp_path.glob("*.bin")) == ["a.bin"]


def test_splits_are_those_of_the_corpus_and_only_fitting_needs_train(tmp_path: Path) -> None:
    corpus = Corpus(name="c")
    write_corpus(tmp_path, corpus, {"train": [Utterance("a")], "test2": [Utterance("b")]})
    assert list(read_splits(tmp_path)) == ["train", "test2"]
    write_corpus(tmp_path, corpus, {"train": [Utterance("a")], "valid": []})
    with raises("manifest-empty"):
        read_splits(tmp_path)
    write_corpus(tmp_path, corpus, {"test": [Utterance("b")]})
    splits = read_splits(tmp_path)
    assert list(splits) == ["test"]
    with raises("train-missing"):
        train_rows(tmp_path, splits, "use another tokenizer")
