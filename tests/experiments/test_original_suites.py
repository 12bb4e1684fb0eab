"""The suites of the original systems: each of their choices trains on the toy corpus."""

import io
import re
from math import prod
from pathlib import Path

import hf_folders
import pytest
import torch
import yaml
from extended import all_but
from fairseq_cli import train as fairseq_train
from fairseq_configs import fairseq_config
from in_process import fresh_fairseq

from data_prep.commands import extract_features
from data_prep.commands.fit_prototypes import main as fit_prototypes
from data_prep.commands.tokenize_text import tokenize_with_hf
from data_prep.schema import read_manifest
from emo_fairseq.experiments.checkpoints import read_checkpoint
from emo_fairseq.experiments.grid import plan_runs

ORIGINALS = Path(__file__).parents[2] / "examples" / "suites" / "originals"
README = (ORIGINALS / "README.md").read_text()
NAMES = sorted(file.stem for file in ORIGINALS.glob("suite/*.yaml"))
SEED = "common.seed"
SHORT = [
    "dataset.batch_size=16",
    "dataset.num_workers=0",
    "optimization.max_epoch=1",
    "optimization.max_update=1",
    "common.cpu=true",
]


def params(name):
    suite = yaml.safe_load((ORIGINALS / "suite" / f"{name}.yaml").read_text())
    return {key: str(x).split(",") for key, x in suite["hydra"]["sweeper"]["params"].items()}


def choices(name):
    """The first seed, with each of the other choices' values beside the first of the rest."""
    first = {key: values[0] for key, values in params(name).items()}
    return [first] + [
        {**first, key: value}
        for key, values in params(name).items()
        for value in values[1:]
        if key != SEED
    ]


JOBS = {
    f"{name}-{number}": (name, choice)
    for name in NAMES
    for number, choice in enumerate(choices(name))
}
KEPT = {f"{name}-0" for name in NAMES}


@pytest.fixture(scope="module")
def models(toy_corpus, tmp_path_factory):
    """Tiny encoders of the families that the suites name, by their names."""
    folder = tmp_path_factory.mktemp("models")
    texts = [row.text for row in read_manifest(toy_corpus / "train.tsv")]
    for name, family in (("bert-base-uncased", "bert"), ("roberta-base", "roberta")):
        hf_folders.build(folder / name, family, texts=texts, n_positions=140)
    return folder


@pytest.fixture(scope="module")
def data(toy_corpus, models, tmp_path_factory):
    """The toy corpus with the files that the suites need; log-mel frames are emotion2vec's."""
    folder = tmp_path_factory.mktemp("originals") / "toy"
    folder.mkdir()
    for path in toy_corpus.iterdir():
        if path.name != "text":
            (folder / path.name).symlink_to(path)
    assert fit_prototypes([str(folder)]) == 0
    assert extract_features.main([str(folder), "--name", "emotion2vec"]) == 0
    for model in models.iterdir():
        tokenize_with_hf(folder, model)
    return folder


def plan(name, *words):
    return plan_runs(ORIGINALS, "base", [f"suite={name}", *words])


@pytest.mark.parametrize(("name", "choice"), all_but(KEPT, JOBS))
def test_suite(name, choice, data, models, tmp_path):
    (run,) = plan(name, *SHORT, f"task.data={data}", *(f"{k}={x}" for k, x in choice.items()))
    for key, value in choice.items():
        assert str(run.options.get(key)) == value
    values = {**run.options.values, **small_model(run.options, models)}
    values["checkpoint.save_dir"] = str(tmp_path)
    with fresh_fairseq(io.StringIO()):
        fairseq_train.main(fairseq_config(values))
    checkpoint = read_checkpoint(tmp_path / "checkpoint_best.pt")
    assert checkpoint.updates == 1
    for key in choice:
        assert str(checkpoint.options.get(key)) == str(values[key])


def small_model(options, models):
    """A tiny encoder in the place of the one that is named, and a fusion of a 16th of its width."""
    small = {}
    encoder = options.get("task.text_encoder")
    if encoder:
        small["task.text_encoder"] = f"hf:{models / Path(encoder).name}"
    has_fusion = "+" in options.get("task.modality") and options.get("model.fusion") != "concat"
    if has_fusion:
        width = options.get("model.fusion_embed_dim", 768)  # robertaEMO's
        small["model.fusion_embed_dim"] = width // 16
    return small


def test_readme_counts_the_runs():
    counts = re.findall(r"^\| `(\w+)` \| (\d+) \|", README, re.MULTILINE)
    assert {name: int(count) for name, count in counts} == {
        name: prod(map(len, params(name).values())) for name in NAMES
    }


GIVEN = {
    "multimodal_baseline": {
        "optimizer._name": "adam",
        "optimizer.weight_decay": 5e-6,
        "optimization.lr": [9e-3],
        "optimization.max_epoch": 30,
        "dataset.batch_size": 64,
        "lr_scheduler._name": "cosine",
        "task.curriculum_epochs": 15,
        "task.curriculum_pacing": "sqrt",
        "task.batch_sampler": "speaker_grouped",
        "criterion.class_weighting": "difficulty",
        "model.pooler_dropout": 0.1,
        "task.curriculum_final_dropout": 0.6,
    },
    "prototypical_v1": {"criterion.prototype_alpha": 1.0, "criterion.supcon_weight": 0.5},
    "prototypical_v2": {"criterion.prototype_beta": 0.5, "criterion.supcon_temperature": 0.07},
    "prototypical_v3": {"criterion.prototype_threshold": 1.0},
    "vad_regression": {
        "model.head": "linear",
        "model.text_pooling": "first",
        "task.max_text_tokens": 128,
        "optimization.lr": [2e-5],
        "optimization.max_epoch": 5,
        "dataset.batch_size": 16,
    },
}


@pytest.mark.parametrize("name", GIVEN)
def test_the_numbers_of_the_originals(name):
    run = plan(name, "task.data=x", f"{SEED}=1")[0]
    assert {key: run.options.get(key) for key in GIVEN[name]} == GIVEN[name]


def test_linear_head_reads_the_first_token(data, models, tmp_path):
    (run,) = plan("vad_regression", *SHORT, f"task.data={data}", f"{SEED}=1")
    encoder = {"task.text_encoder": f"hf:{models / 'roberta-base'}"}
    place = {"checkpoint.save_dir": str(tmp_path)}
    with fresh_fairseq(io.StringIO()):
        fairseq_train.main(fairseq_config({**run.options.values, **encoder, **place}))
    state = torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)["model"]
    assert not any(key.startswith("embedding.") for key in state)
    assert state["head.out_proj.weight"].shape == (3, hf_folders.SIZES["hidden_size"])
