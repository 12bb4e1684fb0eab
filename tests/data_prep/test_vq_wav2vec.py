"""Tokens by vq-wav2vec: what fairseq's own model says of each row, whatever it is batched with."""

import dataclasses
import re
import shutil
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from codes import raises
from fairseq.data import Dictionary
from fairseq.data.indexed_dataset import MMapIndexedDataset
from fairseq.models.wav2vec.wav2vec import Wav2VecConfig, Wav2VecModel
from token_folders import tokens_of

from data_prep.audio.loading import load_audio
from data_prep.commands.tokenize_speech import main
from data_prep.corpora.toy import prepare_toy
from data_prep.files.digests import file_digest
from data_prep.schema import Corpus, Utterance, read_manifest, write_corpus
from data_prep.tokens import vq_wav2vec_corpus
from data_prep.tokens.binarize import summary_table
from data_prep.tokens.folder import EOS, UNK, SpecialIds, read_card
from data_prep.tokens.speech_tokenizers import load_speech_tokenizer
from data_prep.tokens.vq_wav2vec import (
    VqWav2Vec,
    cut_evenly,
    in_batches,
)
from data_prep.tokens.vq_wav2vec_corpus import tokenize_with_vq_wav2vec

SPLITS = ("train", "valid", "test")
RATE = 16_000
REACH, HOP = 465, 160  # as in the published model, which is only wider
SIZES: Mapping[str, Any] = {
    "conv_feature_layers": "[(8, 10, 5), (8, 8, 4), (8, 4, 2), (8, 4, 2), (8, 4, 2), (8, 1, 1)]",
    "conv_aggregator_layers": "[(8, 2, 1), (8, 3, 1)]",
    "prediction_steps": 2,
    "vq_type": "kmeans",
    "vq_vars": 5,
    "vq_groups": 2,
}


def save_model(file: Path, seed: int = 0, **options: Any) -> Wav2VecModel:
    """A random vq-wav2vec, and its checkpoint as fairseq wrote it."""
    torch.manual_seed(seed)
    options = {**SIZES, **options}
    model = Wav2VecModel(Wav2VecConfig(**options)).eval()
    with torch.no_grad():
        quantizer = model.vector_quantizer
        if quantizer is not None and hasattr(quantizer, "embedding"):
            quantizer.embedding.mul_(100)  # far enough apart for all of them to be nearest at times
    args = Namespace(arch="wav2vec", task="audio_pretraining", data="/gone", criterion="wav2vec")
    args = Namespace(**vars(args), optimizer="adam", lr=[0.1], **options)
    history = [{"criterion_name": "A", "optimizer_name": "B", "lr_scheduler_state": {}}]
    history[0]["num_updates"] = 3
    state = {"args": args, "model": model.state_dict(), "optimizer_history": history}
    torch.save({**state, "extra_state": {"train_iterator": {"epoch": 1}}}, file)
    return model


@torch.no_grad()
def featurize(model: Wav2VecModel, waveform: np.ndarray) -> list[str]:
    """What examples/wav2vec/vq-wav2vec_featurize.py of fairseq writes for one file."""
    frames = model.feature_extractor(torch.from_numpy(waveform)[None])
    _, codes = model.vector_quantizer.forward_idx(frames)
    return ["-".join(map(str, frame.tolist())) for frame in codes[0]]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    prepare_toy(folder, seed=3, n_train=12, n_valid=4, n_test=4, speakers=(4, 2, 2))
    return folder


@pytest.fixture
def data_dir(toy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy, tmp_path / "data"))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    save_model(tmp_path / "vq.pt")
    return tmp_path / "vq.pt"


def stored(folder: Path, split: str) -> list[list[int]]:
    dataset = MMapIndexedDataset(str(folder / split))
    return [dataset[i].tolist() for i in range(len(dataset))]


def rows_of(data_dir: Path) -> dict[str, list[Utterance]]:
    return {split: read_manifest(data_dir / f"{split}.tsv") for split in SPLITS}


def waveforms(data_dir: Path, split: str) -> list[np.ndarray]:
    return [load_audio(data_dir / str(row.audio)) for row in rows_of(data_dir)[split]]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name != ".lock"}


