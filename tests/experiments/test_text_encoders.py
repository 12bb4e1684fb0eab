"""A sweep over two text encoders in one data dir, the second tokenized after the first training."""

from pathlib import Path

import hf_folders
import pytest
import yaml
from sweep_here import run_here

import emo_fairseq
from data_prep.commands.tokenize_text import tokenize_with_hf
from data_prep.corpora.toy import prepare_toy
from data_prep.schema import read_manifest
from data_prep.tokens.token_sets import token_sets

# Of what these sweeps print, no interval is compared.
pytestmark = pytest.mark.usefixtures("few_resamples")

CONFIG = {
    "common": {"user_dir": str(Path(emo_fairseq.__file__).parent), "cpu": True, "seed": 1},
    "task": {"_name": "emotion_prediction", "modality": "text", "text_encoder": "???"},
    "model": {"_name": "robertaEMO_tiny", "embedding_dim": 16},
    "criterion": {"_name": "emotion_classification"},
    "dataset": {"batch_size": 8, "num_workers": 0},
    "optimization": {"max_update": 2, "lr": [0.01]},
    "optimizer": {"_name": "adam"},
    "lr_scheduler": {"_name": "fixed"},
    "checkpoint": {"best_checkpoint_metric": "uar", "maximize_best_checkpoint_metric": True},
}


@pytest.mark.slow
def test_two_text_encoders_compare_in_one_data_dir(tmp_path: Path) -> None:
    data, runs = tmp_path / "data", tmp_path / "runs"
    prepare_toy(data, n_train=16, n_valid=8, n_test=8, speakers=(2, 2, 2))
    texts = [str(row.text) for row in read_manifest(data / "train.tsv")]
    bert, roberta = (hf_folders.build(tmp_path / n, n, texts) for n in ("bert", "roberta"))
    config = {**CONFIG, "task": {**CONFIG["task"], "data": str(data)}}
    (tmp_path / "tiny.yaml").write_text("# @package _group_\n" + yaml.safe_dump(config))
    words = ["--config-dir", str(tmp_path), "--config-name", "tiny", str(runs)]

    def sweep(*encoders: Path) -> None:
        grid = f"task.text_encoder={','.join(f'hf:{encoder}' for encoder in encoders)}"
        code, output = run_here("sweep", [*words, grid])
        assert code == 0, output

    tokenize_with_hf(data, bert)
    sweep(bert)
    (first,) = (run.parent for run in runs.rglob("predictions.tsv"))
    before = (first / "predictions.tsv").read_bytes()
    for file in first.glob("predictions*"):  # so that its checkpoint is scored again
        file.unlink()

    tokenize_with_hf(data, roberta)
    assert [tokens.name for tokens in token_sets(data, "text")] == ["bert", "roberta"]
    sweep(bert, roberta)
    assert (first / "predictions.tsv").read_bytes() == before
    second = next(run.parent for run in runs.rglob("predictions.tsv") if run.parent != first)
    assert (second / "predictions.tsv").read_bytes() != before
    for run, name in ((first, "bert"), (second, "roberta")):
        assert f"tokens of {data / 'text' / name}" in (run / "run.log").read_text()
