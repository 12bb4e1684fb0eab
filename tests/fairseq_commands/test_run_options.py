"""fairseq's own options: what it would assert, divide by or train wrongly with is one sentence."""

import argparse

import pytest
from in_process import PLAIN, TINY
from omegaconf import OmegaConf

from emo_fairseq.compat.run_options import _check_devices, set_default_architecture
from emo_fairseq.errors import UsageError
from emo_fairseq.models.roberta_emo import RobertaEMOModel

NEEDED = {
    "--criterion": "emotion_prediction_cri",
    "--optimizer": "adam",
    "--lr": "0.003",
    "--batch-size": "8",
    "--max-update": "2",
}
ENDLESS = {"--max-update": None, "--max-epoch": "1"}
FLAG = object()  # the value of an option that takes none


@pytest.fixture
def train(fairseq, toy_corpus, tmp_path):
    """fairseq-train with these options in the place of those of NEEDED; None leaves one out."""

    def run(options):
        given = {**NEEDED, **options}
        words = [
            name if value is FLAG else f"{name} '{value}'"
            for name, value in given.items()
            if value is not None
        ]
        place = f"--data {toy_corpus} --save-dir {tmp_path / 'run'} --modality text --no-save"
        sizes = "" if "--arch" in options else TINY
        return fairseq("train", PLAIN, sizes, place, "--disable-validation", *words)

    return run


REFUSED = {
    "no optimizer": ({"--optimizer": None}, "--optimizer is missing: add --optimizer adam"),
    "no criterion": ({"--criterion": None}, "--criterion cross_entropy: .* emotion_supcon"),
    "another arch": ({"--arch": "transformer"}, "--arch transformer: .* robertaEMO, "),
    "cosine": ({**ENDLESS, "--lr-scheduler": "cosine"}, "cosine: give --max-update"),
    "polynomial": (
        {"--lr-scheduler": "polynomial_decay"},
        "--total-num-update is missing: .* give it, such as that of --max-update",
    ),
    "inverse root": (
        {"--lr-scheduler": "inverse_sqrt", "--warmup-updates": "0"},
        "inverse_sqrt: give --warmup-updates",
    ),
    "stages": ({"--lr-scheduler": "tri_stage"}, "tri_stage: give --phase-ratio"),
    "half precision": ({"--fp16": FLAG}, "--fp16: without a GPU add --fp16-no-flatten"),
    "workers": ({"--num-workers": "-1"}, "--num-workers -1: give a whole number of 0 or more"),
    "batch": ({"--batch-size": "0"}, "--batch-size 0: give a whole number of 1 or more"),
    "tokens": ({"--max-tokens": "-5"}, "--max-tokens -5: give"),
    "uphill": ({"--lr": "-1"}, "--lr -1.0: give a number above 0"),
    "betas": ({"--adam-betas": "5"}, "--adam-betas 5: give two numbers below 1"),
    "large betas": ({"--adam-betas": "(0.9, 1.5)"}, r"--adam-betas \(0.9, 1.5\): give two"),
    "no updates": ({"--update-freq": "0"}, "--update-freq 0: give"),
    "log": ({"--log-interval": "0"}, "--log-interval 0: give"),
    "validation": ({"--validate-interval": "0"}, "--validate-interval 0: give"),
    "seed": ({"--seed": "-1"}, "--seed -1: give"),
    "large seed": ({"--seed": "4294967296"}, "--seed 4294967296: give a number up to"),
    "nothing to restore": ({"--restore-file": "no.pt"}, "--restore-file no.pt: there is no such"),
    "nothing to tune": (
        {"--finetune-from-model": "no.pt"},
        "--finetune-from-model no.pt: there is no such file",
    ),
    "ranks": ({"--distributed-world-size": "64"}, "--distributed-world-size 64: there are"),
    "sharded average": (
        {"--ddp-backend": "fully_sharded", "--store-ema": FLAG},
        "--store-ema: cannot be combined with --ddp-backend fully_sharded; leave it out",
    ),
    "sharded confidence": (
        {"--ddp-backend": "fully_sharded", "--curriculum-order": "model_confidence"},
        "--curriculum-order model_confidence: cannot .* choose another order",
    ),
}


