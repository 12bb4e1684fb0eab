"""Binary files held to their records: damaged ones are refused by name, whole ones read once."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from codes import raises

from data_prep.commands.validate import validate
from data_prep.features.layouts import open_foreign
from data_prep.features.stored import (
    content_of,
    is_finished,
    open_features,
    write_split,
)
from data_prep.files import (
    digests,
)
from data_prep.files.digests import (
    record_of,
    verify,
)
from data_prep.manifest.digests import rows_digest, sequence_digest
from data_prep.schema import Corpus, Utterance, write_corpus
from data_prep.tokens.checking import check_tokens
from data_prep.tokens.folder import (
    TokenFolder,
    read_symbols,
)
from data_prep.tokens.speech_tokenizers import load_speech_tokenizer
from data_prep.tokens.token_files import check_token_files

Damage = Callable[[Path], object]
LENGTHS = (3, 0, 1, 4)
WIDTH = 5
ROWS = [Utterance(id=f"u{n}", audio=f"u{n}.wav", n_samples=400, text=f"t {n}") for n in range(4)]
SETTINGS = {"features": "noise", "dtype": "float32"}
EOS = 2


@pytest.fixture(autouse=True)
def _memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An own memory, and files that are old enough to be remembered."""
    monkeypatch.setenv("EMO_FAIRSEQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "_warned", set())


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that are hashed, in order."""
    names: list[str] = []
    digest = digests.file_digest
    monkeypatch.setattr(digests, "file_digest", lambda f: names.append(Path(f).name) or digest(f))
    monkeypatch.setattr(digests, "_MIN_AGE_SECONDS", -10.0)
    return names


# -- damages ---------------------------------------------------------------------------------------


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def zero(file: Path) -> None:
    file.write_bytes(b"\0" * file.stat().st_size)


def cut_a_byte(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def append_a_byte(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")


def shuffle(file: Path) -> None:
    content = np.frombuffer(file.read_bytes(), np.uint8)
    file.write_bytes(np.random.default_rng(0).permutation(content).tobytes())


DAMAGES: Sequence[Damage] = (flip_a_bit, halve, zero, cut_a_byte, append_a_byte, shuffle)


def name_of(damage: object) -> str | None:
    return getattr(damage, "__name__", None)


# -- the record ------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGES, ids=name_of)
def test_a_file_that_is_not_as_it_was_recorded_is_refused(tmp_path: Path, damage: Damage) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(bytes(range(200)))
    record = record_of(file)
    verify(file, record, "copy it again")
    damage(file)
    message = r"weights\.bin: damaged or exchanged: .* (was|were) written; copy it again"
    with pytest.raises(ValueError, match=message):
        verify(file, record, "copy it again")


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    message = r"none\.bin: cannot be read \(No such file or directory\); copy it again"
    with pytest.raises(ValueError, match=message):
        verify(tmp_path / "none.bin", {"size": 3, "sha256": ""}, "copy it again")


def test_the_memory_of_digests_is_read_once_and_again_when_another_process_writes_it(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []
    load = digests.load_json
    monkeypatch.setattr(
        digests, "load_json", lambda f, *a, **k: reads.append(f) or load(f, *a, **k)
    )
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(b"x")
        record_of(tmp_path / name)
    for name in ("a.bin", "b.bin"):
        verify(tmp_path / name, record_of(tmp_path / name), "")
    assert len(reads) == 2  # of what each of the two has written
    digests.user_memory().write_text("{}", encoding="utf-8")
    record_of(tmp_path / "a.bin")
    assert hashed == ["a.bin", "b.bin", "a.bin"]


def test_an_unchanged_file_is_hashed_once(tmp_path: Path, hashed: list[str]) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"content")
    record = record_of(file)
    for _ in range(3):
        verify(file, record, "")
    assert hashed == ["a.bin"]
    file.write_bytes(b"CONTENT")
    with raises("file-damaged"):
        verify(file, record, "")
    assert hashed == ["a.bin"] * 2


def test_another_file_of_the_same_times_and_size_is_read(tmp_path: Path, hashed: list[str]) -> None:
    """What was moved into the place of a file has another inode."""
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(name.encode())
        os.utime(tmp_path / name, ns=(10**18, 10**18))
    first = digests.digest_once(tmp_path / "a.bin")
    (tmp_path / "b.bin").replace(tmp_path / "a.bin")
    assert digests.digest_once(tmp_path / "a.bin") != first


@pytest.mark.parametrize("broken", ["{", "[1]", '{"x": 3}', "[" * 100_000])
def test_a_memory_that_is_broken_is_written_again(
    tmp_path: Path, hashed: list[str], broken: str
) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"content")
    digests.user_memory().parent.mkdir()
    digests.user_memory().write_text(broken)
    assert digests.digest_once(file) == digests.digest_once(file)
    assert hashed == ["a.bin"]


def test_where_nothing_can_be_remembered_files_are_read_again(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no folder").write_text("")
    monkeypatch.setenv("EMO_FAIRSEQ_CACHE", str(tmp_path / "no folder"))
    file = tmp_path / "a.bin"
    file.write_bytes(b"content")
    assert digests.digest_once(file) == digests.digest_once(file)
    assert hashed == ["a.bin"] * 2


def test_a_user_without_a_home_remembers_nothing(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("EMO_FAIRSEQ_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    file = tmp_path / "a.bin"
    file.write_bytes(b"content")
    assert digests.digest_once(file) == digests.digest_once(file)
    assert hashed == ["a.bin"] * 2


def test_the_memory_does_not_grow_for_ever(tmp_path: Path, hashed: list[str]) -> None:
    entries = {f"/gone/{n}": [1, 2, 3, 4, "x"] for n in range(digests._MAX_ENTRIES)}
    digests.user_memory().parent.mkdir()
    digests.user_memory().write_text(digests.json.dumps(entries))
    file = tmp_path / "a.bin"
    file.write_bytes(b"content")
    digests.digest_once(file)
    kept = digests.json.loads(digests.user_memory().read_text())
    assert len(kept) == digests._MAX_ENTRIES
    assert str(file) in kept


# -- features --------------------------------------------------------------------------------------


def frames() -> list[np.ndarray]:
    noise = np.random.default_rng(3)
    return [noise.normal(size=(length, WIDTH)).astype(np.float32) for length in LENGTHS]


def write_features(folder: Path) -> Path:
    write_split(folder, "train", ROWS, iter(frames()), SETTINGS, "digest")
    return folder


def as_float16(file: Path) -> None:
    np.save(file, np.load(file).astype(np.float16))


def swap_rows(file: Path) -> None:
    np.save(file, np.load(file)[::-1])


@pytest.mark.parametrize("damage", [*DAMAGES, as_float16, swap_rows, Path.unlink], ids=name_of)
def test_damaged_features_are_refused(tmp_path: Path, damage: Damage) -> None:
    damage(write_features(tmp_path / "x") / "train.npy")
    message = r"x/train\.npy: .*; run `python -m data_prep.extract_features` again, or delete"
    with pytest.raises(ValueError, match=message):
        open_features(tmp_path / "x", "train", ROWS)
    assert not is_finished(tmp_path / "x", "train", ROWS, SETTINGS, "digest")


@pytest.mark.parametrize("lengths", ["3\n1\n0\n4\n", "3\n0\n1\n4", "8\n0\n0\n0\n"])
def test_other_lengths_are_refused(tmp_path: Path, lengths: str) -> None:
    (write_features(tmp_path) / "train.lengths").write_text(lengths)
    with raises("file-damaged"):
        open_features(tmp_path, "train", ROWS)


def test_unchanged_features_are_opened_without_another_hash(
    tmp_path: Path, hashed: list[str]
) -> None:
    write_features(tmp_path)
    hashed.clear()
    for _ in range(2):
        assert open_features(tmp_path, "train", ROWS) is not None
    assert hashed == []


def test_features_of_an_older_version_open_with_a_warning_until_they_are_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    card_file = write_features(tmp_path) / "features.yaml"
    card = yaml.safe_load(card_file.read_text())
    recorded = card["splits"]["train"].pop("files")
    card_file.write_text(yaml.safe_dump(card))
    with caplog.at_level(logging.WARNING):
        assert open_features(tmp_path, "train", ROWS) is not None
    assert "train.npy: has no record of its size and SHA-256, not verified; run" in caplog.text
    assert is_finished(tmp_path, "train", ROWS, SETTINGS, "digest")
    assert yaml.safe_load(card_file.read_text())["splits"]["train"]["files"] == recorded


def test_unrecorded_features_with_nan_are_made_again(tmp_path: Path) -> None:
    card_file = write_features(tmp_path) / "features.yaml"
    card = yaml.safe_load(card_file.read_text())
    del card["splits"]["train"]["files"]
    card_file.write_text(yaml.safe_dump(card))
    array = np.load(tmp_path / "train.npy")
    array[4, 2] = np.nan
    np.save(tmp_path / "train.npy", array)
    assert not is_finished(tmp_path, "train", ROWS, SETTINGS, "digest")


# -- features of others ----------------------------------------------------------------------------


def stacked(folder: Path) -> None:
    np.save(folder / "train.npy", np.concatenate(frames()))
    (folder / "train.lengths").write_text("".join(f"{n}\n" for n in LENGTHS))


def vectors(folder: Path) -> None:
    np.save(folder / "train.npy", np.arange(20, dtype=np.float32).reshape(4, WIDTH))


def file_a_row(folder: Path) -> None:
    for row, values in zip(ROWS, frames(), strict=True):
        np.save(folder / f"{row.id}.npy", values)


@pytest.mark.parametrize("lay_out", [stacked, vectors, file_a_row], ids=name_of)
def test_the_content_of_foreign_features_is_told_apart(
    tmp_path: Path, lay_out: Callable[[Path], None]
) -> None:
    lay_out(tmp_path)
    before = content_of(tmp_path, "train", ROWS)
    assert before == content_of(tmp_path, "train", ROWS)
    assert content_of(tmp_path, "valid", ROWS[:0]) == ""
    changed = next(iter(sorted(tmp_path.glob("*.npy"))))
    array = np.load(changed)
    array.flat[0] = 7
    np.save(changed, array)
    assert content_of(tmp_path, "train", ROWS) != before


@pytest.mark.parametrize("damage", [*DAMAGES, Path.unlink], ids=name_of)
def test_damaged_packed_features_are_packed_again(tmp_path: Path, damage: Damage) -> None:
    file_a_row(tmp_path)
    open_foreign(tmp_path, "train", ROWS)
    packed = tmp_path / "packed" / "train.npy"
    whole = packed.read_bytes()
    damage(packed)
    stored = open_foreign(tmp_path, "train", ROWS)
    assert stored is not None
    assert packed.read_bytes() == whole


@pytest.mark.parametrize("name", ["x" * 304, "../secret", "a\0b"])
def test_an_id_that_names_no_file_is_refused(tmp_path: Path, name: str) -> None:
    file_a_row(tmp_path)
    rows = [*ROWS, Utterance(id=name, audio="x.wav", n_samples=400)]
    with pytest.raises(ValueError, match=r"the id .*; give the row a shorter id, or stack"):
        open_features(tmp_path, "train", rows)


# -- tokens ----------------------------------------------------------------------------------------

DICTIONARY = b"".join(b"word%d 1\n" % number for number in range(6))
IDS = [[4, 5, EOS], [EOS], [6, 7, 8, EOS], [9, EOS]]


def write_tokens_of(data: Path, kind: str) -> Path:
    folder = TokenFolder(data / kind, settings={"quantizer": "kmeans"})
    texts = sequence_digest((row.id, row.text) for row in ROWS)
    with folder.locked():
        folder.replace_tokenizer({"dict.txt": DICTIONARY}, vocab_size=10)
        rows = [np.array(ids) for ids in IDS]
        folder.write_split("train", texts, rows, 0, rows_digest(ROWS))
    return data / kind


HEADER = 9 + 8 + 1 + 8


def other_dtype(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[17] = 4 if content[17] != 4 else 3
    file.write_bytes(content)


def _pointers(change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    def damage(file: Path) -> None:
        content = file.read_bytes()
        start = HEADER + 4 * len(ROWS)
        pointers = np.frombuffer(content[start:], np.int64)
        file.write_bytes(content[:start] + change(pointers).tobytes())

    return damage


def negative_sizes(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[HEADER : HEADER + 4] = np.int32(-3).tobytes()
    file.write_bytes(content)


INDEX_DAMAGES: dict[str, Damage] = {
    **{str(name_of(damage)): damage for damage in DAMAGES},
    "other dtype": other_dtype,
    "negative pointers": _pointers(lambda pointers: -pointers - 2),
    "rolled pointers": _pointers(lambda pointers: np.roll(pointers, 1)),
    "swapped pointers": _pointers(lambda pointers: pointers[::-1]),
    "negative sizes": negative_sizes,
    "gone": Path.unlink,
}


@pytest.mark.parametrize("kind", ["text", "speech"])
@pytest.mark.parametrize("damage", INDEX_DAMAGES.values(), ids=INDEX_DAMAGES)
def test_a_damaged_index_is_refused(tmp_path: Path, kind: str, damage: Damage) -> None:
    folder = write_tokens_of(tmp_path, kind)
    assert check_tokens(folder, "train", ROWS).tolist() == [3, 1, 4, 2]
    damage(folder / "train.idx")
    with pytest.raises(ValueError, match=rf"train\.idx: .*data_prep.tokenize_{kind} "):
        check_tokens(folder, "train", ROWS)


@pytest.mark.parametrize("damage", [*DAMAGES, Path.unlink], ids=name_of)
def test_damaged_ids_are_refused_and_made_again(tmp_path: Path, damage: Damage) -> None:
    folder = write_tokens_of(tmp_path, "text")
    whole = (folder / "train.bin").read_bytes()
    damage(folder / "train.bin")
    with pytest.raises(ValueError, match=r"train\.bin: .*data_prep.tokenize_text "):
        check_tokens(folder, "train", ROWS)
    write_tokens_of(tmp_path, "text")
    assert (folder / "train.bin").read_bytes() == whole


@pytest.mark.parametrize("damage", INDEX_DAMAGES.values(), ids=INDEX_DAMAGES)
def test_an_index_without_a_record_is_held_to_its_ids(tmp_path: Path, damage: Damage) -> None:
    """Tokens of fairseq-preprocess have no card. A flipped bit in a pointer shows all the same."""
    folder = write_tokens_of(tmp_path, "text")
    damage(folder / "train.idx")
    with raises("tokens-damaged"):
        check_token_files(folder / "train", 10, "write it again")


@pytest.mark.parametrize("damage", [halve, cut_a_byte, append_a_byte, Path.unlink], ids=name_of)
def test_ids_without_a_record_are_held_to_their_index(tmp_path: Path, damage: Damage) -> None:
    folder = write_tokens_of(tmp_path, "text")
    damage(folder / "train.bin")
    with raises("tokens-damaged"):
        check_token_files(folder / "train", 10, "write it again")


def test_an_id_outside_of_the_vocabulary_is_named(tmp_path: Path) -> None:
    folder = write_tokens_of(tmp_path, "text")
    message = r"train\.bin: row 3 of the split: id 8 is outside the 8 symbols of the vocabulary"
    with pytest.raises(ValueError, match=message):
        check_token_files(folder / "train", 8, "write it again")


def test_unchanged_tokens_are_opened_without_another_hash(
    tmp_path: Path, hashed: list[str]
) -> None:
    folder = write_tokens_of(tmp_path, "text")
    check_tokens(folder, "train", ROWS)
    hashed.clear()
    check_tokens(folder, "train", ROWS)
    assert hashed == []


def test_tokens_of_an_older_version_open_with_a_warning_until_they_are_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    card_file = write_tokens_of(tmp_path, "text") / "tokenizer.yaml"
    card = yaml.safe_load(card_file.read_text())
    recorded = card["splits"]["train"].pop("files")
    card_file.write_text(yaml.safe_dump(card, sort_keys=False))
    with caplog.at_level(logging.WARNING):
        check_tokens(tmp_path / "text", "train", ROWS)
    assert "train.bin: has no record of its size and SHA-256, not verified; run" in caplog.text
    folder = TokenFolder(tmp_path / "text", {"quantizer": "kmeans"})
    with folder.locked():
        entry = card["splits"]["train"]
        assert folder.is_finished("train", entry["digest"], entry["manifest"])
    assert yaml.safe_load(card_file.read_text())["splits"]["train"]["files"] == recorded


@pytest.mark.parametrize("damage", [*DAMAGES, Path.unlink], ids=name_of)
def test_an_exchanged_file_of_the_tokenizer_is_refused(tmp_path: Path, damage: Damage) -> None:
    folder = write_tokens_of(tmp_path, "speech")
    damage(folder / "dict.txt")
    message = r"dict\.txt: .*; copy it again, or delete .*speech and tokenize, or export"
    with pytest.raises(ValueError, match=message):
        check_tokens(folder, "train", ROWS)
    with pytest.raises(ValueError, match=message):
        load_speech_tokenizer(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("happy 12\nsad", "row 2: is no fairseq dictionary: the last line has no end"),
        ("happy 12\nsad\n", "row 2: .*: 'sad' is not a symbol and its count"),
        ("happy 12\nsad x\n", "row 2: .*: 'sad x' is not a symbol and its count"),
        ("happy -1\n", "row 1: .*: 'happy -1' is not a symbol and its count"),
        (" 3\n", "row 1: .*: ' 3' is not a symbol and its count"),
        ("happy 12\n\n", "row 2: .*: '' is not a symbol and its count"),
        ("happy 12\nsad 3\nhappy 1\n", "row 3: .*: 'happy' is there twice"),
        ("<pad> 12\n", "row 1: .*: '<pad>' is there twice"),
    ],
)
def test_a_dictionary_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "dict.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"dict\.txt: {message}.*; copy it again, or tokenize"):
        read_symbols(tmp_path / "dict.txt")


def test_symbols_are_those_of_fairseq(tmp_path: Path) -> None:
    from fairseq.data import Dictionary

    text = "a 1\n1 0\na b 2\nc 3 #fairseq:overwrite\na 4 #fairseq:overwrite\n\u2028 5\n"
    (tmp_path / "dict.txt").write_text(text)
    assert (
        read_symbols(tmp_path / "dict.txt") == Dictionary.load(str(tmp_path / "dict.txt")).symbols
    )


def test_a_large_file_is_not_read_a_second_time(tmp_path: Path, hashed: list[str]) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(1 << 26))
    first = record_of(file)
    began = time.process_time()
    verify(file, first, "")
    assert time.process_time() - began < 0.01
    assert hashed == ["large.bin"]


# -- validate --------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data dir without audio, with features of each layout, and tokens."""
    data_dir = tmp_path / "data"
    rows = [replace(row, audio=None, n_samples=None) for row in ROWS]
    write_corpus(data_dir, Corpus("small"), {"train": rows})
    for lay_out in (stacked, vectors, file_a_row):
        folder = data_dir / "features" / lay_out.__name__
        folder.mkdir(parents=True)
        lay_out(folder)
    write_split(data_dir / "features" / "own", "train", rows, iter(frames()), SETTINGS, "digest")
    write_tokens_of(data_dir, "text")
    return data_dir


def _to_inf(file: Path) -> None:
    array = np.load(file)
    array[-1, 1] = np.inf
    np.save(file, array)


DATA_DAMAGES: dict[str, tuple[str, Damage, str]] = {
    "own features": ("features/own/train.npy", flip_a_bit, "damaged or exchanged: SHA-256"),
    "own lengths": ("features/own/train.lengths", halve, "damaged or exchanged: 4 bytes"),
    "inf": ("features/stacked/train.npy", _to_inf, "the frames of u3 are NaN or infinite"),
    "inf in a vector": ("features/vectors/train.npy", _to_inf, "the frames of u3 are NaN or inf"),
    "inf in a file": ("features/file_a_row/u3.npy", _to_inf, "the frames of u3 are NaN or infin"),
    "half a file": ("features/file_a_row/u3.npy", halve, "cannot be read as an array"),
    "lengths": ("features/stacked/train.lengths", halve, "lengths add up to"),
    "vectors": ("features/vectors/train.npy", halve, "cannot be read as an array"),
    "card": ("features/own/features.yaml", halve, "features.yaml"),
    "ids": ("text/train.bin", flip_a_bit, "damaged or exchanged: SHA-256"),
    "index": ("text/train.idx", cut_a_byte, "damaged or exchanged: "),
    "half of the tokens": ("text/train.bin", Path.unlink, "not there"),
    "vocabulary": ("text/dict.txt", halve, "damaged or exchanged: "),
}


@pytest.mark.parametrize(("name", "damage", "message"), DATA_DAMAGES.values(), ids=DATA_DAMAGES)
def test_validate_reads_features_and_tokens(
    data: Path, name: str, damage: Damage, message: str
) -> None:
    assert validate(data) == []
    before = set(data.rglob("*"))
    damage(data / name)
    (fault,) = validate(data)
    assert str(data / name) in str(fault)
    assert message in str(fault)
    assert set(data.rglob("*")) <= before  # it writes nothing
