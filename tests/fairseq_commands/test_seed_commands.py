"""The commands of the seed's README, verbatim but for ``--user-dir``, ``--cpu``, their length."""

import shlex
import shutil

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
def seed_folders(legacy_corpus, tmp_path):
    """The seed's two folders, where its commands expect them; the commands run in `tmp_path`."""
    lists, tokens = tmp_path / "T_data" / "iemocap", tmp_path / "iemocap_data"
    lists.mkdir()
    tokens.mkdir()
    for path in list(legacy_corpus.iterdir()):
        if path != lists:
            shutil.move(path, tokens if path.is_dir() else lists)
    return tmp_path


# Sizes only: of the real ones a checkpoint takes gigabytes, and the test a minute.
SMALL = " ".join(
    f"--{modality}-{size}"
    for modality in ("text", "speech")
    for size in ("embed-dim 16", "ffn-embed-dim 16", "attention-heads 2", "encoder-layers 1")
)


@pytest.mark.slow
def test_readme(seed_folders, fairseq_process, commands):
    plugin = "--cpu --user-dir " + shlex.split(commands["validate"])[1]
    trained = fairseq_process("train", TRAIN, plugin, SMALL, "--max-update 1").wait()
    assert trained.code == 0, trained.errors[-2000:]
    assert trained.figures("train")["num_updates"] == 1
    assert "binary_accuracy_happy_always_no" in trained.figures("valid")
    save = "--save-predictions predictions.tsv"
    scored = fairseq_process("validate", VALIDATE, plugin, save).wait()
    assert scored.code == 0, scored.errors[-2000:]
    assert scored.figures("test")["binary_accuracy_neutral_always_no"] == pytest.approx(0.8)
    rows = predictions.read(seed_folders / "predictions.tsv")
    assert len({row["id"] for row in rows}) == len(rows) == 10


@pytest.mark.parametrize("arch", ["robertEMO_large", "robertaEMO_large"])
def test_large(arch, seed_folders, fairseq, commands, monkeypatch):
    """The seed's spelling of the large one runs too (shrunk: it has 700 million parameters)."""
    monkeypatch.chdir(seed_folders)
    small = f"{commands['train']} --fusion-embed-dim 16"
    log = fairseq("train", TRAIN, small, f"--arch {arch} --max-update 1 --save-dir large")
    assert f"'_name': '{arch}'" in log.log
    assert log.figures("train")["num_updates"] == 1
    layers = torch.load("large/checkpoint_last.pt", weights_only=True)["cfg"]["model"]
    assert layers["_name"] == arch
    assert layers["fusion_embed_dim"] == 16
