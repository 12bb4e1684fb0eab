"""The jobs of a sweep in processes of their own, by Hydra's launcher for joblib."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SUITES = Path(__file__).parents[2] / "examples" / "suites"
SIZES = {"embed_dim": 16, "ffn_embed_dim": 16, "attention_heads": 2, "encoder_layers": 1}


@pytest.mark.slow
def test_two_jobs_at_a_time(fairseq_process, commands, toy_corpus, tmp_path):
    """Two fusions; one of them alone ends with the same weights."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    common = [
        f"--config-dir {SUITES} --config-name base suite=fusion_ablation common.seed=1",
        f"common.user_dir={commands['validate'].split()[1]} task.data={toy_corpus}",
        "dataset.num_workers=0 optimization.max_update=2",
        " ".join(f"+model.{of}_{k}={x}" for of in ("text", "speech") for k, x in SIZES.items()),
    ]
    launcher = "hydra/launcher=joblib hydra.launcher.n_jobs=2 model.fusion=concat,gated"
    # A command of its own: joblib's workers cannot start below a process that was forked.
    program = str(Path(sys.executable).with_name("fairseq-hydra-train"))
    words = [program, "-m", *shlex.split(" ".join([*common, launcher]))]
    swept = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert swept.returncode == 0, swept.stderr[-2000:]
    alone = "model.fusion=gated checkpoint.save_dir=alone"
    finished = fairseq_process("hydra-train", *common, alone).wait()
    assert finished.code == 0, finished.errors[-2000:]
    folder = tmp_path / "checkpoints" / "suites" / "fusion_ablation"
    states = [
        torch.load(place / "checkpoint_last.pt", weights_only=True)
        for place in (folder / "concat" / "seed1", folder / "gated" / "seed1", tmp_path / "alone")
    ]
    concat, gated, expected = (state["model"] for state in states)
    assert concat.keys() != gated.keys()
    assert gated.keys() == expected.keys()
    assert all(torch.equal(gated[key], expected[key]) for key in expected)
    assert [state["optimizer_history"][-1]["num_updates"] for state in states] == [2, 2, 2]