def add_noise(path: Path) -> None:
    waveform = load_audio(path)
    waveform += np.random.default_rng(0).normal(0, 0.3, len(waveform)).astype(np.float32)
    soundfile.write(path, np.clip(waveform, -1, 1), RATE, subtype="PCM_16")


# -- codes and dictionaries ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"combine_groups": True},
        {"vq_type": "gumbel"},
        {"vq_groups": 1, "vq_vars": 20},
        {"vq_groups": 4, "vq_vars": 3},
    ],
    ids=str,
)
def test_tokens_are_fairseqs_codes_by_a_dictionary_of_train(
    options: dict[str, Any], data_dir: Path, tmp_path: Path
) -> None:
    model = save_model(tmp_path / "vq.pt", **options)
    tokenize_with_vq_wav2vec(data_dir, checkpoint=tmp_path / "vq.pt")
    lines = {split: [featurize(model, w) for w in waveforms(data_dir, split)] for split in SPLITS}
    counts = Counter(symbol for line in lines["train"] for symbol in line)
    assert len(counts) > 3, "a model that always says the same proves nothing"
    assert len(next(iter(counts)).split("-")) == {**SIZES, **options}["vq_groups"]

    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    folder = tokens_of(data_dir, "speech")
    text = "".join(f"{symbol} {count}\n" for symbol, count in ranked)
    assert (folder / "dict.txt").read_text() == text
    dictionary = Dictionary.load(str(folder / "dict.txt"))
    assert read_card(folder)["vocab_size"] == len(dictionary)
    for split in SPLITS:
        expected = [
            dictionary.encode_line(" ".join(line), add_if_not_exist=False).tolist()
            for line in lines[split]
        ]
        assert stored(folder, split) == expected
        assert {row[-1] for row in expected} == {EOS}
        unknown = sum(row.count(UNK) for row in expected)
        assert read_card(folder)["splits"][split]["unknown"] == unknown
    assert not (folder / ".partial").exists()


