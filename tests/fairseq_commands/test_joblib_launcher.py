"""The jobs of a sweep in processes of their own, by Hydra's launcher for joblib."""

from pathlib import Path

import pytest
import torch
from in_process import run_tool

SUITES = Path(__file__).parents[2] / "examples" / "suites"
SIZES = {"embed_dim": 16, "ffn_embed_dim": 16, "attention_heads": 2, "encoder_layers": 1}


@pytest.mark.slow
@pytest.mark.extended
def test_two_jobs_at_a_time(commands, toy_corpus, tmp_path, monkeypatch):
    """Two fusions; one of them trained alone ends with the same weights."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    monkeypatch.chdir(tmp_path)
    common = [
        f"--config-dir {SUITES} --config-name base suite=fusion_ablation common.seed=1",
        f"common.user_dir={commands['validate'].split()[1]} task.data={toy_corpus}",
        "dataset.num_workers=0 optimization.max_update=2",
        " ".join(f"+model.{of}_{k}={x}" for of in ("text", "speech") for k, x in SIZES.items()),
    ]
    launcher = "hydra/launcher=joblib hydra.launcher.n_jobs=2 model.fusion=concat,gated"
    alone = "model.fusion=gated checkpoint.save_dir=alone"
    for words in (["-m", *common, launcher], [*common, alone]):
        run_tool("fairseq_cli.hydra_train", "fairseq-hydra-train", *words)
    folder = tmp_path / "checkpoints" / "suites" / "fusion_ablation"
    states = [
        torch.load(run / "checkpoint_last.pt", weights_only=True)
        for run in (folder / "concat" / "seed1", folder / "gated" / "seed1", tmp_path / "alone")
    ]
    concat, gated, expected = (state["model"] for state in states)
    assert concat.keys() != gated.keys()
    assert gated.keys() == expected.keys()
    assert all(torch.equal(gated[key], expected[key]) for key in expected)
    assert [state["optimizer_history"][-1]["num_updates"] for state in states] == [2, 2, 2]
