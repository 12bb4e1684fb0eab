"""Segments of one long recording: every command that reads sound gets each row's own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import three_tones
from codes import raises
from token_folders import tokens_of

from data_prep.audio.segment import AudioSegment, as_segment, audio_digests, audio_of
from data_prep.commands import extract_features
from data_prep.corpora.toy import prepare_toy
from data_prep.features.log_mel import frames_of
from data_prep.features.stored import open_features, read_card
from data_prep.manifest.digests import sequence_digest
from data_prep.schema import Corpus, Utterance, read_corpus, read_manifest, write_corpus
from data_prep.tokens.kmeans_corpus import tokenize_with_kmeans
from data_prep.tokens.sounds import speech_job


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Three rows, each one tone of one recording."""
    three_tones.write_recording(tmp_path / "long.wav")
    write(tmp_path, three_tones.rows())
    return tmp_path


def write(data_dir: Path, rows: list[Utterance]) -> None:
    write_corpus(data_dir, Corpus("tones", labels={"emotion": ("sad", "glad")}), {"train": rows})


def shorter(data_dir: Path) -> None:
    """Move the end of the second row; the manifest counts as many samples as before."""
    first, second, third = read_manifest(data_dir / "train.tsv")
    write(data_dir, [first, replace(second, end=0.9), third])


# -- audio_of --------------------------------------------------------------------------------------


def test_a_row_is_read_as_its_segment(data_dir: Path) -> None:
    sounds = [audio_of(row, data_dir) for row in three_tones.rows()]
    assert [three_tones.pitch(sound.load()) for sound in sounds if sound] == [300, 900, 2100]
    assert [len(sound.load(8000)) for sound in sounds if sound] == [4000, 4000, 4000]
    assert audio_of(Utterance("x", text="x"), data_dir) is None


@pytest.mark.parametrize("times", [(-1.0, None), (1.0, 1.0), (0.0, float("nan")), (2.0, 1.0)])
def test_what_is_no_segment_is_refused(times: tuple[float, float | None]) -> None:
    with raises("segment-invalid"):
        AudioSegment(Path("a.wav"), *times)


def test_the_digest_of_a_whole_file_is_its_own(data_dir: Path) -> None:
    memory = data_dir / ".digests.json"
    path = data_dir / "long.wav"
    parts = [as_segment(path), AudioSegment(path, 0.5, 1.0), AudioSegment(path, 0.5), None]
    whole, middle, rest, none = audio_digests(parts, memory)
    assert none is None
    assert whole is not None
    assert len(whole) == 64
    assert [middle, rest] == [f"{whole} 0.5-1.0", f"{whole} 0.5-end"]


# -- features --------------------------------------------------------------------------------------


def test_log_mel_of_segments(data_dir: Path) -> None:
    assert extract_features.main([str(data_dir), "--workers", "1"]) == 0
    folder = data_dir / "features" / "log_mel"
    rows = read_manifest(data_dir / "train.tsv")
    stored = open_features(folder, "train", rows)
    assert stored is not None
    time = np.arange(three_tones.FRAMES) / 16_000
    for number, hertz in enumerate(three_tones.HERTZ):
        pure = frames_of((0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32))
        assert stored[number].shape == pure.shape
        assert stored[number].mean(0).argmax() == pure.mean(0).argmax()
    shorter(data_dir)
    with raises("features-outdated"):
        open_features(folder, "train", read_manifest(data_dir / "train.tsv"))
    assert extract_features.main([str(data_dir), "--workers", "1"]) == 0
    again = open_features(folder, "train", read_manifest(data_dir / "train.tsv"))
    assert again is not None
    assert [len(again[number]) for number in range(3)] == [48, 38, 48]


def test_features_of_whole_files_keep_their_digest(data_dir: Path) -> None:
    write(data_dir, [Utterance("a", audio="long.wav", n_samples=24_000)])
    assert extract_features.main([str(data_dir), "--workers", "1"]) == 0
    folder = data_dir / "features" / "log_mel"
    (digest,) = audio_digests([as_segment(data_dir / "long.wav")], data_dir / "d.json")
    assert read_card(folder)["splits"]["train"]["content"] == sequence_digest([("a", digest)])


# -- tokens ----------------------------------------------------------------------------------------


def codes(data_dir: Path) -> list[list[int]]:
    from fairseq.data.indexed_dataset import MMapIndexedDataset

    dataset = MMapIndexedDataset(str(tokens_of(data_dir, "speech") / "train"))
    return [dataset[number].tolist() for number in range(3)]


def test_tokens_of_segments(data_dir: Path) -> None:
    tokenize_with_kmeans(data_dir, n_clusters=9)
    found = codes(data_dir)
    assert [len(row) for row in found] == [49, 49, 49]  # 48 frames and </s>
    assert len({max(set(row), key=row.count) for row in found}) == 3
    shorter(data_dir)
    tokenize_with_kmeans(data_dir, n_clusters=9)
    assert [len(row) for row in codes(data_dir)] == [49, 39, 49]


def test_segments_give_what_clips_give(tmp_path: Path) -> None:
    """The toy's clips, and the same joined into one recording: the same numbers, bit by bit."""
    prepare_toy(tmp_path / "clips", n_train=8, n_valid=4, n_test=4, speakers=(4, 2, 2))
    corpus = read_corpus(tmp_path / "clips")
    clips = {split: read_manifest(tmp_path / "clips" / f"{split}.tsv") for split in corpus.splits}
    parts, samples, n_samples = {}, [], 0
    for split, rows in clips.items():
        parts[split] = []
        for row in rows:
            samples.append(soundfile.read(tmp_path / "clips" / str(row.audio), dtype="int16")[0])
            start, n_samples = n_samples, n_samples + len(samples[-1])
            times = {"start": start / 16_000, "end": n_samples / 16_000}
            parts[split].append(replace(row, audio="all.flac", **times))
    write_corpus(tmp_path / "parts", corpus, parts)
    soundfile.write(tmp_path / "parts" / "all.flac", np.concatenate(samples), 16_000)
    for name in ("clips", "parts"):
        assert extract_features.main([str(tmp_path / name), "--workers", "1"]) == 0
        tokenize_with_kmeans(tmp_path / name, n_clusters=8)
    for file in (
        "features/log_mel/train.npy",
        "features/log_mel/test.npy",
        "speech/kmeans-8/test.bin",
    ):
        one, other = ((tmp_path / name / file).read_bytes() for name in ("clips", "parts"))
        assert one == other, file


def test_a_recording_of_many_segments_is_digested_once(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def digest(path: Path) -> str:
        read.append(path)
        return "digest"

    monkeypatch.setattr("data_prep.tokens.sounds.file_digest", digest)
    job = speech_job(data_dir, three_tones.rows())
    assert read == [data_dir / "long.wav"]
    assert [sound.content for sound in job.items if sound] == [
        "digest 0.0-0.5",
        "digest 0.5-1.0",
        "digest 1.0-end",
    ]