@pytest.mark.parametrize(("options", "said"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_before_anything_is_read(options, said, train, tmp_path, monkeypatch):
    def never(*_, **__):
        raise AssertionError("the data was read")

    monkeypatch.setattr("emo_fairseq.tasks.emotion_prediction.DataDir", never)
    with pytest.raises(UsageError, match=said):
        train(options)
    assert not (tmp_path / "run").exists()


def test_what_is_right_is_trained_with_the_default_architecture(train):
    heard = train({"--lr": None, "--lr-scheduler": "cosine", "--warmup-updates": "5"})
    assert "--warmup-updates 5: not fewer than the 2 updates of --lr-scheduler cosine" in heard.log
    assert "--lr is 0.25, fairseq's default" in heard.log
    assert "done training" in heard.log


def test_a_warmup_before_the_first_period_of_cosine_is_no_mistake(train):
    options = {"--lr-scheduler": "cosine", "--lr-period-updates": "1", "--warmup-updates": "1"}
    heard = train(options)
    assert "so that the learning rate never falls" not in heard.log


def test_two_batches_of_an_update_are_one_of_twice_the_size(train, monkeypatch):
    """The same losses and gradients, one step of the optimizer, one forward pass of each row."""
    forward, rows = RobertaEMOModel.forward, []

    def counted(model, *args, **kwargs):
        output = forward(model, *args, **kwargs)
        rows.append(len(output.logits))
        return output

    monkeypatch.setattr(RobertaEMOModel, "forward", counted)
    still = {f"--{name}dropout": "0" for name in ("", "attention-", "pooler-")}
    still |= {"--max-update": "3", "--clip-norm": "0.1", "--criterion": "emotion_classification"}
    still |= {"--class-weighting": "inverse_frequency"}
    updates, sizes = [], []
    for batch_size, update_freq in (("32", "1"), ("16", "2")):
        options = {"--batch-size": batch_size, "--update-freq": update_freq, **still}
        updates.append(train(options).all_figures("train_inner"))
        sizes.append(list(rows))
        rows.clear()
    whole, added_up = updates
    for name in ("num_updates", "loss", "gnorm", "wa"):
        expected = [update[name] for update in whole]
        assert [update[name] for update in added_up] == pytest.approx(expected, rel=1e-3), name
    assert sizes == [[32] * 3, [16] * 6]


@pytest.mark.parametrize(
    "environment",
    [
        {"MASTER_ADDR": "a", "MASTER_PORT": "1", "WORLD_SIZE": "16", "RANK": "0"},
        {"SLURM_STEP_NODELIST": "a[1-2]"},
        {},
    ],
    ids=["torchrun", "Slurm", "none"],
)
def test_ranks_on_other_machines_are_not_counted_by_the_gpus_of_this_one(environment, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ranks = {"distributed_init_method": None, "distributed_world_size": 16, "distributed_port": 9}
    cfg = OmegaConf.create({"common": {"cpu": True, "fp16": False}, "distributed_training": ranks})
    if environment:
        _check_devices(cfg)
        return
    with pytest.raises(UsageError, match="0 GPUs that can be used here; with --cpu give 1"):
        _check_devices(cfg)


@pytest.mark.parametrize(("task", "arch"), [("emotion_prediction", "robertaEMO"), ("x", None)])
def test_the_default_architecture_is_of_this_task_alone(task, arch):
    parser = argparse.ArgumentParser()
    parser.add_argument("--arch")
    set_default_architecture(parser, task)
    assert parser.parse_args([]).arch == arch
    without = argparse.ArgumentParser()
    set_default_architecture(without, task)
    assert not hasattr(without.parse_args([]), "arch")
