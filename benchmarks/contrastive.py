"""Time and memory of the contrastive loss: ``python -m benchmarks.contrastive [--threads 2]``.

Forward and backward of ours, of pytorch-metric-learning's and of a masked log-sum-exp in autograd,
in turn within one process, several rounds, so that whatever else the machine does falls on all of
them. Prints the median over rounds, and ours beside the faster of the others. ``--clock cpu``
counts the processor time of the process in place of wall time, on a machine that is busy.

Memory is what one forward and backward adds to the resident set of a fresh process at its peak,
libraries, rows and the same work on 64 rows being there already. Linux keeps that peak (``VmHWM``)
and resets it on demand; ``ru_maxrss`` would begin with the size of the parent process.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import SupConLoss
from torch import Tensor

from benchmarks.results import Ratio, add_json_option, save_ratios
from emo_fairseq.losses import contrastive_weights, supervised_contrastive

TEMPERATURE = 0.07
WARM_UP_ROWS = 64
SECONDS_A_ROUND = 0.05  # small sizes are repeated within a round until it is about as long
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

Loss = Callable[[Tensor, Tensor], Tensor]  # embeddings (N, D), labels (N,) -> scalar


def ours(embeddings: Tensor, labels: Tensor) -> Tensor:
    """The loss of this package."""
    return supervised_contrastive(embeddings, labels, TEMPERATURE).loss


def ours_weighted(embeddings: Tensor, labels: Tensor) -> Tensor:
    """The same with weights of anchors and of pairs."""
    difficulty = torch.linspace(0.0, 3.0, len(labels))
    weights = contrastive_weights("v2", difficulty, alpha=1.0, beta=0.5, threshold=1.0)
    return supervised_contrastive(embeddings, labels, TEMPERATURE, *weights).loss


def autograd(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Eq. 2 of Khosla et al. (2020) as one would write it down."""
    directions = F.normalize(embeddings, dim=1)
    similarity = directions @ directions.T / TEMPERATURE
    itself = torch.eye(len(labels), dtype=torch.bool)
    positive = (labels.unsqueeze(1) == labels) & ~itself
    log_sum = similarity.masked_fill(itself, float("-inf")).logsumexp(dim=1, keepdim=True)
    n_positive = positive.sum(dim=1)
    loss = (positive * (log_sum - similarity)).sum(dim=1) / n_positive.clamp_min(1)
    return loss[n_positive > 0].mean()


OURS, WEIGHTED, METRIC_LEARNING, AUTOGRAD = "ours", "ours, v2", "metric-learning", "autograd"
LOSSES: dict[str, Loss] = {
    OURS: ours,
    WEIGHTED: ours_weighted,
    METRIC_LEARNING: SupConLoss(TEMPERATURE),
    AUTOGRAD: autograd,
}
PEERS = (METRIC_LEARNING, AUTOGRAD)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contrastive")
    parser.add_argument("--rows", type=int, nargs="+", default=[2**n for n in range(6, 13)])
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--classes", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--memory-rows", type=int, nargs="*", default=[1024, 4096])
    add_json_option(parser)
    parser.add_argument("--peak-of", choices=LOSSES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.peak_of:
        print(json.dumps(peak(args.peak_of, args.rows[0], args.dim, args.classes)))
        return
    print(f"ms for forward and backward, {args.dim} dimensions, {args.threads} threads")
    print_header()
    ratios = []
    for n_rows in args.rows:
        measured = times(n_rows, args)
        print_row(n_rows, measured)
        ratios.append(ratio_to_peers(n_rows, measured))
    save_ratios(args.json, ratios)
    if not args.memory_rows:
        return
    print("\nMiB added at the peak")
    print_header()
    for n_rows in args.memory_rows:
        print_row(n_rows, {name: peak_of_process(name, n_rows, args) for name in LOSSES})


def ratio_to_peers(n_rows: int, milliseconds: dict[str, float]) -> Ratio:
    """Set ours beside the faster of the others."""
    fastest = min(PEERS, key=lambda name: milliseconds[name])
    return Ratio(
        of=f"contrastive loss, {n_rows} rows",
        measured=milliseconds[OURS],
        unit="ms",
        against="the faster of pytorch-metric-learning and a masked log-sum-exp",
        ratio=milliseconds[fastest] / milliseconds[OURS],
    )


def times(n_rows: int, args: argparse.Namespace) -> dict[str, float]:
    """Median milliseconds of each loss."""
    clock = CLOCKS[args.clock]
    embeddings, labels = batch(n_rows, args.dim, args.classes)
    seconds: dict[str, list[float]] = {name: [] for name in LOSSES}
    start = clock()
    for loss in LOSSES.values():
        step(loss, embeddings, labels)
    repeats = max(1, round(SECONDS_A_ROUND * len(LOSSES) / max(clock() - start, 1e-6)))
    for _ in range(args.rounds):
        for name, loss in LOSSES.items():
            start = clock()
            for _ in range(repeats):
                step(loss, embeddings, labels)
            seconds[name].append(1e3 * (clock() - start) / repeats)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_of_process(name: str, n_rows: int, args: argparse.Namespace) -> float:
    """:func:`peak` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.contrastive", "--peak-of", name]
    sizes = {"rows": n_rows, "dim": args.dim, "classes": args.classes, "threads": args.threads}
    options = [word for key, value in sizes.items() for word in (f"--{key}", str(value))]
    done = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def peak(name: str, n_rows: int, dim: int, n_classes: int) -> float:
    """MiB by which one forward and backward raises what is resident, at the peak."""
    embeddings, labels = batch(n_rows, dim, n_classes)
    small = batch(WARM_UP_ROWS, dim, n_classes)
    for _ in range(3):
        step(LOSSES[name], *small)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is resident now
    before = resident_peak()
    step(LOSSES[name], embeddings, labels)
    return resident_peak() - before


def resident_peak() -> float:
    """MiB, of this process since the last reset."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 2**10  # it is in KiB


def batch(n_rows: int, dim: int, n_classes: int) -> tuple[Tensor, Tensor]:
    """Embeddings (N, D) that want a gradient, and labels (N,)."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(n_rows, dim, generator=generator).requires_grad_()
    return embeddings, torch.randint(n_classes, (n_rows,), generator=generator)


def step(loss: Loss, embeddings: Tensor, labels: Tensor) -> None:
    """Forward and backward."""
    embeddings.grad = None
    loss(embeddings, labels).backward()


def print_header() -> None:
    """Names of the columns."""
    names = "".join(f"{name:>17s}" for name in LOSSES)
    print(f"{'N':>6s}{names}{'ours / best other':>19s}")


def print_row(n_rows: int, figures: dict[str, float]) -> None:
    """One size."""
    columns = "".join(f"{figures[name]:17.2f}" for name in LOSSES)
    ratio = figures[OURS] / min(figures[name] for name in PEERS)
    print(f"{n_rows:6d}{columns}{ratio:19.2f}", flush=True)


if __name__ == "__main__":
    main()
