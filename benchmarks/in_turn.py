"""Speeds of peers, measured in turn: what else the machine does falls on all of them alike."""

import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Speeds = Mapping[str, Sequence[float]]  # of each peer, in each round

_TRAIN = (
    "--user-dir emo_fairseq --task emotion_prediction --arch robertaEMO "
    "--criterion emotion_classification --optimizer emotion_adamw --weight-decay 0.01 "
    "--clip-norm 1.0 --lr-scheduler polynomial_decay --warmup-updates 10 --total-num-update 1000 "
    "--cpu --num-workers 0 --no-save --disable-validation --log-format json --log-interval 1000000"
)


Peers = Mapping[str, Callable[[], float]]  # what measures the speed of each


def choose(peers: Peers, words: Sequence[str] | None, reference: str) -> Peers:
    """Return the peers that have one of these words in their names, and the reference."""
    if not words:
        return peers
    return {n: x for n, x in peers.items() if n == reference or any(word in n for word in words)}


def measure_in_turn(
    peers: Peers, rounds: int, measured: Callable[[str, Speeds], None] = lambda name, speeds: None
) -> Speeds:
    """Return the speed of every peer in every round.

    Args:
        peers: what measures the speed of each.
        rounds: of all peers.
        measured: called after each turn, with the peer and all speeds so far.
    """
    speeds: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, measure in peers.items():
            speeds[name].append(measure())
            measured(name, speeds)
    return speeds


def print_speed(name: str, speeds: Speeds) -> None:
    """Print what the last turn of a peer has measured."""
    print(f"{name:44s} {speeds[name][-1]:12.2f} utterances/s", flush=True)


def medians_of(speeds: Speeds) -> Mapping[str, float]:
    """Return the median speed of every peer that has been measured."""
    return {name: statistics.median(values) for name, values in speeds.items() if values}


def print_ratios(speeds: Speeds, reference: str) -> None:
    """Print the median speed of every peer, and its ratio to that of one of them."""
    medians = medians_of(speeds)
    print(f"{'':44s} utterances/s  ratio  rounds")
    for name, values in speeds.items():
        rounds = ", ".join(f"{speed:.2f}" for speed in values)
        ratio = medians[name] / medians[reference]
        print(f"{name:44s} {medians[name]:12.2f} {ratio:6.2f}  {rounds}", flush=True)


def train_speed(*options: str) -> float:
    """Return the utterances a second of a fairseq-train, as its log has them.

    fairseq leaves the first update out, in which libraries choose their kernels.
    """
    tool = str(Path(sys.executable).with_name("fairseq-train"))
    said = _run([tool, *_TRAIN.split(), *options])
    return float(re.findall(r'"train_wps": "([\d.]+)"', said)[-1])


def loop_speed(*options: str) -> float:
    """Return the utterances a second of :mod:`benchmarks.hf_loop`."""
    return float(_run([sys.executable, "-m", "benchmarks.hf_loop", *options]).split()[-1])


def _run(words: Sequence[str]) -> str:
    """Run a command to its end. Raises RuntimeError if it fails, with the end of its output."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    said = done.stderr + done.stdout
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{said[-2000:]}")
    return said
