"""``emotion-recognize train``: the command that it writes, and what it refuses before training."""

import shlex
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hf_folders
import numpy as np
import pytest
import soundfile
import torch

from data_prep.commands.tokenize_text import main as tokenize_text
from data_prep.corpora.toy import prepare_toy
from data_prep.folds.__main__ import main as fold_main
from data_prep.schema import read_manifest
from emo_fairseq.cli import processes
from emo_fairseq.cli.__main__ import main
from emo_fairseq.cli.checkpoints import find_model
from emo_fairseq.cli.train import command_check
from emo_fairseq.data.augmentation.options import AUDIO_OPTIONS

SMALL = shlex.split(
    """--text-embed-dim 16 --text-ffn-embed-dim 16 --text-attention-heads 2 --text-encoder-layers 1
    --speech-embed-dim 16 --speech-ffn-embed-dim 16 --speech-attention-heads 2
    --speech-encoder-layers 1 --speech-conv-channels 16 --embedding-dim 16 --fusion-embed-dim 16
    --encoder-attention-heads 2"""
)


def planned(command: Callable[..., str], *words: object) -> list[list[str]]:
    """The commands that a dry run prints."""
    lines = command("train", *words, "--dry-run").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("$ ")]


def training(command: Callable[..., str], *words: object) -> list[str]:
    """The fairseq-train command of the model itself, in a dry run."""
    tools = [w for w in planned(command, *words) if w[0].endswith("fairseq-train")]
    return next(words for words in tools if "--probe" not in words)


def modules(commands: list[list[str]]) -> list[str]:
    """What each command runs."""
    return [words[2] if words[1] == "-m" else Path(words[0]).name for words in commands]


def options_of(words: list[str]) -> dict[str, str]:
    """Options and their values; a switch has an empty one."""
    pairs = zip(words, [*words[1:], "--"], strict=True)
    return {w: "" if v.startswith("--") else v for w, v in pairs if w.startswith("--")}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    hf_folders.build(folder / "m" / "mpnet", "mpnet")
    hf_folders.build_whisper(folder / "m" / "whisper")
    return folder


