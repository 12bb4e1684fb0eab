"""examples/dialogues: the commands of its README, as far as the first update."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq import tasks
from fairseq_configs import fairseq_config

from data_prep.corpora.toy import prepare_toy
from data_prep.features.stored import write_split
from data_prep.schema import SPLITS, read_manifest
from emo_fairseq.experiments import sweep
from emo_fairseq.experiments.grid import plan_runs

EXAMPLE = Path(__file__).parents[2] / "examples" / "dialogues"
README = (EXAMPLE / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
TRAIN = "fairseq-hydra-train --config-dir examples/dialogues --config-name turns "
SWEEP = "python -m emo_fairseq.experiments.sweep "
WIDTH = 6  # of the features


def commands(program: str) -> list[list[str]]:
    lines = [line for line in README.splitlines() if line.startswith(program)]
    return [shlex.split(line.removeprefix(program)) for line in lines]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy dialogues with made-up features of the names that the configuration reads."""
    folder = tmp_path_factory.mktemp("dialogues") / "data"
    prepare_toy(folder, n_train=40, n_valid=24, n_test=24, speakers=(4, 2, 2), dialogues=True)
    draw = np.random.default_rng(1)
    for name in ("text", "speech"):
        for split in SPLITS:
            rows = read_manifest(folder / f"{split}.tsv")
            vectors = [draw.normal(size=(1, WIDTH)).astype(np.float32) for _ in rows]
            settings = {"dtype": "float32", "pool": "mean"}
            write_split(folder / "features" / name, split, rows, vectors, settings, "made up")
    return folder


def on(data: Path, words: list[str]) -> list[str]:
    """Return overrides with another data dir, without the folder of checkpoints."""
    kept = [word for word in words if not word.startswith(("task.data=", "checkpoint.save_dir="))]
    return [f"task.data={data}", *kept]


@pytest.mark.parametrize("words", commands(TRAIN), ids=" ".join)
def test_every_training_acts(words: list[str], data: Path) -> None:
    """Unknown or idle options are refused; turns of one dialogue are read together."""
    (run,) = plan_runs(EXAMPLE, "turns", on(data, words))
    config = fairseq_config(run.options.values)
    task = tasks.setup_task(config.task)
    model = task.build_model(config.model).eval()
    criterion = task.build_criterion(config.criterion)
    task.load_dataset("valid")
    dataset = task.dataset("valid")
    sample = dataset.collater([dataset[n] for n in range(len(dataset))])
    has_context = "task.dialogue_encoder=none" not in words
    assert ("dialogue" in sample["net_input"]) == has_context
    loss, _, _ = criterion(model, sample)
    assert torch.isfinite(loss)
    assert set(sample["net_input"]) >= set(run.options.get("task.modality").split("+"))


def test_sweeps_of_iemocap_are_of_folds_and_both_directions(data: Path) -> None:
    first, second = (sweep.make_parser().parse_intermixed_args(x) for x in commands(SWEEP))
    for args in (first, second):
        assert args.folds == "leave_one_session_out_dialogues"
        assert args.metric == ["uar", "wa"]
    runs = plan_runs(EXAMPLE, "turns", on(data, first.overrides))
    assert [run.options.seed for run in runs] == [1, 2, 3]
    runs = plan_runs(EXAMPLE, "turns", on(data, second.overrides))
    causal = [run.options.get("task.dialogue_causal") for run in runs]
    assert sorted(causal) == [False] * 3 + [True] * 3
