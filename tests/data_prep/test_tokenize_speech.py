"""Speech tokens: nearest centroids of frames, fitted on train alone, the same bytes every time."""

import dataclasses
import inspect
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from codes import raises
from token_folders import tokens_of

from data_prep.audio.frames import log_mel, mfcc, num_frames
from data_prep.audio.loading import load_audio
from data_prep.commands.tokenize_speech import QUANTIZERS, main
from data_prep.corpora.toy import prepare_toy
from data_prep.errors import ManifestError
from data_prep.schema import (
    Corpus,
    Utterance,
    read_manifest,
    write_corpus,
)
from data_prep.tokens.folder import EOS, SpecialIds, load_dictionary, read_card
from data_prep.tokens.kmeans_corpus import sample_frames, tokenize_with_kmeans
from data_prep.tokens.kmeans_tokenizer import KMeansTokenizer
from data_prep.tokens.speech_tokenizers import load_speech_tokenizer

FIRST_CODE = 4
SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy corpus without tokens; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("toy")
    prepare_toy(folder, seed=3, n_train=24, n_valid=8, n_test=8, speakers=(4, 2, 2))
    return folder


@pytest.fixture
def data_dir(toy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy, tmp_path / "data"))


def tokenize(data_dir: Path, **options: Any) -> Path:
    return tokenize_with_kmeans(data_dir, **{"n_clusters": 8, **options}).folder


def stored(folder: Path, split: str) -> list[list[int]]:
    from fairseq.data.indexed_dataset import MMapIndexedDataset  # worker processes need it not

    dataset = MMapIndexedDataset(str(folder / split))
    return [dataset[i].tolist() for i in range(len(dataset))]


def rows_of(data_dir: Path) -> dict[str, list[Utterance]]:
    return {split: read_manifest(data_dir / f"{split}.tsv") for split in SPLITS}


def rewrite(data_dir: Path, rows: Mapping[str, Sequence[Utterance]]) -> None:
    write_corpus(data_dir, Corpus(name="toy"), rows)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name != ".lock"}


def add_noise(path: Path) -> None:
    waveform = load_audio(path)
    waveform += np.random.default_rng(0).normal(0, 0.3, len(waveform)).astype(np.float32)
    soundfile.write(path, np.clip(waveform, -1, 1), 16_000, subtype="PCM_16")


@pytest.mark.parametrize(("features", "extract"), [("mfcc", mfcc), ("logmel", log_mel)])
def test_tokens_are_the_nearest_centroids(features: str, extract: Any, data_dir: Path) -> None:
    folder = tokenize(data_dir, features=features)
    saved = np.load(folder / "kmeans.npz", allow_pickle=False)
    for split, rows in rows_of(data_dir).items():
        for row, tokens in zip(rows, stored(folder, split), strict=True):
            frames = extract(load_audio(data_dir / str(row.audio)))
            points = (frames - saved["mean"]) / saved["std"]
            squares = ((points[:, None, :] - saved["centroids"][None]) ** 2).sum(axis=2)
            codes = squares.argmin(axis=1)
            assert tokens == [*(codes + FIRST_CODE), EOS]
            assert len(tokens) == num_frames(row.n_samples or 0) + 1
    assert json.loads(str(saved["settings"])) == read_card(folder)["settings"]
    assert len(np.unique(np.concatenate(stored(folder, "train")))) == 8 + 1, "a code is never used"


