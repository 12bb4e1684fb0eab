"""Bad input gets one clear sentence that names the place and the remedy, and no traceback."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from data_prep.tokenize_text import tokenize_with_sentencepiece

SPEECH = "--modality speech --batch-size 8 --max-update 1"
TEXT = "--modality text --batch-size 8 --max-update 1"
RATE = 16_000
SECOND = np.sin(np.arange(RATE) / 10)


@pytest.fixture
def run(fairseq_process, commands):
    """Run a command in a process of its own, to its end."""

    def run_to_end(tool, *options):
        return fairseq_process(tool, commands[tool], *options).wait()

    return run_to_end


def assert_one_sentence(finished, *fragments):
    """One line of error, the last on standard error, in which all fragments are."""
    assert finished.code != 0
    assert "Traceback" not in finished.errors
    sentences = [line for line in finished.errors.splitlines() if line.startswith("error: ")]
    assert len(sentences) == 1, finished.errors[-2000:]
    assert finished.errors.endswith(sentences[0] + "\n")
    for fragment in fragments:
        assert str(fragment) in sentences[0]


# -- audio -----------------------------------------------------------------------------------------


def write_wav(file: Path, seconds=1, channels=1, rate=RATE):
    samples = np.tile(SECOND, seconds * rate // RATE)
    soundfile.write(file, np.stack([samples] * channels, axis=1), rate, subtype="PCM_16")


def truncate_wav(file: Path):
    write_wav(file)
    file.write_bytes(file.read_bytes()[:20_000])


def leave_out_samples(file: Path):
    soundfile.write(file, np.zeros(0), RATE)


BAD_AUDIO = {
    "truncated": (truncate_wav, "truncated"),
    "no bytes": (lambda file: file.write_bytes(b""), "empty"),
    "no samples": (leave_out_samples, "0 samples"),
    "not there": (lambda file: None, "no such file"),
}


@pytest.fixture
def with_audio(copy_toy):
    """A data dir in which the first utterance of the train split has another audio file."""

    def make(write, n_samples=RATE):
        def point_to_it(split, rows):
            if split != "train":
                return rows
            return [replace(rows[0], audio="other.wav", n_samples=n_samples), *rows[1:]]

        data = copy_toy(point_to_it)
        write(data / "other.wav")
        return data

    return make


@pytest.mark.parametrize(("write", "said"), BAD_AUDIO.values(), ids=BAD_AUDIO)
def test_bad_audio(write, said, with_audio, run):
    data = with_audio(write)
    finished = run("train", f"--data {data}", SPEECH, "--batch-size 32")
    assert_one_sentence(finished, data / "other.wav", said, "drop its row")


def test_bad_audio_in_a_worker_process(with_audio, run):
    data = with_audio(truncate_wav)
    finished = run("train", f"--data {data}", SPEECH, "--batch-size 32 --num-workers 1")
    assert_one_sentence(finished, data / "other.wav", "truncated", "drop its row")


def test_bad_audio_behind_log_mel(with_audio, run):
    data = with_audio(truncate_wav)
    finished = run("train", f"--data {data}", SPEECH, "--speech-input log_mel")
    assert_one_sentence(finished, data / "other.wav", "truncated", "drop its row")


def test_stereo_at_another_rate(with_audio, fairseq, commands, tmp_path):
    """Is no fault: it is averaged to mono and resampled."""
    data = with_audio(lambda file: write_wav(file, channels=2, rate=48_000))
    place = f"--data {data} --save-dir {tmp_path / 'run'}"
    log = fairseq("train", commands["train"], place, SPEECH, "--batch-size 32")
    assert log.figures("train")["bsz"] == 32


def test_five_minutes(with_audio, fairseq, commands, tmp_path):
    """Are cut at --max-speech-seconds, and the log says so."""
    data = with_audio(lambda file: write_wav(file, seconds=305), n_samples=305 * RATE)
    place = f"--data {data} --save-dir {tmp_path / 'run'}"
    log = fairseq("train", commands["train"], place, SPEECH, "--batch-size 32")
    assert log.figures("train")["bsz"] == 32
    first = (data / "train.tsv").read_text().splitlines()[1].split("\t")[0]
    (said,) = [line for line in log.log.splitlines() if "--max-speech-seconds 20" in line]
    assert "train.tsv: 1 " in said
    assert first in said


# -- manifests -------------------------------------------------------------------------------------


@pytest.fixture
def with_manifest(copy_toy):
    """A data dir in which a function has changed the cells of a train row (row 1: the header)."""

    def make(row, change):
        data = copy_toy()
        lines = (data / "train.tsv").read_text().splitlines()
        cells = dict(zip(lines[0].split("\t"), lines[row - 1].split("\t"), strict=True))
        lines[row - 1] = "\t".join(change(cells).values())
        (data / "train.tsv").write_text("\n".join(lines) + "\n")
        return data

    return make


def without(name):
    return lambda cells: {key: cell for key, cell in cells.items() if key != name}


BAD_ROWS = {
    "NaN": (3, lambda cells: {**cells, "valence": "nan"}, ["row 3", "valence is 'nan'", "0 to 1"]),
    "emotion": (
        4,
        lambda cells: {**cells, "emotion": "bored"},
        [": train_", "'bored'", "neutral, "],
    ),
    "cell": (5, without("turn"), ["row 5", "12 fields", "13"]),
    "column": (1, without("speaker"), ["row 1", "no column speaker", "add the column"]),
    "no id": (6, lambda cells: {**cells, "id": ""}, ["row 6", "no id"]),
    "n_samples": (7, lambda cells: {**cells, "n_samples": "1.5"}, ["row 7", "n_samples is '1.5'"]),
}


@pytest.mark.parametrize(("row", "change", "said"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_row(row, change, said, with_manifest, run):
    data = with_manifest(row, change)
    assert_one_sentence(run("train", f"--data {data}", TEXT), data / "train.tsv", *said)


def test_an_id_twice(copy_toy, run):
    data = copy_toy()
    lines = (data / "train.tsv").read_text().splitlines()
    name = lines[1].split("\t")[0]
    lines[8] = lines[1]
    (data / "train.tsv").write_text("\n".join(lines) + "\n")
    finished = run("train", f"--data {data}", TEXT)
    assert_one_sentence(finished, data / "train.tsv", "row 9", repr(name), "row 2", "its own id")


@pytest.fixture
def with_texts(copy_toy):
    """A data dir with other texts, tokenised."""

    def make(change):
        data = copy_toy(change)
        (data / "text").rename(data / "old_text")
        tokenize_with_sentencepiece(data, vocab_size=400)
        return data

    return make


def test_one_empty_text(with_texts, fairseq, commands, tmp_path):
    """The row is left out, and the log says so."""

    def empty(split, rows):
        return [replace(rows[0], text=None), *rows[1:]] if split == "train" else rows

    data = with_texts(empty)
    log = fairseq("train", commands["train"], f"--data {data} --save-dir {tmp_path / 'run'}", TEXT)
    name = (data / "train.tsv").read_text().splitlines()[1].split("\t")[0]
    assert f"{data}/train.tsv: 1 rows left out" in log.log
    assert name in log.log
    assert "train: 31 utterances" in log.log


def test_every_text_empty(with_texts, run):
    def empty(split, rows):
        return [replace(row, text=None) for row in rows] if split == "valid" else rows

    data = with_texts(empty)
    finished = run("train", f"--data {data}", TEXT)
    assert_one_sentence(finished, data / "valid.tsv", "text", "--modality")


def test_a_text_changed_after_tokenising(with_manifest, run):
    data = with_manifest(2, lambda cells: {**cells, "text": "other words"})
    finished = run("train", f"--data {data}", TEXT)
    assert_one_sentence(finished, data / "text" / "train", f"data_prep.tokenize_text {data}")


# -- folders and options ---------------------------------------------------------------------------

BAD_OPTIONS = {
    "no data": ("--data '???'", ["--data is missing", "folder"]),
    "no folder": ("--data nowhere", ["--data nowhere", "no such folder"]),
    "no data dir": ("--data empty", ["--data empty", "not a data dir", "data_prep"]),
    "num-classes": ("--num-classes 5", ["--num-classes 5", "emotion", "4 outputs"]),
    "save-predictions": ("--save-predictions x.tsv", ["--save-predictions", "fairseq-validate"]),
    "modality": ("--modality video", ["'video'", "text, speech"]),
    "target": ("--target sentiment_score", ["sentiment_score", "--target"]),
    "split": ("--valid-subset dev", ["dev.tsv", "no split 'dev'", "test, train, valid"]),
}


@pytest.mark.parametrize(("options", "said"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_bad_option(options, said, toy_corpus, run, tmp_path):
    (tmp_path / "empty").mkdir()
    assert_one_sentence(run("train", f"--data {toy_corpus}", TEXT, options), *said)


def test_hydra(toy_corpus, fairseq_process, commands):
    """Its own report of a failure would be a traceback."""
    folder = Path(__file__).parents[2]
    options = f"--config-dir {folder / 'examples/toy/config'} --config-name text"
    plugin = f"common.user_dir={folder / 'emo_fairseq'}"
    wrong = f"task.data={toy_corpus} +task.num_classes=5"
    finished = fairseq_process("hydra-train", options, plugin, wrong).wait()
    assert_one_sentence(finished, "--num-classes 5", "4 outputs")


# -- checkpoints -----------------------------------------------------------------------------------


@pytest.fixture
def score(run, toy_corpus):
    """Score the toy's test split with a checkpoint."""

    def validate(checkpoint, data=toy_corpus, *options):
        place = f"--data {data} --path {checkpoint} --valid-subset test --batch-size 8"
        return run("validate", place, *options)

    return validate