def test_codes_that_a_given_dictionary_lacks_are_unknown(
    data_dir: Path, checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokenize_with_vq_wav2vec(data_dir, checkpoint=checkpoint)
    frequent, *others = (tokens_of(data_dir, "speech") / "dict.txt").read_text().splitlines()
    given = tmp_path / "dict.txt"
    given.write_text("\n".join(reversed(others)) + "\n")
    folder = tokenize_with_vq_wav2vec(
        data_dir, checkpoint=checkpoint, dictionary=given, name="given"
    )
    table = summary_table(folder)
    assert (folder.folder / "dict.txt").read_bytes() == given.read_bytes()
    dictionary = Dictionary.load(str(given))
    assert frequent.split()[0] not in dictionary.indices
    model = save_model(tmp_path / "again.pt")
    for split in SPLITS:
        lines = [featurize(model, waveform) for waveform in waveforms(data_dir, split)]
        expected = [[*map(dictionary.index, line), EOS] for line in lines]
        assert stored(folder.folder, split) == expected
        unknown, n_codes = sum(row.count(UNK) for row in expected), sum(map(len, lines))
        assert 0 < unknown < n_codes
        assert f"{split}: {unknown} of {n_codes} codes are not in dict.txt" in caplog.text
        assert f"{unknown / (n_codes + len(lines)):.3%}" in table


def test_rows_without_sound_or_too_short_for_a_frame_are_eos_alone(
    data_dir: Path, checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = rows_of(data_dir)
    for n_samples in (REACH - 1, REACH):
        soundfile.write(data_dir / f"{n_samples}.wav", np.full(n_samples, 0.1), RATE)
    first, short, frame, *others = rows["test"]
    missing = dataclasses.replace(first, audio=None, n_samples=None)
    short = dataclasses.replace(short, audio=f"{REACH - 1}.wav", n_samples=REACH - 1)
    frame = dataclasses.replace(frame, audio=f"{REACH}.wav", n_samples=REACH)
    write_corpus(data_dir, Corpus(name="toy"), {**rows, "test": [missing, short, frame, *others]})
    tokenize_with_vq_wav2vec(data_dir, checkpoint=checkpoint)
    test = stored(tokens_of(data_dir, "speech"), "test")
    assert test[:2] == [[EOS], [EOS]]
    assert [len(row) for row in test[2:]] == [2, *(n_frames(row) + 1 for row in others)]
    assert read_card(tokens_of(data_dir, "speech"))["splits"]["test"]["missing"] == 1
    assert f"test: 1 rows are too short for a code, the first of them {short.id}" in caplog.text


def n_frames(row: Utterance) -> int:
    return 1 + ((row.n_samples or 0) - REACH) // HOP


def test_a_loaded_tokenizer_does_the_same_on_a_waveform(data_dir: Path, checkpoint: Path) -> None:
    tokenize_with_vq_wav2vec(data_dir, checkpoint=checkpoint, max_seconds=0.7)
    tokenizer = load_speech_tokenizer(tokens_of(data_dir, "speech"))
    found = [tokenizer.encode(waveform) for waveform in waveforms(data_dir, "test")]
    assert [tokens.tolist() for tokens in found] == stored(tokens_of(data_dir, "speech"), "test")
    assert found[0].dtype == np.int64
    assert tokenizer.sample_rate == RATE
    assert tokenizer.specials == SpecialIds()
    assert tokenizer.encode(np.zeros(REACH - 1, np.float32)).tolist() == [EOS]


# -- pieces and batches ----------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 465, 1000, 3333, 16_000])
@pytest.mark.parametrize("n_samples", [464, 465, 624, 625, 3333, 16_000, 16_161])
def test_pieces_have_the_frames_of_the_whole(n_samples: int, most: int) -> None:
    """Without norms over time, the codes of the pieces are those of the whole."""
    samples = np.random.default_rng(n_samples).normal(size=n_samples)
    kernel = np.random.default_rng(0).normal(size=REACH)

    def convolve(piece: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(piece, REACH)[::HOP]
        return windows @ kernel

    pieces = cut_evenly(n_samples, REACH, HOP, most)
    if n_samples < REACH:
        assert pieces == []
        return
    joined = np.concatenate([convolve(samples[piece]) for piece in pieces])
    np.testing.assert_allclose(joined, convolve(samples))
    frames = [len(convolve(samples[piece])) for piece in pieces]
    assert max(frames) - min(frames) <= 1
    room = max(1, 1 + (most - REACH) // HOP)  # frames that a piece of `most` samples has
    assert len(pieces) == -(-sum(frames) // room), "more pieces than needed"
    assert max(frames) <= room
    assert all(piece.stop <= n_samples for piece in pieces)


def test_batches_are_of_bounded_size() -> None:
    sizes = np.random.default_rng(1).integers(1, 30, size=200).tolist()
    batches = list(in_batches(sizes, int, most=60))
    assert [size for batch in batches for size in batch] == sizes
    assert all(len(batch) * max(batch) <= 60 for batch in batches)
    both = [[*batch, after[0]] for batch, after in pairwise(batches)]
    assert all(len(batch) * max(batch) > 60 for batch in both), "there was room for one more"


def test_long_audio_is_cut_and_its_codes_joined(data_dir: Path, checkpoint: Path) -> None:
    row = rows_of(data_dir)["train"][0]
    waveform = load_audio(data_dir / str(row.audio))
    (whole,) = VqWav2Vec(checkpoint).codes([waveform])
    model = VqWav2Vec(checkpoint, max_seconds=0.5)
    (joined,) = model.codes([waveform])
    pieces = cut_evenly(len(waveform), REACH, HOP, RATE // 2)
    assert (model.reach, model.hop) == (REACH, HOP)
    assert len(pieces) > 2
    assert len(joined) == len(whole) == n_frames(row)
    np.testing.assert_array_equal(
        joined, np.concatenate(model.codes([waveform[piece] for piece in pieces]))
    )
    assert (joined == whole).mean() > 0.5  # not all, since each piece is normed by itself


def test_what_a_row_is_batched_with_changes_nothing(toy: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "vq.pt")
    found = []
    for number, seconds in enumerate((0.01, 3.0, 1000.0)):
        data_dir = Path(shutil.copytree(toy, tmp_path / str(number)))
        tokenize_with_vq_wav2vec(
            data_dir, checkpoint=tmp_path / "vq.pt", batch_seconds=seconds, max_seconds=1.5
        )
        found.append(snapshot(tokens_of(data_dir, "speech")))
    assert found[0] == found[1] == found[2]


# -- what is done again, and what is not -----------------------------------------------------------


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sounds each call of the model was given."""
    calls: list[int] = []
    codes = VqWav2Vec.codes

    def counted(self: VqWav2Vec, waveforms: Any, *options: Any) -> Any:
        found = codes(self, waveforms, *options)
        calls.append(len(found))
        return found

    monkeypatch.setattr(VqWav2Vec, "codes", counted)
    return calls


def test_a_rerun_skips(data_dir: Path, checkpoint: Path, heard: list[int], caplog: Any) -> None:
    caplog.set_level("INFO")
    tokenize_with_vq_wav2vec(data_dir, checkpoint=checkpoint)
    assert heard == [12, 4, 4], "train is heard once, for the dictionary and for its tokens"
    before = snapshot(tokens_of(data_dir, "speech"))
    heard.clear()
    moved = checkpoint.rename(checkpoint.with_name("moved.pt"))
    tokenize_with_vq_wav2vec(data_dir, checkpoint=moved, batch_seconds=1)
    assert caplog.text.count("is up to date, skipped") == 3
    assert not heard
    after = snapshot(tokens_of(data_dir, "speech"))
    assert after.pop("checkpoint.txt") == f"{moved}\n".encode()
    assert before.pop("checkpoint.txt") == f"{checkpoint}\n".encode()
    assert after == before

    add_noise(data_dir / str(rows_of(data_dir)["test"][0].audio))
    tokenize_with_vq_wav2vec(data_dir, checkpoint=moved)
    assert heard == [4]
    changed = snapshot(tokens_of(data_dir, "speech"))
    assert {name for name in before if before[name] != changed[name]} >= {"test.bin"}
    assert changed["train.bin"] == before["train.bin"]


@pytest.mark.parametrize("change", ["checkpoint", "dict", "max_seconds"])
def test_other_settings_have_a_folder_of_their_own(
    change: str, data_dir: Path, checkpoint: Path, tmp_path: Path, heard: list[int]
) -> None:
    tokenize_with_vq_wav2vec(data_dir, checkpoint=checkpoint, name="first")
    before = snapshot(tokens_of(data_dir, "speech"))
    heard.clear()
    save_model(tmp_path / "other.pt", seed=1)
    (tmp_path / "dict.txt").write_text("1-1 9\n0-1 8\n4-4 7\n")
    options: dict[str, dict[str, Any]] = {
        "checkpoint": {"checkpoint": tmp_path / "other.pt"},
        "dict": {"dictionary": tmp_path / "dict.txt"},
        "max_seconds": {"max_seconds": 0.5},
    }
    settings = {"checkpoint": checkpoint, **options[change]}
    with raises("tokens-name-taken"):
        tokenize_with_vq_wav2vec(data_dir, **settings, name="first")
    assert heard == []
    assert snapshot(tokens_of(data_dir, "speech")) == before
    after = snapshot(tokenize_with_vq_wav2vec(data_dir, **settings).folder)
    assert heard == [12, 4, 4]
    assert all(after[f"{split}.bin"] != before[f"{split}.bin"] for split in SPLITS)


def test_a_stopped_split_goes_on_where_it_was(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[int]
) -> None:
    monkeypatch.setattr(vq_wav2vec_corpus, "SHARD_ROWS", 3)
    save_model(tmp_path / "vq.pt")
    whole, data_dir = (Path(shutil.copytree(toy, tmp_path / name)) for name in ("whole", "cut"))
    tokenize_with_vq_wav2vec(whole, checkpoint=tmp_path / "vq.pt")
    heard.clear()
    train = rows_of(data_dir)["train"]
    path = data_dir / str(train[7].audio)  # of the third chunk
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=f"utterance '{train[7].id}': {path}: .*;"):
        tokenize_with_vq_wav2vec(data_dir, checkpoint=tmp_path / "vq.pt")
    partial = data_dir / "speech" / "vq" / ".partial"
    assert heard == [3, 3]
    assert len(list(partial.iterdir())) == 2

    path.write_bytes(content)
    add_noise(data_dir / str(train[0].audio))  # its chunk is stale now
    shutil.copy(data_dir / str(train[0].audio), whole / str(train[0].audio))
    heard.clear()
    tokenize_with_vq_wav2vec(data_dir, checkpoint=tmp_path / "vq.pt")
    assert heard == [3, 3, 3, 3, 1, 3, 1], "the second chunk of train is not computed again"
    assert not partial.exists()
    heard.clear()
    tokenize_with_vq_wav2vec(whole, checkpoint=tmp_path / "vq.pt")
    assert snapshot(tokens_of(data_dir, "speech")) == snapshot(tokens_of(whole, "speech"))


# -- mistakes --------------------------------------------------------------------------------------


def test_a_checkpoint_that_is_gone_or_another_is_told(data_dir: Path, checkpoint: Path) -> None:
    tokenize_with_vq_wav2vec(data_dir, checkpoint=checkpoint)
    folder = tokens_of(data_dir, "speech")
    again = "run data_prep.tokenize_speech with --checkpoint"
    digest = file_digest(checkpoint)
    save_model(checkpoint, seed=1)
    with pytest.raises(ValueError, match=f"{checkpoint}: is not the .*{folder}.*{digest}.*{again}"):
        load_speech_tokenizer(folder)
    checkpoint.unlink()
    with pytest.raises(ValueError, match=f"{checkpoint}: there is no such file.*{folder}.*{again}"):
        load_speech_tokenizer(folder)
    (folder / "checkpoint.txt").unlink()
    with pytest.raises(ValueError, match=f"checkpoint.txt: not found.*{again}"):
        load_speech_tokenizer(folder)


def test_bad_checkpoints_and_dictionaries_are_told(
    data_dir: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(tmp_path / "wav2vec.pt", vq_type="none")
    (tmp_path / "text.pt").write_text("not a checkpoint")
    (tmp_path / "words.txt").write_text("17 3\nhello 2\n1-9 1\n1-1-1 1\n")
    (tmp_path / "none.txt").write_text("hello\n")
    cases = {
        ("--checkpoint", "nowhere.pt"): "nowhere.pt: cannot be read .*; check the path",
        ("--checkpoint", "wav2vec.pt"): "wav2vec.pt: .*vq-wav2vec; give a checkpoint of vq-wav2vec",
        ("--checkpoint", "text.pt"): "text.pt: not a checkpoint, or one that",
        ("--checkpoint", "vq.pt", "--dict", "nowhere.txt"): "nowhere.txt: cannot be read",
        ("--checkpoint", "vq.pt", "--dict", "none.txt"): "none.txt: row 1: is no fairseq",
        ("--checkpoint", "vq.pt", "--dict", "words.txt"): (
            r"words.txt: names no code of this vq-wav2vec \(2 of 5 a frame, such as 4-4\); give "
            "the dict.txt of the BERT"
        ),
    }
    for options, what in cases.items():
        files = [str(tmp_path / word) if "." in word else word for word in options]
        assert main([str(data_dir), "--quantizer", "vq-wav2vec", *files]) == 1
        errors = capsys.readouterr().err
        assert re.search(f"^error: .*{what}", errors, re.MULTILINE), errors


def test_a_corpus_at_another_rate_or_without_sound_is_refused(
    data_dir: Path, checkpoint: Path
) -> None:
    write_corpus(data_dir, Corpus(name="toy", sample_rate=8000), rows_of(data_dir))
    with raises("sample-rate-mismatch"):
        tokenize_with_vq_wav2vec(data_dir, checkpoint=checkpoint)
    texts: Sequence[Utterance] = [Utterance("a", text="b")]
    write_corpus(data_dir, Corpus(name="toy"), {"train": texts})
    with pytest.raises(ValueError, match=f"no audio of {REACH} samples or more"):
        tokenize_with_vq_wav2vec(data_dir, checkpoint=checkpoint)


# -- the published size ----------------------------------------------------------------------------


def test_reach_and_hop_of_the_published_size(tmp_path: Path) -> None:
    """fairseq's default convolutions, with fewer channels: 465 samples every 160."""
    layers = "[(4, 10, 5), (4, 8, 4)] + [(4, 4, 2)] * 3 + [(4, 1, 1)] * 3"
    save_model(tmp_path / "vq.pt", conv_feature_layers=layers, conv_aggregator_layers="[(4, 2, 1)]")
    model = VqWav2Vec(tmp_path / "vq.pt")
    assert (model.reach, model.hop, model.n_groups, model.n_codes) == (465, 160, 2, 5)