def test_statistics_and_dictionary_are_of_train(data_dir: Path) -> None:
    folder = tokenize(data_dir)
    saved = np.load(folder / "kmeans.npz", allow_pickle=False)
    train = rows_of(data_dir)["train"]
    frames = np.concatenate([mfcc(load_audio(data_dir / str(row.audio))) for row in train])
    np.testing.assert_allclose(
        saved["mean"], frames.mean(axis=0, dtype=float), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(saved["std"], frames.std(axis=0, dtype=float), rtol=1e-4)
    dictionary = load_dictionary(folder / "dict.txt")
    assert dictionary.symbols == ["<s>", "<pad>", "</s>", "<unk>", *map(str, range(8))]
    counts = np.bincount(np.concatenate(stored(folder, "train")))
    assert dictionary.count[FIRST_CODE:] == counts[FIRST_CODE:].tolist()
    # Centroids are means of what they stand for: k-means converged on these frames.
    points = (frames - saved["mean"]) / saved["std"]
    codes = np.concatenate([row[:-1] for row in stored(folder, "train")]) - FIRST_CODE
    means = np.stack([points[codes == code].mean(axis=0) for code in range(8)])
    assert np.abs(means - saved["centroids"]).max() < 0.25


def test_other_splits_change_nothing_in_the_quantizer(data_dir: Path) -> None:
    folder = tokenize(data_dir)
    before = snapshot(folder)
    for row in rows_of(data_dir)["test"]:
        add_noise(data_dir / str(row.audio))  # same ids, same lengths, another sound
    tokenize(data_dir)
    after = snapshot(folder)
    for name in ("kmeans.npz", "dict.txt", "train.bin", "valid.bin"):
        assert after[name] == before[name], name
    assert after["test.bin"] != before["test.bin"]
    assert len(after["test.bin"]) == len(before["test.bin"])


def test_train_audio_changes_it(data_dir: Path) -> None:
    before = snapshot(tokenize(data_dir))
    add_noise(data_dir / str(rows_of(data_dir)["train"][0].audio))
    after = snapshot(tokenize(data_dir))
    assert after["kmeans.npz"] != before["kmeans.npz"]


def test_one_worker_and_two_write_the_same_bytes(toy: Path, tmp_path: Path) -> None:
    one, two = (Path(shutil.copytree(toy, tmp_path / name)) for name in ("one", "two"))
    options = {"max_train_frames": 1000}
    first = snapshot(tokenize(one, workers=1, **options))
    assert snapshot(tokenize(two, workers=2, **options)) == first
    other_seed = snapshot(tokenize(two, seed=2, name="seed2", **options))
    assert other_seed["kmeans.npz"] != first["kmeans.npz"]


def test_a_rerun_skips(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    folder = tokenize(data_dir)
    before = {name: (folder / name).stat().st_mtime_ns for name in snapshot(folder)}
    caplog.clear()
    tokenize(data_dir)
    assert caplog.text.count("is up to date, skipped") == 3
    assert {name: (folder / name).stat().st_mtime_ns for name in snapshot(folder)} == before
    caplog.clear()
    assert tokenize(data_dir, n_clusters=9) != folder
    assert "skipped" not in caplog.text
    assert {name: (folder / name).stat().st_mtime_ns for name in snapshot(folder)} == before


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_file_is_named_and_the_rerun_completes(
    workers: int, toy: Path, tmp_path: Path
) -> None:
    data_dir = Path(shutil.copytree(toy, tmp_path / "broken"))
    whole = Path(shutil.copytree(toy, tmp_path / "whole"))
    bad = rows_of(data_dir)["valid"][5]
    path = data_dir / str(bad.audio)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=f"utterance '{bad.id}': {path}: ") as caught:
        tokenize(data_dir, workers=workers)
    assert ";" in str(caught.value), "no remedy"
    left = snapshot(tokens_of(data_dir, "speech"))
    assert sorted(left) == ["dict.txt", "kmeans.npz", "tokenizer.yaml", "train.bin", "train.idx"]
    assert set(read_card(tokens_of(data_dir, "speech"))["splits"]) == {"train"}
    path.write_bytes(content)
    assert snapshot(tokenize(data_dir)) == snapshot(tokenize(whole))


def test_rows_without_sound_are_eos_alone(data_dir: Path) -> None:
    rows = rows_of(data_dir)
    missing = dataclasses.replace(rows["test"][0], audio=None, n_samples=None)
    rewrite(data_dir, {**rows, "test": [missing, *rows["test"][1:]]})
    folder = tokenize(data_dir)
    test = stored(folder, "test")
    assert test[0] == [EOS]
    assert all(len(row) > 10 for row in test[1:])
    assert read_card(folder)["splits"]["test"]["missing"] == 1


def test_a_row_too_short_for_a_frame_is_refused(data_dir: Path) -> None:
    rows = rows_of(data_dir)
    soundfile.write(data_dir / "short.wav", np.full(399, 0.1), 16_000)
    short = dataclasses.replace(rows["test"][1], audio="short.wav", n_samples=399)
    rewrite(data_dir, {**rows, "test": [short, *rows["test"][2:]]})
    with pytest.raises(ValueError, match=rf"{short.id}.*short\.wav: 24\.9 ms of sound are less"):
        tokenize(data_dir)


def test_deduplicate_merges_runs(data_dir: Path) -> None:
    plain = stored(tokenize(data_dir), "valid")
    merged = stored(tokenize(data_dir, deduplicate=True), "valid")
    for row, short in zip(plain, merged, strict=True):
        assert short == [t for i, t in enumerate(row) if i == 0 or t != row[i - 1]]
    assert sum(map(len, merged)) < sum(map(len, plain))


def test_a_loaded_tokenizer_does_the_same_on_a_waveform(data_dir: Path) -> None:
    folder = tokenize(data_dir)
    tokenizer = load_speech_tokenizer(folder)
    row = rows_of(data_dir)["test"][3]
    tokens = tokenizer.encode(load_audio(data_dir / str(row.audio)))
    assert tokens.tolist() == stored(folder, "test")[3]
    assert tokens.dtype == np.int64
    assert tokenizer.sample_rate == 16_000
    assert tokenizer.specials == SpecialIds()


@pytest.mark.parametrize("most", [500, 10**9])
def test_fitting_takes_no_more_frames_than_it_may(most: int, data_dir: Path) -> None:
    settings = {"features": "mfcc", "sample_rate": 16_000, "seed": 1, "max_train_frames": most}
    train = rows_of(data_dir)["train"]
    frames, mean, std = sample_frames(data_dir, train, settings, workers=1)
    total = sum(num_frames(row.n_samples or 0) for row in train)
    assert len(frames) == min(most, total)
    # Frames of every utterance, none of them twice; statistics of all frames, sampled or not.
    assert len(np.unique(frames, axis=0)) == len(frames)
    everything = np.concatenate([mfcc(load_audio(data_dir / str(row.audio))) for row in train])
    np.testing.assert_allclose(mean, everything.mean(axis=0, dtype=float), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(std, everything.std(axis=0, dtype=float), rtol=1e-4)


def test_audio_may_lie_elsewhere(data_dir: Path, tmp_path: Path) -> None:
    first = snapshot(tokenize(data_dir))
    shutil.move(data_dir / "audio", tmp_path / "raw" / "audio")
    assert main([str(data_dir), "--n-clusters", "8", "--data-raw", str(tmp_path / "raw")]) == 0
    assert snapshot(tokens_of(data_dir, "speech")) == first


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--n-clusters", "100000"], "too few for 100000 clusters"),
        (["--data-raw", "nowhere"], "utterance 'train_000_0': .*cannot be read"),
    ],
)
def test_bad_input_is_one_sentence_and_status_1(
    arguments: list[str], what: str, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(data_dir), "--workers", "1", *arguments]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert re.search(what, error)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--checkpoint", "vq.pt"], "--quantizer kmeans takes no --checkpoint"),
        (["--dict", "d", "--max-seconds", "9"], "kmeans takes no --dict, --max-seconds"),
        (["--quantizer", "vq-wav2vec"], "--quantizer vq-wav2vec needs --checkpoint"),
        (
            ["--quantizer", "vq-wav2vec", "--checkpoint", "vq.pt", "--deduplicate"],
            "vq-wav2vec takes no --deduplicate",
        ),
        (["--quantizer", "vq-wav2vec", "--max-seconds", "0"], "0 is not above 0"),
    ],
)
def test_options_of_another_quantizer_are_refused(
    arguments: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["data", *arguments])
    assert stopped.value.code == 2
    assert what in capsys.readouterr().err


