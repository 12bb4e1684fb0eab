"""MMSA's pickles of features: read without running them, without padding, row for row."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from codes import raises

from data_prep.commands.mmsa_features import (
    main,
    unpack_features,
)
from data_prep.commands.validate import validate
from data_prep.features.mmsa_pickles import load_pickle
from data_prep.features.stored import open_features, read_card
from data_prep.schema import Corpus, Utterance, read_manifest, write_corpus

SPLITS = {"train": ["a", "b", "c", "d"], "valid": ["e"], "test": ["f", "g"]}
T, WIDTHS = 6, {"audio": 3, "vision": 2}
LENGTHS = {"a": 6, "b": 2, "c": 4, "d": 3, "e": 5, "f": 1, "g": 6}

Pickle = dict[str, dict[str, Any]]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Rows `a_1`, `b_1`, ..., of the pickles' `a$_$1`, `b$_$1`, ..."""
    rows = {
        split: [
            Utterance(f"{video}_1", text="Hi", dialogue=video, turn=1, sentiment_score=0.5)
            for video in videos
        ]
        for split, videos in SPLITS.items()
    }
    write_corpus(tmp_path / "data", Corpus("cmu_mosi"), rows)
    return tmp_path / "data"


def frames_of(video: str, modality: str) -> np.ndarray:
    noise = np.random.default_rng(ord(video) + len(modality))
    return noise.normal(size=(LENGTHS[video], WIDTHS[modality])).astype(np.float32)


def mmsa(*, aligned: bool = False, in_front: bool = False) -> Pickle:
    """What MMSA's pickles hold, in small."""
    data: Pickle = {}
    for split, videos in SPLITS.items():
        found: dict[str, Any] = {
            "raw_text": np.array(["Hi"] * len(videos)),
            "id": [f"{video}$_$1" for video in videos],
            "text": np.zeros((len(videos), T, 4), np.float32),
            "text_bert": np.zeros((len(videos), 3, T), np.float32),
            "annotations": ["Positive"] * len(videos),
            "classification_labels": np.full(len(videos), 2.0),
            "regression_labels": np.full(len(videos), 0.5, np.float32),
        }
        for modality, width in WIDTHS.items():
            padded = np.zeros((len(videos), T, width), np.float32)
            for row, video in enumerate(videos):
                frames = frames_of(video, modality)
                padded[row, T - len(frames) if in_front else 0 :][: len(frames)] = frames
            found[modality] = padded
            if not aligned:
                found[f"{modality}_lengths"] = [LENGTHS[video] for video in videos]
        data[split] = found
    return data


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def write(data: Any, name: str = "unaligned_50.pkl", protocol: int = 4) -> Path:
        (tmp_path / name).write_bytes(pickle.dumps(data, protocol=protocol))
        return tmp_path / name

    return write


def read_row(data_dir: Path, name: str, split: str, number: int) -> np.ndarray:
    rows = read_manifest(data_dir / f"{split}.tsv")
    stored = open_features(data_dir / "features" / name, split, rows)
    assert stored is not None
    return np.asarray(stored[number])


def assert_unpacked(data_dir: Path, stem: str) -> None:
    for modality in WIDTHS:
        for split, videos in SPLITS.items():
            for number, video in enumerate(videos):
                found = read_row(data_dir, f"{stem}-{modality}", split, number)
                np.testing.assert_array_equal(found, frames_of(video, modality))


# -- what comes out --------------------------------------------------------------------------------


@pytest.mark.parametrize("in_front", [False, True])
@pytest.mark.parametrize("aligned", [False, True])
def test_padding_is_cut_off(
    data_dir: Path, save: Callable[..., Path], aligned: bool, in_front: bool
) -> None:
    file = save(mmsa(aligned=aligned, in_front=in_front))
    assert main([str(data_dir), str(file)]) == 0
    assert_unpacked(data_dir, "unaligned_50")
    card = read_card(data_dir / "features" / "unaligned_50-audio")
    by = "the frames of zeros" if aligned else "the pickle's lengths"
    side = "before" if in_front else "behind"
    assert card["about"]["padding"] == f"{side} the frames, cut off by {by}"
    assert card["about"]["pickle"] == "unaligned_50.pkl"
    assert card["settings"]["lengths"] == ("content" if aligned else "given")
    assert validate(data_dir) == []


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_read(data_dir: Path, save: Callable[..., Path], protocol: int) -> None:
    data = mmsa()
    data["train"]["audio"] = np.asfortranarray(data["train"]["audio"]).astype(np.float64)
    data["train"]["id"] = np.array(data["train"]["id"])
    data["train"]["annotations"] = np.array(["Positive", None, "x", "y"], dtype=object)
    data["train"]["audio_lengths"] = [np.int64(n) for n in data["train"]["audio_lengths"]]
    data["test"]["note"] = (b"", b"\xff", np.str_("x"), np.float32(1))
    unpack_features(data_dir, save(data, protocol=protocol))
    assert_unpacked(data_dir, "unaligned_50")


