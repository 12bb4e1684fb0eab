"""The script for GPUs, dry-run on the CPU with tiny encoders."""

from pathlib import Path

import pytest
import torch

import emo_fairseq
from benchmarks import gpu
from benchmarks.results import read_ratios


def test_runs_on_the_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "ratios.json"
    lengths = ["--updates", "1", "--rounds", "1"]
    device = ["--device", "cpu", "--size", "tiny", "--peak-tflops", "0.5"]
    assert gpu.main([*device, *lengths, "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("parity on cpu") == 3
    assert printed.count("MFU ") == 2
    (ratio,) = read_ratios(file)
    assert f"plugin is {ratio.ratio:.2f} x the loop" in printed


def test_a_difference_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noisy(gpu.MeanPooling):
        def forward(self, *args: torch.Tensor, **kwargs: object) -> torch.Tensor:
            return super().forward(*args, **kwargs) + torch.rand(1)  # type: ignore[arg-type]

    monkeypatch.setattr(gpu, "MeanPooling", Noisy)
    with pytest.raises(AssertionError, match="differs by"):
        gpu.check_parity("cpu")


def test_the_plugin_learns_what_it_steps_on(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    build = gpu.build
    monkeypatch.setattr(gpu, "build", lambda size: built.append(build(size)) or built[-1])
    emo_fairseq.register()
    step = gpu.plugin_step("tiny", "cpu")
    before = [p.detach().clone() for p in built[0].parameters()]
    for _ in range(3):
        step()
    changed = [not torch.equal(a, b) for a, b in zip(before, built[0].parameters(), strict=True)]
    assert sum(changed) > 0.5 * len(changed)
