"""examples/pretrained: each YAML trains a tiny encoder, and the README's sweeps can be read."""

import dataclasses
import re
import shlex
from pathlib import Path

import hf_folders
import numpy as np
import pytest

from data_prep.commands import extract_features
from data_prep.commands.tokenize_text import tokenize_with_hf
from data_prep.schema import read_manifest
from emo_fairseq.data.augmentation.audio_transforms import AudioTransforms
from emo_fairseq.experiments import sweep
from emo_fairseq.experiments.grid import combinations

EXAMPLE = Path(__file__).parents[2] / "examples" / "pretrained"
README = (EXAMPLE / "README.md").read_text().replace("\\\n", " ")
SWEEP = "python -m emo_fairseq.experiments.sweep "


@pytest.fixture
def hydra(run_here, commands, tmp_path):
    def run(name, *overrides):
        plugin = commands["validate"].split()[1]
        finished = run_here(
            "hydra-train",
            f"--config-dir {EXAMPLE} --config-name {name} common.user_dir={plugin}",
            f"checkpoint.save_dir={tmp_path / 'run'} dataset.num_workers=0 dataset.batch_size=8",
            *overrides,
        )
        assert finished.code == 0, finished.errors[-2000:]
        assert (tmp_path / "run" / "checkpoint_best.pt").is_file()
        return finished.log

    return run


def test_text(copy_toy, hydra, tmp_path):
    data = copy_toy()
    (data / "text").unlink()
    texts = [row.text for row in read_manifest(data / "train.tsv")]
    hf_folders.build(tmp_path / "bert", texts=texts)
    tokenize_with_hf(data, tmp_path / "bert")
    log = hydra(
        "text",
        f"task.data={data} task.text_encoder=hf:{tmp_path / 'bert'} +task.max_text_tokens=30",
        "optimization.max_update=2 lr_scheduler.total_num_update=939",
    )
    assert f"text: encoder hf:{tmp_path / 'bert'}" in log


def test_stages(copy_toy, hydra, tmp_path):
    """All three, each from the one before, as the README has them."""
    data = copy_toy(with_dialogues)
    (data / "text").unlink()
    texts = [row.text for row in read_manifest(data / "train.tsv")]
    hf_folders.build(tmp_path / "bert", texts=texts)
    tokenize_with_hf(data, tmp_path / "bert")
    common = f"task.data={data} task.text_encoder=hf:{tmp_path / 'bert'} optimization.max_update=4"
    vad, emotion, dialogue = (
        shlex.split(line.partition("--config-name text ")[2])
        for line in README.splitlines()
        if "+stage=" in line
    )
    hydra("text", vad[0], common)
    (tmp_path / "run").rename(tmp_path / "vad")
    hydra("text", emotion[0], common, f"task.init_from={tmp_path / 'vad' / 'checkpoint_best.pt'}")
    (tmp_path / "run").rename(tmp_path / "emotion")
    first = f"task.init_from={tmp_path / 'emotion' / 'checkpoint1.pt'}"
    joined = [word for word in dialogue if word.startswith("+")]
    log = hydra("text", *joined, "task.max_text_tokens=30", common, first)
    assert re.search(r"--init-from .*checkpoint1\.pt: loaded .* of encoders\.text, .* of head", log)
    assert len(joined) == 5


def with_dialogues(split, rows):
    """Dialogues of four turns."""
    return [
        dataclasses.replace(row, dialogue=f"{split}{number // 4}", turn=number % 4)
        for number, row in enumerate(rows)
    ]


def test_frames(copy_toy, hydra):
    data = copy_toy()  # log-mel frames stand for those of an encoder
    assert extract_features.main([str(data), "--name", "encoder"]) == 0
    hydra(
        "frames",
        f"task.data={data} model.speech_embed_dim=16",
        "optimization.max_update=2 lr_scheduler.total_num_update=300",
    )


def test_layers(copy_toy, hydra, tmp_path):
    """Copies of another loudness, which need no further library."""
    data = copy_toy()
    encoder = hf_folders.build_whisper(tmp_path / "whisper")
    log = hydra(
        "layers",
        f"task.data={data} task.speech_encoder=hf:{encoder} ~task.augment_transforms",
        "+task.augment_gain=6 optimization.max_update=2 lr_scheduler.total_num_update=300",
    )
    assert "speech: fitting statistics" in log
    assert "fused vectors: fitting statistics" in log


def test_transforms_of_the_layers():
    pytest.importorskip("audiomentations", reason="the extra augment is not installed")
    transforms = AudioTransforms(EXAMPLE / "transforms.yaml")
    generator = np.random.default_rng(1)
    samples = generator.normal(scale=0.1, size=16000).astype(np.float32)
    assert not np.array_equal(transforms(samples, generator), samples)


def test_the_sweeps_of_the_readme():
    words = [shlex.split(x.removeprefix(SWEEP)) for x in README.splitlines() if x.startswith(SWEEP)]
    found = [sweep.make_parser().parse_intermixed_args(x) for x in words]
    assert [options.config_name for options in found] == ["text", "frames", "frames", "layers"]
    assert [len(combinations(options.overrides)) for options in found] == [3, 3, 1, 3]
    folds = "leave_speaker_group_out"
    assert [options.folds for options in found] == [None, folds, folds, folds]