def test_an_older_numpy_is_read(data_dir: Path, save: Callable[..., Path], tmp_path: Path) -> None:
    """Its pickles say numpy.core where those of numpy 2 say numpy._core."""
    raw = save(mmsa(), protocol=2).read_bytes()
    new, old = b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"
    if new not in raw:
        new, old = old, new
    (tmp_path / "other.pkl").write_bytes(raw.replace(new, old))
    assert old in (tmp_path / "other.pkl").read_bytes()
    unpack_features(data_dir, tmp_path / "other.pkl")
    assert_unpacked(data_dir, "other")


def test_rows_stand_in_the_manifest_s_order_and_others_are_counted(
    data_dir: Path, save: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data = mmsa()
    for key, values in data["train"].items():  # d, c, b: turned round, and without a
        data["train"][key] = values[:0:-1]
    data["test"]["audio"][1] = 0.0
    assert main([str(data_dir), str(save(data)), "--modality", "audio", "--name", "mosi"]) == 0
    out = capsys.readouterr().out
    assert "mosi-audio, train: 3 of 4 rows have features, 1 not in the pickle\n" in out
    assert "mosi-audio, valid: 1 of 1 rows have features\n" in out
    assert "mosi-audio, test: 1 of 2 rows have features, 1 of zeros alone\n" in out
    assert read_row(data_dir, "mosi-audio", "train", 0).shape == (0, 3)
    np.testing.assert_array_equal(
        read_row(data_dir, "mosi-audio", "train", 1), frames_of("b", "audio")
    )
    assert read_row(data_dir, "mosi-audio", "test", 1).shape == (0, 3)
    counts = read_card(data_dir / "features" / "mosi-audio")["about"]["rows"]
    assert (counts["train"]["missing"], counts["test"]["empty"]) == (1, 1)
    assert not (data_dir / "features" / "mosi-vision").exists()


def test_lengths_that_end_at_a_gap_are_said_and_can_be_left_aside(
    data_dir: Path, save: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """MMSA counts up to the first frame of zeros; of a row of zeros alone it says 1."""
    data = mmsa()
    data["train"]["vision"][0, 2] = 0.0  # of 6
    data["train"]["vision_lengths"][0] = 2
    data["train"]["vision"][1] = 0.0
    data["train"]["vision_lengths"][1] = 1
    file = save(data)
    found = unpack_features(data_dir, file)["unaligned_50-vision"]["train"]
    assert (found.beyond, found.empty) == (1, 1)
    assert "1 with frames beyond their length, which are lost" in caplog.text
    assert [len(read_row(data_dir, "unaligned_50-vision", "train", n)) for n in range(4)] == [
        2,
        0,
        4,
        3,
    ]
    unpack_features(data_dir, file, lengths="content", name="whole")
    assert [len(read_row(data_dir, "whole-vision", "train", n)) for n in range(4)] == [6, 0, 4, 3]


@pytest.mark.parametrize("length", [-6, 7, 900, 2.5, float("nan"), 2**62])
def test_lengths_that_are_none_are_refused_unless_left_aside(
    data_dir: Path, save: Callable[..., Path], length: float
) -> None:
    data = mmsa()
    data["train"]["audio_lengths"][1] = length
    file = save(data)
    message = r"train: b\$_\$1: its length is .*, where the pickle has 6 frames a row; fetch the"
    with pytest.raises(ValueError, match=message):
        unpack_features(data_dir, file)
    unpack_features(data_dir, file, lengths="content", name="whole")
    assert len(read_row(data_dir, "whole-audio", "train", 1)) == 2


def test_whole_lengths_may_be_stored_as_floating(data_dir: Path, save: Callable[..., Path]) -> None:
    data = mmsa()
    data["train"]["audio_lengths"] = np.array(data["train"]["audio_lengths"], np.float64)
    unpack_features(data_dir, save(data))
    assert_unpacked(data_dir, "unaligned_50")


def test_frames_without_numbers_are_refused(data_dir: Path, save: Callable[..., Path]) -> None:
    data = mmsa()
    data["valid"]["audio"] = data["valid"]["audio"][..., :0]
    with raises("array-shape"):
        unpack_features(data_dir, save(data))


def test_an_id_with_two_kinds_of_frames_is_refused(
    data_dir: Path, save: Callable[..., Path]
) -> None:
    data = mmsa()
    data["test"]["id"][1] = "a$_$1"
    message = r"test: a\$_\$1 is there twice, in row 1 of train and in row 2 of test, with other"
    with pytest.raises(ValueError, match=message):
        unpack_features(data_dir, save(data))


def test_two_names_of_one_id_are_refused(data_dir: Path, save: Callable[..., Path]) -> None:
    data = mmsa()
    data["test"]["id"] = ["a$_$1_2", "a_1$_$2"]
    for key in ("audio", "vision"):
        data["test"][key][1] = data["test"][key][0]
        data["test"][f"{key}_lengths"][1] = data["test"][f"{key}_lengths"][0]
    with raises("id-ambiguous") as error:
        unpack_features(data_dir, save(data))
    assert "a_1$_$2 in row 2, and a$_$1_2 in row 1 of test, are both the utterance a_1_2" in str(
        error.value
    )


def test_of_two_rows_that_are_the_same_one_is_taken(
    data_dir: Path, save: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    data = mmsa()
    train = data["train"]
    for key, values in train.items():
        train[key] = np.concatenate([values, values[:1]])
    found = unpack_features(data_dir, save(data))
    assert found["unaligned_50-audio"]["train"].missing == 0
    assert "1 rows of the pickle repeat another one, id and frames" in caplog.text


@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_another_score_than_the_manifest_s_is_said(
    data_dir: Path, save: Callable[..., Path], caplog: pytest.LogCaptureFixture, value: float
) -> None:
    data = mmsa()
    data["train"]["regression_labels"][2] = value
    found = unpack_features(data_dir, save(data))
    assert found["unaligned_50-audio"]["train"].other_score == 1
    assert "1 with another score than the manifest" in caplog.text


def test_twice_the_same_bytes_and_a_new_pickle_is_taken(
    data_dir: Path, save: Callable[..., Path]
) -> None:
    def contents() -> dict[str, bytes]:
        files = (data_dir / "features").glob("*/*.*")
        return {f"{file.parent.name}/{file.name}": file.read_bytes() for file in files}

    file = save(mmsa())
    unpack_features(data_dir, file)
    first = contents()
    assert len([name for name in first if name.endswith(".npy")]) == 6
    array = data_dir / "features" / "unaligned_50-audio" / "train.npy"
    written = array.stat().st_mtime_ns
    unpack_features(data_dir, file)
    assert (contents(), array.stat().st_mtime_ns) == (first, written)
    data = mmsa()
    data["train"]["audio"][0, 0] += 1.0
    unpack_features(data_dir, save(data))
    changed = read_row(data_dir, "unaligned_50-audio", "train", 0)
    np.testing.assert_array_equal(changed[0], frames_of("a", "audio")[0] + 1.0)


# -- numbers that are none -------------------------------------------------------------------------


@pytest.fixture
def with_infinities() -> Pickle:
    data = mmsa()
    data["train"]["audio"][0, 1, :2] = -np.inf
    data["train"]["audio"][2, 0, 0] = np.nan
    data["train"]["audio"][2, 0, 1] = np.inf
    data["train"]["audio"][1, 5] = -np.inf  # beyond its length
    return data


def test_they_are_counted_and_refused(
    data_dir: Path,
    save: Callable[..., Path],
    with_infinities: Pickle,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([str(data_dir), str(save(with_infinities))]) == 1
    message = "train: audio of 2 rows holds numbers that are none (1 NaN, 1 +inf, 2 -inf)"
    err = capsys.readouterr().err
    assert message in err
    assert "--nonfinite zero" in err
    assert not (data_dir / "features" / "unaligned_50-audio").exists()


def test_they_become_zeros_when_asked_for_and_that_is_said(
    data_dir: Path,
    save: Callable[..., Path],
    with_infinities: Pickle,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([str(data_dir), str(save(with_infinities)), "--nonfinite", "zero"]) == 0
    said = "2 with numbers that are none (1 NaN, 1 +inf, 2 -inf), written as 0"
    assert said in capsys.readouterr().out
    expected = frames_of("a", "audio")
    expected[1, :2] = 0.0
    np.testing.assert_array_equal(read_row(data_dir, "unaligned_50-audio", "train", 0), expected)
    assert len(read_row(data_dir, "unaligned_50-audio", "train", 1)) == LENGTHS["b"]
    card = read_card(data_dir / "features" / "unaligned_50-audio")
    assert card["settings"]["nonfinite"] == "zero"
    assert card["about"]["rows"]["train"]["minus_inf"] == 2


# -- pickles that are more than numbers ------------------------------------------------------------


class Harm:
    """A pickle of this makes the file when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.file),)


def test_a_pickle_that_runs_something_is_refused_before_it_does(
    data_dir: Path, save: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = mmsa()
    data["test"]["annotations"] = [Harm(tmp_path / "harm")]
    file = save(data)
    assert main([str(data_dir), str(file)]) == 1
    err = capsys.readouterr().err
    assert f"{file}: names {os.mkdir.__module__}.mkdir, which is neither a number" in err
    assert "Get a file without it from its source" in err
    assert not (tmp_path / "harm").exists()
    assert not (data_dir / "features").exists()
    pickle.loads(file.read_bytes())  # it would have
    assert (tmp_path / "harm").is_dir()


@pytest.mark.parametrize(
    "name",
    [
        b"builtins\neval",
        b"os\nsystem",
        b"posix\nsystem",
        b"subprocess\nPopen",
        b"numpy\nload",
        b"numpy\nfromfile",
        b"numpy.core.multiarray\nfromfile",
        b"torch._utils\n_rebuild_tensor_v2",
        b"copyreg\n_reconstructor",
        b"numpy\nndarray.__reduce__",
        b"builtins\ngetattr",
        b"importlib\nimport_module",
    ],
)
@pytest.mark.parametrize("protocol", [0, 4])
def test_no_other_name_is_let_in(tmp_path: Path, name: bytes, protocol: int) -> None:
    module, _, attribute = name.partition(b"\n")
    named = b"c" + name + b"\n"
    if protocol == 4:  # STACK_GLOBAL, which takes dotted names apart
        texts = (b"\x8c" + bytes([len(text)]) + text for text in (module, attribute))
        named = b"\x80\x04" + b"".join(texts) + b"\x93"
    (tmp_path / "a.pkl").write_bytes(named + b".")
    expected = f"names {module.decode()}.{attribute.decode()}, which is neither"
    with pytest.raises(ValueError, match=expected.replace(".", r"\.")):
        load_pickle(tmp_path / "a.pkl")


def test_bytes_come_in_no_other_codec(tmp_path: Path) -> None:
    """`_codecs.encode` itself would also unpack archives, or run codecs that others registered."""
    (tmp_path / "a.pkl").write_bytes(b"c_codecs\nencode\n(Vx\nVrot13\ntR.")
    with raises("pickle-unreadable"):
        load_pickle(tmp_path / "a.pkl")


# -- other files -----------------------------------------------------------------------------------


def without(data: Pickle, *keys: str) -> Pickle:
    return {s: {k: v for k, v in found.items() if k not in keys} for s, found in data.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: [1, 2], "holds list, not a dict of splits"),
        (lambda data: without(data, "audio"), "train: no audio; it has raw_text, id"),
        (lambda data: without(data, "id"), "train: no id; it has"),
        (lambda data: {"train": 3}, "train: no id and no audio; it is no dict"),
        (
            lambda data: data | {"valid": data["valid"] | {"audio": np.zeros((1, T))}},
            "valid: audio: holds float64 (1, 6), not numbers (N, T, C) for 1 ids",
        ),
        (
            lambda data: data | {"valid": data["valid"] | {"audio": np.array([[["x"]]])}},
            "valid: audio: holds <U1 (1, 1, 1), not numbers",
        ),
        (
            lambda data: data | {"test": data["test"] | {"vision_lengths": [1]}},
            "test: vision_lengths: holds int64 (1,), not numbers (N,) for 2 ids",
        ),
    ],
)
def test_another_layout_is_named(
    data_dir: Path,
    save: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Pickle], Any],
    message: str,
) -> None:
    file = save(change(mmsa()))
    assert main([str(data_dir), str(file)]) == 1
    assert f"error: {file}: {message}" in capsys.readouterr().err


def test_a_file_that_is_cut_short_or_absent_is_named(
    data_dir: Path, save: Callable[..., Path], cut: Callable[[Path], Path], tmp_path: Path
) -> None:
    with raises("pickle-unreadable"):
        unpack_features(data_dir, cut(save(mmsa())))
    with raises("file-unreadable"):
        unpack_features(data_dir, tmp_path / "none.pkl")


def test_lengths_that_are_not_there_are_not_obeyed(
    data_dir: Path, save: Callable[..., Path]
) -> None:
    with raises("lengths-missing"):
        unpack_features(data_dir, save(mmsa(aligned=True)), lengths="given")


def test_the_pickle_of_another_corpus_is_refused(data_dir: Path, save: Callable[..., Path]) -> None:
    data = mmsa()
    for found in data.values():
        found["id"] = [f"x{name}" for name in found["id"]]
    with raises("features-mismatch"):
        unpack_features(data_dir, save(data))


def test_the_card_is_plain_yaml(data_dir: Path, save: Callable[..., Path]) -> None:
    unpack_features(data_dir, save(mmsa()))
    text = (data_dir / "features" / "unaligned_50-audio" / "features.yaml").read_text()
    assert yaml.safe_load(text)["settings"] == {
        "features": "mmsa audio",
        "lengths": "given",
        "nonfinite": "refuse",
        "dtype": "float32",
    }
