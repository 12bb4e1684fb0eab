"""What trainings leave behind: checkpoints, and the figures in their logs."""

import re
from pathlib import Path

import torch


def assert_same_state(one: Path, two: Path) -> None:
    """Weights, moments, learning rate and position in the data, to the bit."""
    a, b = (torch.load(file, weights_only=True) for file in (one, two))
    assert a["optimizer_history"][-1] == b["optimizer_history"][-1]
    for part in ("model", "last_optimizer_state"):
        torch.testing.assert_close(b[part], a[part], rtol=0, atol=0)
    assert a["extra_state"]["train_iterator"] == b["extra_state"]["train_iterator"]


def last_figures(log: str, tag: str) -> dict[str, float]:
    """Return the last statistics that a log has under a tag (``train``, ``valid``), by name."""
    line = re.findall(rf"\| INFO \| {tag} \| (.*)$", log, re.MULTILINE)[-1]
    pairs = re.findall(r"[|,:] ([a-z]\w*)[ =]([\d.e+-]+)", line)
    return {name: float(value) for name, value in pairs}