def test_defaults_of_the_help_are_those_of_the_function(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    parameters = inspect.signature(tokenize_with_kmeans).parameters
    for flag, name in QUANTIZERS["kmeans"].parameters.items():
        if name not in ("workers", "deduplicate"):
            help_of_flag = said.rpartition(f" {flag} ")[2].partition(" --")[0]
            assert f"default: {parameters[name].default}" in help_of_flag, flag


def test_a_corpus_without_sound_is_refused(tmp_path: Path) -> None:
    write_corpus(tmp_path, Corpus(name="texts"), {"train": [Utterance("a", text="b")]})
    with raises("audio-too-short"):
        tokenize_with_kmeans(tmp_path)


def test_a_folder_of_another_kind_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.yaml").write_text("settings: {bpe: gpt2}\nfiles: {}\nsplits: {}")
    with raises("tokenizer-missing"):
        load_speech_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("part", "value", "what"),
    [
        ("settings", np.array("[" * 100_000), "settings: line 1: is nested deeper"),
        ("settings", np.array('{"sample_rate": 0}'), "sample_rate is 0 where a number above 0"),
        ("settings", np.array('{"features": "mel"}'), "features is 'mel' where 'mfcc' or 'logmel'"),
        ("std", np.zeros(39, np.float32), "std holds a number that is not above 0"),
        ("mean", np.full(39, np.nan, np.float32), "are not finite numbers"),
        ("mean", np.zeros(3, np.float32), "centroids, mean and std are of shapes"),
        ("centroids", None, "cannot be read as the k-means"),
    ],
)
def test_centroids_that_are_damaged_are_named(
    toy_corpus: Path, tmp_path: Path, part: str, value: Any, what: str
) -> None:
    with np.load(tokens_of(toy_corpus, "speech") / "kmeans.npz") as saved:
        arrays = dict(saved)
    arrays["mean"], arrays["std"] = np.zeros(39, np.float32), np.ones(39, np.float32)
    arrays["centroids"] = np.zeros((2, 39), np.float32)
    arrays[part] = value
    np.savez(tmp_path / "kmeans.npz", **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(ManifestError, match="kmeans.npz") as error:
        KMeansTokenizer(tmp_path)
    assert what in str(error.value)
