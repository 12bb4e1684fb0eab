"""Two ranks (gloo, on CPU) measure what one rank measures, and each utterance once."""

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from extended import all_but
from fairseq_process import Finished

from emo_fairseq.evaluation import predictions

TARGETS = ("binary_emotion", "vad")  # the former logs the figures of emotion too
SPEECH = "--speech-input log_mel --batch-size 8 --max-update 2 --disable-validation"
UNEQUAL = {"wps", "ups", "wpb", "bsz", "wall", "train_wall"}  # of fairseq: speed, and rows a step


@pytest.mark.parametrize("target", all_but({"vad"}, TARGETS))
def test_scoring(target, trained, on_two_ranks, fairseq, commands, toy_corpus, tmp_path):
    options = f"{SPEECH} --target {target}"
    checkpoint = f"--path {trained(options)} --data {toy_corpus} --valid-subset test"
    # 12 utterances make 3 batches: the second rank has nothing to do in the last step.
    score = [commands["validate"], checkpoint, "--batch-size 5"]
    save = "--save-predictions {0}.tsv --save-embeddings {0}.npz"
    one = fairseq("validate", *score, save.format(tmp_path / "one"))
    two = on_two_ranks("validate", *score, save.format(tmp_path / "two"))
    assert_same_figures(one.figures("test"), two.figures("test"))
    ids = [row["id"] for row in predictions.read(tmp_path / "one.tsv")]
    assert len(set(ids)) == 12
    assert (tmp_path / "two.tsv").read_text() == (tmp_path / "one.tsv").read_text()
    vectors = [np.load(tmp_path / f"{name}.npz") for name in ("one", "two")]
    assert vectors[0]["ids"].tolist() == vectors[1]["ids"].tolist()
    np.testing.assert_allclose(*(found["embeddings"] for found in vectors), atol=1e-6)


@pytest.mark.parametrize("target", all_but({"vad"}, TARGETS))
def test_validation_in_training(target, on_two_ranks, fairseq, commands, toy_corpus, tmp_path):
    # Weights that do not move: both are measured as they were drawn. 8 utterances, 3 batches.
    still = f"--optimizer sgd --lr 0 --batch-size 3 --max-update 1 --target {target}"
    train = [commands["train"], f"--data {toy_corpus} --modality text", still]
    one = fairseq("train", *train, f"--save-dir {tmp_path / 'one'}")
    apart = "--ddp-backend no_c10d"  # torch's own wrapper is for GPUs here
    two = on_two_ranks("train", *train, apart, f"--save-dir {tmp_path / 'two'}")
    assert_same_figures(one.figures("valid"), two.figures("valid"))


@pytest.mark.slow
@pytest.mark.extended
def test_torchrun(trained, fairseq, commands, toy_corpus, tmp_path):
    """As the README has it."""
    options = f"{SPEECH} --target vad"
    checkpoint = f"--path {trained(options)} --data {toy_corpus} --valid-subset test"
    score = f"{commands['validate']} {checkpoint} --batch-size 5"
    one = fairseq("validate", score)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [Path(sys.executable).with_name("fairseq-validate"), *shlex.split(score)]
    words = [*launch, *command, "--distributed-backend", "gloo"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (done.stdout + done.stderr).count("initialized host") == 2
    lines = Finished(0, done.stdout, "").all_figures("test")
    assert len(lines) == 2  # each rank has them all
    for figures in lines:
        assert_same_figures(one.figures("test"), figures)


def assert_same_figures(one, two):
    assert one.keys() == two.keys()
    assert len(one.keys() - UNEQUAL) >= 8
    for name in one.keys() - UNEQUAL:
        assert two[name] == pytest.approx(one[name], abs=1e-6, nan_ok=True), name