@pytest.fixture
def mpnet(models: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A text encoder, as it is given in the folder where the commands run."""
    monkeypatch.chdir(models)
    return "hf:m/mpnet"


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (
            "--modal T+A --label-type sentiment",  # the names of BERT-like
            {
                "--modality": "text+speech",
                "--target": "sentiment",
                "--speech-input": "log_mel",
                "--fusion": "cross_attention",
                "--criterion": "emotion_classification",
                "--best-checkpoint-metric": "weighted_f1",
                "--arch": "robertaEMO_tiny",
                "--lr": "0.001",
                "--total-num-update": "100",  # of 32 rows
            },
        ),
        (
            "--modality A --patience 2 --precision bf16",
            {"--patience": "2", "--bf16": "", "--fp16-no-flatten-grads": ""},
        ),
        (
            "--modality A --target vad --batch-size 8 --epochs 3 --lr 5e-4 --seed 7 --cpu",
            {
                "--criterion": "emotion_regression",
                "--best-checkpoint-metric": "ccc",
                "--total-num-update": "12",
                "--max-epoch": "3",
                "--lr": "0.0005",
                "--seed": "7",
                "--cpu": "",
            },
        ),
        (
            "--modality T+A --text-encoder hf:m/mpnet --fusion gated",
            {
                "--text-pooling": "mean",
                "--lr": "2e-05",
                "--speech-lr-scale": "10",
                "--layer-lr-decay": "0.9",
                "--fusion": "gated",
            },
        ),
        (
            "--modality T --text-encoder hf:m/mpnet --freeze",
            {"--text-tuning": "frozen", "--lr": "0.001", "--arch": "robertaEMO"},
        ),
        (
            "--modality T --text-encoder hf:m/mpnet --lora",
            {"--text-tuning": "lora", "--lr": "0.0002"},
        ),
    ],
)
def test_defaults_follow_from_the_options(asked, wanted, command, toy_corpus, mpnet):
    words = training(command, toy_corpus, *asked.split())
    assert wanted.items() <= options_of(words).items()


@pytest.mark.parametrize(
    ("asked", "fusion"),
    [
        ("--speech-encoder hf:m/whisper --freeze", "concat"),
        ("--speech-encoder features:mine --freeze", "concat"),
        ("--speech-encoder hf:m/whisper --freeze --fusion gated", "gated"),
        ("--speech-encoder hf:m/whisper --lora", "cross_attention"),
        ("--speech-encoder features:mine", "cross_attention"),
        ("--freeze", "cross_attention"),  # speech from scratch
    ],
)
def test_what_is_frozen_is_concatenated(asked, fusion, command, toy_corpus, mpnet):
    asked = f"--modality T+A --text-encoder hf:m/mpnet --no-probe {asked}"
    assert options_of(training(command, toy_corpus, *asked.split()))["--fusion"] == fusion


STATISTICS = "--speech-layer mean --speech-frozen-pooling mean_std"


@pytest.mark.parametrize(
    ("asked", "wanted", "n_commands"),
    [
        ("--freeze", STATISTICS, 2),  # of the linear baseline, too
        ("--freeze -- --speech-layer weighted", "--speech-pooling mean", 1),
        ("--lora", "--speech-pooling mean", 1),
        ("--lora -- --whisper-padding none --dropout 0.2", "--whisper-padding none", 2),
    ],
)
def test_statistics_of_frozen_speech_are_stored_in_place_of_its_frames(
    asked, wanted, n_commands, toy_corpus, mpnet, capsys
):
    words = ["--dry-run", "--modality", "A", "--speech-encoder", "hf:m/whisper", *asked.split()]
    assert main(["train", str(toy_corpus), *words]) == 0
    printed = capsys.readouterr().out
    assert printed.count(wanted) == n_commands
    assert ("frozen-pooling" in printed) == (wanted == STATISTICS)


@pytest.mark.parametrize(
    ("asked", "is_standardized"),
    [("--freeze", True), ("--freeze -- --no-encoder-cache", False), ("--lora", False)],
)
def test_stored_outputs_of_frozen_encoders_are_standardized(
    asked, is_standardized, toy_corpus, mpnet, capsys
):
    words = ["--dry-run", "--modality", "T", "--text-encoder", "hf:m/mpnet", *asked.split()]
    assert main(["train", str(toy_corpus), *words]) == 0
    printed = capsys.readouterr().out.split()
    assert ("--standardize-frozen" in printed) == is_standardized
    assert ("--standardize-fused" in printed) == ("--freeze" in asked)


def test_the_folder_is_named_after_the_model(command, toy_corpus, mpnet):
    asked = "--modality T+A --target sentiment --text-encoder hf:m/mpnet --freeze --output out"
    words = training(command, toy_corpus, *asked.split())
    folder = options_of(words)["--save-dir"]
    assert folder == "out/T-A-SFT-cross_attention-mpnet-scratch-tiny"


def test_options_after_the_dashes_are_passed_to_fairseq(toy_corpus, capsys):
    assert main(["train", str(toy_corpus), "--dry-run", "--", "--lr", "0.5", "--bf16"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith(" --lr 0.5 --bf16")]


def test_options_after_the_dashes_are_checked_before_frames_are_extracted(
    copy_toy, tmp_path, monkeypatch, capsys
):
    data = copy_toy()
    ran = []

    def run_quietly(words):
        ran.append(words)
        with pytest.raises(SystemExit) as ended:
            command_check.main(words[3:])
        return ended.value.code

    monkeypatch.setattr(processes, "run_quietly", run_quietly)
    words = f"train {data} --modality A --output {tmp_path / 'out'} -- --dropuot 0.3"
    assert main(words.split()) == 2
    message = "fairseq-train: error: unrecognized arguments: --dropuot 0.3; there is --dropout"
    assert message in capsys.readouterr().err
    assert [words[2] for words in ran] == [command_check.__name__]
    assert not (data / "features").exists()
    assert not (tmp_path / "out").exists()
    assert command_check.main([*ran[0][3:-2], "--dropout", "0.3"]) == 0


def test_the_linear_baseline_takes_the_options_that_are_of_it(command, toy_corpus):
    asked = ("train", toy_corpus, "--modality", "A", "--dry-run")
    further = ("--", "--dropout", "0.3", "--probe-strengths", "1,10")
    lines = command(*asked, *further).splitlines()
    probe, model = (line for line in lines if "fairseq-train " in line)
    assert probe.endswith(" --probe-strengths 1,10")
    assert model.endswith(" --dropout 0.3")
    report = shlex.split(lines[-1])
    folder = Path(options_of(shlex.split(probe))["--save-dir"])
    assert options_of(report)["--baseline"] == str(folder / "predictions.tsv")
    quick = command(*asked, "--quick", *further).splitlines()
    assert probe in quick, "another command could not continue in its folder"
    assert "# the linear baseline does not use --dropout 0.3" in quick
    assert not any("--baseline" in line for line in quick)


def test_votes_choose_the_checkpoint_of_a_model_of_votes(command, copy_toy):
    voted = copy_toy(lambda split, rows: [replace(row, votes=f"{row.emotion}:3") for row in rows])
    words = training(command, voted, "--modality", "T", "--target", "emotion_distribution")
    assert options_of(words)["--best-checkpoint-metric"] == "votes_ce"
    assert "--maximize-best-checkpoint-metric" not in words, "the lower the better"


def test_no_frames_are_stored_of_audio_that_is_augmented(command, copy_toy):
    data = copy_toy()
    stored = planned(command, data, "--modality", "A")
    assert "data_prep.extract_features" in modules(stored)
    for option in AUDIO_OPTIONS:
        words = ("train", data, "--modality", "A", "--dry-run", "--", option, "0,15")
        assert "data_prep.extract_features" not in command(*words)


def test_the_learning_rate_is_planned_for_all_processes(command, toy_corpus, monkeypatch):
    """fairseq-train takes every GPU that there is."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    words = ("--epochs", "3", "--batch-size", "4")  # of 32 rows
    on_gpus, on_cpu = (training(command, toy_corpus, *words, *w) for w in ((), ("--cpu",)))
    assert options_of(on_gpus)["--total-num-update"] == "6"
    assert options_of(on_cpu)["--total-num-update"] == "24"


def test_the_learning_rate_is_planned_for_batches_of_whole_dialogues(command, tmp_path, capsys):
    data = tmp_path / "data"
    prepare_toy(
        data,
        n_train=60,
        n_valid=8,
        n_test=8,
        speakers=(4, 2, 2),
        dialogues=True,
        with_audio=False,
    )

    def length(*further: str) -> int:
        asked = ("--dry-run", "--modality", "T", "--epochs", "3", "--batch-size", "8")
        lines = command("train", data, *asked, "--", *further).splitlines()
        words = next(line for line in lines if "fairseq-train" in line and "--text" in line)
        return int(options_of(shlex.split(words))["--total-num-update"])

    rows = read_manifest(data / "train.tsv")
    sizes = Counter(row.dialogue for row in rows)
    assert min(sizes.values()) > 4, "no two dialogues fit into a batch"
    assert length("--text-pooling", "mean") == 3 * 8  # of 60 rows
    gru = ("--text-pooling", "mean", "--dialogue-encoder", "gru")
    assert length(*gru) == 3 * len(sizes)
    assert length(*gru, "--dialogue-window=1") == 3 * 8
    manifest = data / "train.tsv"
    manifest.write_text(manifest.read_text().replace("\ttrain_000\t1\t", "\ttrain_000\t0\t"))
    words = ("train", data, "--dry-run", "--modality", "T", "--", *gru)
    assert main([str(word) for word in words]) == 1
    assert "error: the train split: dialogue 'train_000': " in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--batch-size", "8"], ["--max-epoch=3", "--update-freq", "2"]])
def test_another_length_needs_another_plan(words, toy_corpus, capsys):
    asked = ["train", str(toy_corpus), "--dry-run", "--", *words]
    assert main(asked) == 2
    error = capsys.readouterr().err
    assert words[0].partition("=")[0] in error
    assert "[schedule-mismatch]" in error
    assert main([*asked, "--total-num-update", "90"]) == 0


def test_the_legacy_layout_is_trained_as_it_is(command, legacy_corpus):
    steps = planned(command, legacy_corpus, "--cpu")
    assert modules(steps) == ["fairseq-train", "fairseq-validate", "emo_fairseq.report"]
    wanted = {"--modality": "text+speech", "--target": "emotion", "--data": str(legacy_corpus)}
    assert wanted.items() <= options_of(steps[0]).items()
    assert "--data" not in options_of(steps[2]), "which has no manifest of it"


def test_text_is_tokenized_for_its_encoder(command, copy_toy, mpnet):
    data = copy_toy()
    encoder = ["--modality", "T", "--text-encoder", mpnet]
    tokenize = "data_prep.tokenize_text"
    words = ["-m", tokenize, str(data), "--bpe", mpnet]
    assert planned(command, data, *encoder)[0][1:] == words
    assert tokenize not in modules(planned(command, data, "--modality", "A"))
    (data / "text").unlink()
    assert planned(command, data, *encoder)[0][1:] == words
    assert tokenize_text(words[2:]) == 0
    assert tokenize not in modules(planned(command, data, *encoder)), "it has these tokens"
    assert tokenize not in modules(planned(command, data, "--modality", "T")), "the only tokens"


@pytest.mark.parametrize(
    ("encoder", "code"),
    [
        ("hf:m/mpnt", "hub-unreachable"),
        ("hf:/nope", "encoder-missing"),
        ("hf:m/whisper", "encoder-unsupported"),
        ("fairseq:/nope.pt", "checkpoint-missing"),
        ("bert", "encoder-spec-invalid"),
    ],
)
def test_a_wrong_text_encoder_is_refused_before_any_step(
    encoder, code, copy_toy, models, mpnet, capsys, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    data = copy_toy()
    (data / "text").unlink()
    (models / "m" / "whisper").mkdir(exist_ok=True)
    (models / "m" / "whisper" / "config.json").write_text('{"model_type": "whisper"}')
    ended_with = main(["train", str(data), "--modality", "T", "--text-encoder", encoder])
    printed = capsys.readouterr()
    assert ended_with == (2 if printed.err.startswith("error: --") else 1)
    assert f"[{code}]" in printed.err
    assert printed.err.count("\n") == 1
    assert not (data / "text").exists()


def test_one_of_several_tokenizers_has_to_be_named_from_scratch(command, copy_toy, mpnet, capsys):
    data = copy_toy()
    shared = (data / "text").resolve()
    (data / "text").unlink()
    shutil.copytree(shared, data / "text")
    shutil.copytree(shared / "sentencepiece-400", data / "text" / "other")
    assert main(["train", str(data), "--modality", "T", "--dry-run"]) == 1
    assert "[tokens-ambiguous]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "printed"),
    [
        ("--modality T+A", "or give --modality T [column-empty]\n"),
        ("--modality T --freeze", "[encoder-not-pretrained]"),
        ("--modality T --target sentiment_score", "[target-missing]"),
        ("--modality X", "--modality 'X' is not understood"),
        ("--modality T --fold k_fold/1", "k_fold.json is not there"),
    ],
)
def test_what_cannot_be_trained_is_refused_before(asked, printed, copy_toy, capsys):
    data = copy_toy(lambda split, rows: [replace(row, audio=None, n_samples=None) for row in rows])
    ended_with = main(["train", str(data), *asked.split()])
    errors = capsys.readouterr().err
    assert printed in errors
    assert ended_with == (2 if errors.startswith("error: --") else 1)


def test_a_tokenizer_is_fitted_on_the_train_set_of_a_fold(command, copy_toy, mpnet):
    data = copy_toy()  # its tokenizer was fitted on the train split, which the folds divide
    fold_main([str(data), "--protocol", "k_fold", "--n-folds", "3", "--base", "train"])
    asked = ["--modality", "T", "--fold", "k_fold/1"]
    first = planned(command, data, *asked)[0]
    assert first[-3:] == [str(data), "--fold", "k_fold/1"]
    assert modules([first]) == ["data_prep.tokenize_text"]
    with_bert = planned(command, data, *asked, "--text-encoder", mpnet)[0]
    assert "--fold" not in with_bert, "its tokenizer is not fitted"

    text = data / "text"
    shared = text.resolve()
    text.unlink()
    shutil.copytree(shared, text)
    assert tokenize_text([str(data), "--vocab-size", "300", "--fold", "k_fold/1"]) == 0
    assert "data_prep.tokenize_text" not in modules(planned(command, data, *asked))
    other = planned(command, data, "--modality", "T", "--fold", "k_fold/2")[0]
    assert other[-1] == "k_fold/2", "the tokens of another fold are not read"
    without = planned(command, data, "--modality", "T")
    assert "data_prep.tokenize_text" not in modules(without), "those of the train split are read"


def test_the_checkpoint_knows_where_its_data_lie(command, toy_corpus, monkeypatch):
    monkeypatch.chdir(toy_corpus.parent)
    raw = ("--data-raw", toy_corpus.name)
    words = training(command, toy_corpus.name, *raw, "--modality", "A")
    places = [options_of(words)[name] for name in ("--data", "--data-raw")]
    assert places == [str(toy_corpus.resolve())] * 2


def meld(folder: Path) -> Path:
    """A small copy of MELD's official layout."""
    folder.mkdir()
    head = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,"
    for split in ("train", "dev", "test"):
        rows = [
            f'{n},"So happy, number {n}",Joey,joy,positive,{n // 4},{n % 4},1,2,"0:0:1,0","0:0:2,0"'
            for n in range(20)
        ]
        rows[1] = rows[1].replace("joy,positive", "anger,negative")
        text = "\n".join([f"{head}StartTime,EndTime", *rows])
        (folder / f"{split}_sent_emo.csv").write_text(text)
    return folder


def test_a_corpus_is_prepared_where_the_user_works(command, tmp_path, monkeypatch):
    raw = meld(tmp_path / "MELD")
    monkeypatch.chdir(tmp_path)
    (prepare,) = planned(command, raw, "--modality", "T", "--target", "sentiment")
    assert prepare[1:] == ["-m", "data_prep.meld", str(raw), "data/meld"]
    assert not (tmp_path / "data").exists(), "a dry run writes nothing"


def test_from_meld_to_figures(command, started, tmp_path, capsys, monkeypatch):
    raw = meld(tmp_path / "MELD")
    monkeypatch.chdir(tmp_path)
    short = ["--epochs", "2", "--batch-size", "8", "--cpu"]
    small = ["--", *SMALL[:8], "--embedding-dim", "16"]
    words = ["train", raw, "--target", "sentiment", *short]
    printed = command(*words, *small)
    folder = Path("checkpoints/meld/T-ST-scratch-tiny")
    for name in ("checkpoint_best.pt", "train.log", "predictions.tsv"):
        assert (folder / name).is_file()
    assert "uar" in (folder / "report" / "metrics.json").read_text()
    assert (folder / "report" / "report.html").is_file()
    assert "20 utterances; in parentheses 95% intervals over utterances" in printed
    assert "\nrows         train 20, valid 20, test 20\n" in printed
    for line in printed.partition("\nnext:\n")[2].splitlines():
        subcommand, model, *rest = shlex.split(line)[1:]
        if subcommand == "predict":
            assert "probability_positive" in command(subcommand, model, *rest)
        else:
            assert find_model(Path(model)) == folder / "checkpoint_best.pt"
    again = command(*words, "--no-report", *small)  # resumes, and ends at once
    assert "is used again" in again
    assert "data_prep.meld" not in again
    assert main([str(w) for w in [*words, "--seed", "5", *small]]) == 1
    assert "[output-in-use]" in capsys.readouterr().err
    table = raw / "train_sent_emo.csv"
    table.write_text(table.read_text().replace("anger,negative", "neutral,neutral"))
    shutil.rmtree("data")  # as the refusal of a data dir of another table asks for
    assert main([str(w) for w in [*words, *small]]) == 1
    assert "[output-of-other-rows]" in capsys.readouterr().err


def test_other_recordings_are_another_training(command, started, tmp_path, capsys, monkeypatch):
    """Of the same table: in the same folder, or in that of --data-raw."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for folder in ("raw", "clean"):
        Path(folder).mkdir()
        for row in range(12):
            soundfile.write(f"{folder}/{row}.wav", random.normal(0, 0.1, 8_000), 16_000)
    rows = [
        f"{n}.wav,{('sad', 'glad')[n % 2]},{('train', 'valid', 'test')[n % 3]}" for n in range(12)
    ]
    Path("t.csv").write_text("\n".join(["audio,emotion,split", *rows, ""]))
    words = ["train", "t.csv", "--quick", "--no-report"]
    command(*words, "--data-raw", "raw")
    shutil.copytree("raw", "moved")
    assert "is there already" in command(*words, "--data-raw", "moved")
    frames = np.load("data/t/features/log_mel/train.npy")
    assert main([*words, "--data-raw", "clean"]) == 1
    assert "[output-of-other-rows]" in capsys.readouterr().err
    assert np.array_equal(np.load("data/t/features/log_mel/train.npy"), frames), "refused first"
    clean = command(*words, "--data-raw", "clean", "--output", "clean_output")
    assert "is there already" not in clean
    assert not np.array_equal(np.load("data/t/features/log_mel/train.npy"), frames)
    shutil.copytree("clean", "raw", dirs_exist_ok=True)
    assert main([*words, "--data-raw", "raw"]) == 1
    assert "[output-of-other-rows]" in capsys.readouterr().err


@pytest.mark.parametrize(
    "asked", ["--modality T+A", "--modality T --freeze", "--modality T --lora"]
)
def test_fairseq_takes_what_is_written_for_pretrained_encoders(
    asked, command, started, copy_toy, tmp_path
):
    data = copy_toy()
    (data / "text").unlink()  # a link to the corpus that all tests share
    texts = [str(row.text) for row in read_manifest(data / "train.tsv")]
    bert = hf_folders.build(tmp_path / "bert", texts=texts)
    words = [*asked.split(), "--text-encoder", f"hf:{bert}", "--output", tmp_path / "out", "--cpu"]
    words += ["--no-probe", "--no-report"]
    short = ["--max-update", "1", "--embedding-dim", "16", "--disable-validation"]
    printed = command("train", data, *words, "--", *short)
    (folder,) = (tmp_path / "out").iterdir()
    assert "-bert" in folder.name
    assert (folder / "checkpoint_last.pt").is_file()
    assert "text: encoder hf:" in started[-2]
    assert f"{folder}/checkpoint_last.pt\n" in printed