@pytest.fixture(scope="session")
def other_task(fairseq, tmp_path_factory):
    """A checkpoint of fairseq's masked language model."""
    folder = tmp_path_factory.mktemp("masked_lm")
    fairseq(
        "train",
        f"--cpu --task dummy_masked_lm --arch masked_lm --criterion masked_lm --save-dir {folder}",
        "--encoder-layers 1 --encoder-embed-dim 8 --encoder-ffn-embed-dim 8",
        "--encoder-attention-heads 1 --dict-size 20 --dataset-size 8 --tokens-per-sample 8",
        "--batch-size 4 --optimizer sgd --lr 0.1 --max-update 1 --disable-validation",
    )
    return folder / "checkpoint_last.pt"


def test_checkpoint_of_another_task(other_task, score):
    finished = score(other_task)
    assert_one_sentence(finished, other_task, "dummy_masked_lm", "emotion_prediction")


def test_training_on_from_another_task(other_task, run, toy_corpus):
    finished = run("train", f"--data {toy_corpus} --restore-file {other_task}", TEXT)
    assert_one_sentence(finished, other_task, "does not fit the model", "--save-dir")


@pytest.fixture
def truncated(trained, tmp_path):
    whole = trained(TEXT).read_bytes()
    file = tmp_path / "truncated" / "checkpoint_last.pt"
    file.parent.mkdir()
    file.write_bytes(whole[: len(whole) // 2])
    return file


def test_truncated_checkpoint(truncated, score):
    assert_one_sentence(score(truncated), truncated, "cannot be read")


def test_training_on_from_a_truncated_checkpoint(truncated, run, toy_corpus):
    finished = run("train", f"--data {toy_corpus} --save-dir {truncated.parent}", TEXT)
    assert_one_sentence(finished, truncated, "cannot be read")


def test_a_checkpoint_that_runs_code(trained, score, tmp_path):
    state = torch.load(trained(TEXT), weights_only=True)
    torch.save({**state, "harm": Path("nowhere")}, tmp_path / "harmful.pt")
    assert_one_sentence(score(tmp_path / "harmful.pt"), "harmful.pt", "may run code")


def test_no_checkpoint(score):
    assert_one_sentence(score("nowhere.pt"), "nowhere.pt", "no such checkpoint")


def test_dictionary_that_does_not_fit(trained, toy_corpus, copy_toy, score):
    data = copy_toy()
    (data / "text").rename(data / "old_text")
    shutil.copytree(toy_corpus / "text", data / "text")
    file = data / "text" / "dict.txt"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:5][::-1], *lines[5:]]) + "\n")
    finished = score(trained(TEXT), data)
    assert_one_sentence(finished, file, "checkpoint", "tokenise")


