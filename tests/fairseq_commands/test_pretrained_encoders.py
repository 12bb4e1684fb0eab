"""Pretrained encoders through fairseq's own tools: fine-tuned, staged, adapted, resumed, scored."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hf_folders
import pytest
import torch
from codes import raises
from toy_copies import copy_of_toy

from data_prep.commands.tokenize_text import tokenize_with_hf
from data_prep.schema import read_manifest
from emo_fairseq.errors import UsageError
from emo_fairseq.export.merge_lora import main as merge_lora

Fairseq = Callable[..., Any]

OPTIONS = """--arch robertaEMO_tiny --criterion emotion_classification --lr 0.003
    --optimizer emotion_adamw --clip-norm 1.0
    --batch-size 8 --no-epoch-checkpoints --embedding-dim 16 --fusion-embed-dim 16
    --encoder-attention-heads 2"""


@pytest.fixture(scope="module")
def built(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy corpus, its text in the words of a tiny BERT that lies beside it."""
    folder = tmp_path_factory.mktemp("built")
    data_dir = copy_of_toy(toy_corpus, folder / "toy")
    texts = [str(row.text) for row in read_manifest(data_dir / "train.tsv")]
    hf_folders.build(folder / "bert", texts=texts)
    (data_dir / "text").unlink()  # a link to the corpus that all tests share
    tokenize_with_hf(data_dir, folder / "bert")
    return folder


@pytest.fixture
def data(built: Path, tmp_path: Path) -> Path:
    """That corpus, in a folder of the test's own."""
    shutil.copytree(built, tmp_path, symlinks=True, dirs_exist_ok=True)
    return tmp_path / "toy"


@pytest.fixture
def train(fairseq: Fairseq, commands: dict[str, str], data: Path, tmp_path: Path) -> Fairseq:
    """Train one stage in a folder of its name; returns its log."""

    def run(stage: str, *options: str, updates: int = 4) -> str:
        place = f"--data {data} --save-dir {tmp_path / stage} --max-update {updates}"
        log: str = fairseq("train", commands["validate"], OPTIONS, place, *options).log
        return log

    return run


@pytest.fixture
def score(fairseq: Fairseq, commands: dict[str, str], data: Path, tmp_path: Path) -> Fairseq:
    """Score a checkpoint on the test split; returns its loss."""

    def run(checkpoint: Path, *options: str) -> float:
        place = f"--data {data} --path {checkpoint} --valid-subset test --batch-size 5"
        figures = fairseq("validate", commands["validate"], place, *options).figures("test")
        return float(figures["loss"])

    return run


def bert(tmp_path: Path) -> str:
    return f"--text-encoder hf:{tmp_path / 'bert'} --text-pooling mean"


def test_it_is_scored_and_resumed_without_the_pretrained_folder(
    train: Fairseq, score: Fairseq, tmp_path: Path
) -> None:
    options = f"--modality text {bert(tmp_path)}"
    train("whole", options, updates=8)
    train("cut", options, updates=4)
    last = tmp_path / "cut" / "checkpoint_last.pt"
    before = score(last)
    shutil.rmtree(tmp_path / "bert")
    assert score(last) == before
    train("cut", options, updates=8)
    resumed, whole = (
        torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=True)
        for name in ("cut", "whole")
    )
    assert resumed["optimizer_history"][-1]["num_updates"] == 8
    for name, value in whole["model"].items():
        assert torch.equal(resumed["model"][name], value), name
    with raises("encoder-missing"):
        train("new", options)


def test_three_stages(train: Fairseq, score: Fairseq, tmp_path: Path) -> None:
    """Text in full, then text and speech in full, then the head alone."""
    encoders = f"{bert(tmp_path)} --speech-encoder scratch:tiny --speech-encoder-layers 1"
    both = f"--modality text+speech {encoders} --max-speech-seconds 0.5"
    train("text", f"--modality text {bert(tmp_path)}")
    first = tmp_path / "text" / "checkpoint_last.pt"
    log = train("both", both, f"--init-from {first}")
    assert re.search(r"--init-from .*: loaded .* of encoders\.text, .*2 of head", log)
    assert re.search(r"--init-from .*: new .* of encoders\.speech", log)
    second = tmp_path / "both" / "checkpoint_last.pt"
    tuning = "--text-tuning frozen --speech-tuning frozen --fusion-tuning frozen"
    train("head", both, f"--init-from {second} {tuning}")
    third = tmp_path / "head" / "checkpoint_last.pt"
    before, after = (torch.load(file, weights_only=True)["model"] for file in (second, third))
    changed = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert changed == {"embedding", "head"}
    assert score(third) > 0


