"""``--find-batch-size``: sizes that are tried on a model of known memory, and on a real one."""

import argparse
import json
import shlex
from pathlib import Path

import pytest
import torch
from codes import raises

from data_prep.files.documents import load_json
from emo_fairseq.cli import processes
from emo_fairseq.cli.train import batch_trial
from emo_fairseq.cli.train.batch_size import Trial, find_batch_size


class Known:
    """A training whose memory is known: some for the model, some for each utterance."""

    is_on_gpu = False

    def __init__(self, batch_size: int, fits: int = 1_000) -> None:
        self.batch_size, self.fits = batch_size, fits
        self.tried: list[int] = []

    def update(self, size: int) -> None:
        if self.is_on_gpu and size > self.fits:
            raise torch.cuda.OutOfMemoryError
        self.tried.append(size)

    def used_bytes(self) -> int:
        return 100 + 10 * self.tried[-1]


@pytest.mark.parametrize(
    ("batch_size", "limit", "tried"),
    [
        (32, 1_000, [1, 2, 4, 8, 16, 32]),
        (32, 200, [1, 2, 4, 8]),  # 16 would take 260
        (12, 150, [1, 2, 3, 4]),  # 6 would take 160
        (1, 1_000, [1]),
    ],
)
def test_sizes_grow_until_the_limit(batch_size, limit, tried):
    training = Known(batch_size)
    found = batch_trial.try_sizes(training, limit)
    assert training.tried == tried
    assert (found["batch_size"], found["requested"]) == (tried[-1], batch_size)


def test_sizes_grow_until_the_gpu_is_full():
    training = Known(32, fits=8)
    training.is_on_gpu = True
    assert batch_trial.try_sizes(training, 0)["batch_size"] == 8
    training.fits = 0
    with raises("memory-too-small"):
        batch_trial.try_sizes(training, 0)


@pytest.fixture
def found(tmp_path, monkeypatch):
    """The words of a training after a trial with this result."""

    def find(words: str, **result: object) -> tuple[list[str], int]:
        started: list[object] = []

        def run(words: list[str]) -> int:
            started.append(words)
            content = {"megabytes": 1, "stopped_by": "it is full", **result}
            (tmp_path / "batch_size.json").write_text(json.dumps(content))
            return 0

        monkeypatch.setattr(processes, "run", run)
        options = argparse.Namespace(memory_limit=None)
        code, changed = find_batch_size(options, words.split(), tmp_path)
        assert code == 0
        return changed, len(started)

    return find


def test_an_update_keeps_its_size(found):
    words, _ = found("fairseq-train --batch-size 32 --cpu", batch_size=8, requested=32)
    assert words == ["fairseq-train", "--batch-size", "8", "--cpu", "--update-freq", "4"]


def test_a_training_that_goes_on_keeps_its_batches(found, tmp_path):
    (tmp_path / "checkpoint_last.pt").touch()
    words = "fairseq-train --batch-size 32"
    first, n_trials = found(words, batch_size=8, requested=32)
    assert n_trials == 1, "there is no result of an earlier one"
    assert found(words, batch_size=4, requested=32) == (first, 0)


def test_a_real_model_is_tried(toy_corpus, tmp_path):
    from in_process import TINY, TRAIN

    file = tmp_path / "result.json"
    words = shlex.split(f"{TRAIN} {TINY} --data {toy_corpus} --modality text --batch-size 4")
    batch_trial.main(["--result", str(file), "--memory-limit", "100", "--", *words])
    trial = load_json(Path(file), Trial, remedy="")
    assert (trial.batch_size, trial.requested) == (4, 4)
    assert trial.megabytes > 100, "of this process"