def test_other_number_of_classes_than_the_checkpoint(trained, toy_corpus, score):
    finished = score(trained(TEXT), toy_corpus, "--num-classes 3")
    assert_one_sentence(finished, "--num-classes 3", "4 outputs")


def test_another_target_than_the_checkpoint(trained, toy_corpus, score):
    finished = score(trained(TEXT), toy_corpus, "--target vad")
    assert_one_sentence(finished, "head", "is (4,), not (3,)", "--target")


def test_other_labels_than_the_checkpoint(trained, copy_toy, score):
    def rename(split, rows):
        return [replace(row, emotion="furious") if row.emotion == "angry" else row for row in rows]

    data = copy_toy(rename)
    finished = score(trained(TEXT), data)
    assert_one_sentence(finished, data / "test.tsv", "'furious'", "angry")


def test_other_sizes_than_the_checkpoint(trained, run, toy_corpus, tmp_path):
    shutil.copy(trained(TEXT), tmp_path / "checkpoint_last.pt")
    finished = run(
        "train", f"--data {toy_corpus} --save-dir {tmp_path}", TEXT, "--text-embed-dim 8"
    )
    file = tmp_path / "checkpoint_last.pt"
    assert_one_sentence(finished, file, "does not fit the model", "(", "--save-dir")
