"""What the benchmarks of training share: fairseq-train beside a Hugging Face loop, in turn.

Each peer is a process of its own that trains for the same number of updates. Its speed is printed
when it is measured, and the ratios so far are written then, so that what was interrupted is kept.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.in_turn import (
    Peers,
    Speeds,
    choose,
    loop_speed,
    measure_in_turn,
    medians_of,
    print_ratios,
    print_speed,
    train_speed,
)
from benchmarks.results import Ratio, save_ratios

BF16 = "bf16"
_BF16_OPTIONS = "--bf16 --fp16-no-flatten-grads"


@dataclass(frozen=True)
class Comparison:
    """Peers of one kind of training.

    Attributes:
        title: of the ratios: ``training, speech``.
        plugin: further options of fairseq-train by the name of the peer.
        loop: further options of :mod:`benchmarks.hf_loop` by the name of the peer.
        reference: the loop in single precision that the others are compared with.
    """

    title: str
    plugin: Mapping[str, str]
    loop: Mapping[str, str]
    reference: str


def add_options(parser: argparse.ArgumentParser, updates: int) -> None:
    """Add the options of a benchmark that calls :func:`compare`, but for ``--json``."""
    parser.add_argument("--layers", type=int, default=4, help="of the speech encoder (base: 12)")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--updates", type=int, default=updates, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--only", nargs="+", help="measure what has one of these in its name")
    parser.add_argument("--bf16", action="store_true", help="and in bfloat16, ours and the loops")


def compare(of: Comparison, args: argparse.Namespace, train: str, loop: str) -> Speeds:
    """Measure the peers in turn; returns the speeds by name, of each round.

    Args:
        of: the peers.
        args: of :func:`add_options`.
        train: options of fairseq-train that all peers have.
        loop: options of the loop that all peers have.
    """
    size = ["--batch-size", str(args.batch_size)]
    train_words = [*train.split(), "--max-update", str(args.updates), *size]
    loop_words = [*loop.split(), "--updates", str(args.updates), *size]
    plugins, loops = dict(of.plugin), dict(of.loop)
    if args.bf16:
        plugins |= {f"{n}, {BF16}": f"{o} {_BF16_OPTIONS}" for n, o in of.plugin.items()}
        loops |= {f"{n}, {BF16}": f"{o} --bf16" for n, o in of.loop.items()}
    peers: Peers = {
        **{n: partial(loop_speed, *loop_words, *o.split()) for n, o in loops.items()},
        **{n: partial(train_speed, *train_words, *o.split()) for n, o in plugins.items()},
    }

    def measured(name: str, speeds: Speeds) -> None:
        print_speed(name, speeds)
        save_ratios(args.json, ratios_of(of, plugins, speeds))

    chosen = choose(peers, args.only, of.reference)
    speeds = measure_in_turn(chosen, args.rounds, measured)
    print_ratios(speeds, of.reference)
    return speeds


def ratios_of(of: Comparison, plugins: Mapping[str, str], speeds: Speeds) -> Sequence[Ratio]:
    """Return the ratio of each peer of ours to the reference; in bfloat16, to that in bfloat16.

    >>> of = Comparison("training", {"ours": "", "ours, bf16": ""}, {}, "loop")
    >>> ratios_of(of, of.plugin, {"loop": [2.0, 4.0], "ours": [6.0], "ours, bf16": []})
    [Ratio(of='training, ours', measured=6.0, unit='utterances/s', against='loop', ratio=2.0)]
    """
    medians = medians_of(speeds)
    ratios = []
    for name in plugins:
        against = f"{of.reference}, {BF16}" if name.endswith(BF16) else of.reference
        if name in medians and against in medians:
            ours, theirs = medians[name], medians[against]
            title = f"{of.title}, {name}"
            ratios.append(Ratio(title, ours, "utterances/s", against, ours / theirs))
    return ratios
