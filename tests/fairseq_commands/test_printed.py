"""What fairseq-train and fairseq-validate print by default, and the configuration as a file."""

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from fairseq_process import TOOLS
from in_process import PLAIN, TINY, TRAIN, run_tool

from emo_fairseq.compat.verbosity import VERBOSE_SWITCH

QUIET = TRAIN.replace(" --log-format simple", "")
EPOCHS = "--modality text --batch-size 8 --max-epoch 2"


@pytest.fixture(autouse=True)
def _not_verbose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VERBOSE_SWITCH)


def test_a_training_prints_a_line_a_validation(toy_corpus: Path, tmp_path: Path, run_here) -> None:
    folder = tmp_path / "run"
    log = tmp_path / "train.log"
    place = f"--data {toy_corpus} --save-dir {folder} --log-format json --log-file {log}"
    lines = run_tool(TOOLS["train"], "fairseq-train", QUIET, TINY, EPOCHS, place).splitlines()
    assert sum(map(len, lines)) < 2000
    assert not any("'_name'" in line or "(encoders)" in line for line in lines)
    texts = [line.partition(" | ")[2] for line in lines]
    validations = [text for text in texts if " | valid loss " in text]
    assert [text.partition(" | ")[0] for text in validations] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert texts[-1].startswith("trained to epoch 2, 8 updates, in 0:00:")
    # The file has what fairseq writes: the same metrics, unrounded.
    entries = [json.loads(line) for line in log.read_text().splitlines() if line.startswith('{"')]
    losses = {entry["epoch"]: entry["valid_loss"] for entry in entries if "valid_loss" in entry}
    printed = [float(re.search(r"valid loss ([\d.]+)", text)[1]) for text in validations]
    assert printed == pytest.approx([float(loss) for loss in losses.values()], abs=5e-4)
    # The configuration is a file, with the values that checkpoints hold.
    assert f"configuration: {folder / 'training.yaml'}" in texts
    written = yaml.safe_load((folder / "training.yaml").read_text())
    saved = torch.load(folder / "checkpoint_last.pt", weights_only=False)["cfg"]
    assert written["task"]["data"] == str(toy_corpus)
    assert written["model"]["text_embed_dim"] == saved["model"]["text_embed_dim"] == 16
    assert written["optimization"]["max_epoch"] == saved["optimization"]["max_epoch"] == 2
    environment = json.loads((folder / "environment.json").read_text())
    assert (environment["torch"], environment["gpus"]) == (torch.__version__, [])
    # By which the same is trained again; another environment is named.
    (folder / "environment.json").write_text(json.dumps({**environment, "torch": "2.0"}))
    place = f"--config-dir {folder} --config-name training"
    again = "checkpoint.save_dir=again common.log_file=again.log optimization.max_epoch=1"
    finished = run_here("hydra-train", place, again)
    assert finished.code == 0, finished.errors
    changed = f"another environment (torch 2.0 -> {torch.__version__}), so that metrics may differ"
    assert f"{folder / 'environment.json'}: the original training had {changed}" in finished.log
    assert json.loads((tmp_path / "again" / "environment.json").read_text()) == environment
    lines = (tmp_path / "again.log").read_text().splitlines()
    entries = [json.loads(line) for line in lines if line.startswith('{"')]
    assert next(e["valid_loss"] for e in entries if "valid_loss" in e) == losses[1]


def test_a_validation_prints_its_metrics_and_files(
    trained, toy_corpus: Path, tmp_path: Path
) -> None:
    checkpoint = trained("--modality text --batch-size 8 --max-epoch 2 --save-interval 2")
    place = f"--data {toy_corpus} --path {checkpoint} --valid-subset valid,test --batch-size 4"
    options = PLAIN.replace(" --log-format simple", "")
    saved = tmp_path / "predictions.tsv"
    save = f"--save-predictions {saved}"
    printed = run_tool(TOOLS["validate"], "fairseq-validate", options, place, save)
    texts = [line.partition(" | ")[2] for line in printed.splitlines()]
    results = [text for text in texts if ": loss " in text]
    assert [text.partition(":")[0] for text in results] == ["valid", "test"]
    assert all("recall_" in text and "wps" not in text for text in results)
    assert [text for text in texts if "written: " in text] == [f"written: {saved}"]
    assert len(texts) == 5  # and what is scored, for each of the two
