"""The published commands of the BERT-like model (Siriwardhana et al. 2020), on a legacy data dir.

They are verbatim but for ``--user-dir``, ``--cpu``, sizes and length.
"""

import shlex
import shutil
from pathlib import Path

import pytest
import torch

from emo_fairseq.evaluation import predictions

TRAIN = """--data ./T_data/iemocap --restore-file None --task emotion_prediction --reset-optimizer
    --reset-dataloader --reset-meters --init-token 0 --separator-token 2 --arch robertaEMO
    --criterion emotion_prediction_cri --num-classes 8 --dropout 0.1 --attention-dropout 0.1
    --weight-decay 0.1 --optimizer adam --adam-betas "(0.9, 0.98)" --adam-eps 1e-06
    --clip-norm 0.0 --lr-scheduler polynomial_decay --lr 1e-05 --total-num-update 2760
    --warmup-updates 165 --max-epoch 10 --best-checkpoint-metric loss --encoder-attention-heads 2
    --batch-size 1 --encoder-layers-cross 1 --no-epoch-checkpoints --update-freq 8
    --find-unused-parameters --ddp-backend=no_c10d --binary-target-iemocap --a-only --t-only
    --pooler-dropout 0.1 --log-interval 1 --data-raw ./iemocap_data/"""
VALIDATE = """--data ./T_data/iemocap --path './checkpoints/checkpoint_best.pt'
    --task emotion_prediction --valid-subset test --batch-size 4"""


@pytest.fixture
def legacy_folders(legacy_corpus, tmp_path, monkeypatch):
    """The two folders of the legacy layout, where the commands expect them; the working folder."""
    lists, tokens = tmp_path / "T_data" / "iemocap", tmp_path / "iemocap_data"
    lists.mkdir()
    tokens.mkdir()
    for path in list(legacy_corpus.iterdir()):
        if path != lists:
            shutil.move(path, tokens if path.is_dir() else lists)
    monkeypatch.chdir(tmp_path)


# Sizes only: at the published ones a checkpoint takes gigabytes, and the test a minute.
SMALL = " ".join(
    f"--{modality}-{size}"
    for modality in ("text", "speech")
    for size in ("embed-dim 16", "ffn-embed-dim 16", "attention-heads 2", "encoder-layers 1")
)


@pytest.mark.usefixtures("legacy_folders")
def test_readme(fairseq, commands):
    plugin = "--cpu --user-dir " + shlex.split(commands["validate"])[1]
    trained = fairseq("train", TRAIN, plugin, SMALL, "--max-update 1")
    assert trained.figures("train")["num_updates"] == 1
    assert "binary_accuracy_happy_always_no" in trained.figures("valid")
    scored = fairseq("validate", VALIDATE, plugin, "--save-predictions predictions.tsv")
    assert scored.figures("test")["binary_accuracy_neutral_always_no"] == pytest.approx(0.8)
    rows = predictions.read(Path("predictions.tsv"))
    assert len({row["id"] for row in rows}) == len(rows) == 10


@pytest.mark.usefixtures("legacy_folders")
@pytest.mark.parametrize("arch", ["robertEMO_large", "robertaEMO_large"])
def test_large(arch, fairseq, commands):
    """The published spelling of the large one runs, too (shrunk: it has 700 million parameters)."""
    small = f"{commands['train']} --fusion-embed-dim 16"
    log = fairseq("train", TRAIN, small, f"--arch {arch} --max-update 1 --save-dir large")
    assert f"'_name': '{arch}'" in log.log
    assert log.figures("train")["num_updates"] == 1
    model = torch.load("large/checkpoint_last.pt", weights_only=True)["cfg"]["model"]
    assert model["_name"] == arch
    assert model["fusion_embed_dim"] == 16


def test_meld(write_legacy, fairseq, commands):
    """The flags of MELD: a softmax over its seven emotions."""
    for split in ("train", "valid", "test"):
        labels = {f"{split}{n}": label for n, label in enumerate(("neutral", "joy", "disgust") * 2)}
        folder = write_legacy(split, labels)
    place = ("--data", folder, "--save-dir", folder / "meld", "--batch-size 4 --max-update 1")
    flags = "--softmax-target-meld --num-classes 7 --a-only --t-only"
    log = fairseq("train", commands["train"], *place, flags)
    assert log.figures("train")["num_updates"] == 1
    assert "recall_disgust" in log.figures("valid")
    with pytest.raises(ValueError, match=r"has 7 outputs|7 outputs \(neutral, joy"):
        fairseq("train", commands["train"], *place, flags.replace("7", "8"))
    with pytest.raises(ValueError, match=r"legacy layout, which holds tokens only; choose text"):
        fairseq("train", commands["train"], *place, "--all-in --video-encoder features:faces")