def test_lora_is_merged_into_a_plain_checkpoint(
    train: Fairseq, score: Fairseq, tmp_path: Path
) -> None:
    train("lora", f"--modality text {bert(tmp_path)} --text-tuning lora --lora-targets query,ffn")
    adapted, merged = tmp_path / "lora" / "checkpoint_last.pt", tmp_path / "merged.pt"
    assert merge_lora([str(adapted), str(merged)]) == 0
    state = torch.load(merged, weights_only=False)
    assert not any("lora" in name for name in state["model"])
    assert score(merged) == score(adapted)
    with pytest.raises(UsageError, match="no encoder has LoRA"):
        merge_lora([str(merged), str(tmp_path / "again.pt")])


def test_adapters_alone_can_be_saved(train: Fairseq, score: Fairseq, tmp_path: Path) -> None:
    lora = f"--modality text {bert(tmp_path)} --text-tuning lora"
    train("all", lora)
    train("few", f"{lora} --checkpoint-weights trained", updates=2)
    train("few", f"{lora} --checkpoint-weights trained")  # resumed
    few = tmp_path / "few" / "checkpoint_last.pt"
    saved = torch.load(few, weights_only=True)["model"]
    in_encoder = [name for name in saved if name.startswith("encoders.")]
    assert in_encoder
    assert all("parametrizations.weight.0." in name for name in in_encoder)
    assert score(few) == score(tmp_path / "all" / "checkpoint_last.pt")
    shutil.rmtree(tmp_path / "bert")
    with raises("encoder-missing"):
        score(few)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--text-embed-dim 8", "--text-embed-dim does not act"),
        ("--max-text-tokens 99", "has 40 positions"),
        ("--checkpoint-weights trained", "no pretrained encoder is frozen or has LoRA"),
        ("--optimizer adam --layer-lr-decay 0.5", "need --optimizer emotion_adamw"),
        ("--fp16", "add --fp16-no-flatten-grads"),
        ("--amp", "scales the gradients down twice"),
    ],
)
def test_options_that_cannot_be_are_refused(
    train: Fairseq, tmp_path: Path, options: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train("refused", f"--modality text {bert(tmp_path)} {options}")


def test_text_in_other_words_is_refused(
    fairseq: Fairseq, commands: dict[str, str], toy_corpus: Path, tmp_path: Path
) -> None:
    hf_folders.build(tmp_path / "bert")
    place = f"--data {toy_corpus} --save-dir {tmp_path / 'x'} --modality text --max-update 1"
    with pytest.raises(UsageError, match=r"tokenize with that model's own tokenizer.*--bpe hf:"):
        fairseq("train", commands["validate"], OPTIONS, place, bert(tmp_path))


@pytest.mark.parametrize("precision", ["--bf16", "--fp16 --fp16-no-flatten-grads"])
def test_half_precision_learns_what_single_precision_learns(
    train: Fairseq, score: Fairseq, tmp_path: Path, precision: str
) -> None:
    options = f"--modality text {bert(tmp_path)}"
    train("single", options, updates=6)
    train("half", options, precision, updates=6)
    single, half = (score(tmp_path / run / "checkpoint_last.pt") for run in ("single", "half"))
    assert half == pytest.approx(single, rel=0.05)


def test_frozen_encoders_in_half_precision_and_masked(
    train: Fairseq, score: Fairseq, data: Path, tmp_path: Path
) -> None:
    speech = "--speech-encoder scratch:tiny --speech-encoder-layers 1 --max-speech-seconds 0.5"
    both = f"--modality T+A {bert(tmp_path)} {speech}"
    train("frozen", both, "--text-tuning frozen --bf16")
    assert len(list((data / "cache" / "text").glob("*/card.yaml"))) == 2  # train, valid
    checkpoint = tmp_path / "frozen" / "checkpoint_last.pt"
    whole = score(checkpoint)
    assert score(checkpoint, "--mask-modality text") != whole
    assert score(checkpoint, "--no-encoder-cache") == pytest.approx(whole, rel=1e-3)


def test_the_options_of_the_documentation(train: Fairseq, tmp_path: Path) -> None:
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "how-to" / "pretrained_text_encoder.md").read_text()
    of_model = r"(--modality text --text-encoder hf:.*?--fp16-no-flatten-grads)"
    (lines,) = re.findall(of_model, page, re.DOTALL)
    options = lines.replace("\\\n", " ").replace("models/mpnet", str(tmp_path / "bert"))
    assert "num_updates=1" in train("page", options, "--log-interval 1", updates=1)
