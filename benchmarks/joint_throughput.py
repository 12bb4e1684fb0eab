"""Training speed of text and speech together: ``python -m benchmarks.joint_throughput``.

A BERT of the size of MiniLM-L6 and a wav2vec 2.0 of base size, both with random weights and both
tuned in full, on clips of noise as long as those of conversations (1 to 12 s, median 3 s) with 2.5
words a second: through fairseq-train, and through :mod:`benchmarks.hf_loop`, plain and with batches
grouped by length; in turn, in one run. The front end is frozen everywhere. Prints utterances a
second, the median over rounds, and the ratio to the grouped loop in single precision.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.in_turn import (
    Speeds,
    choose,
    loop_speed,
    measure_in_turn,
    print_ratios,
    train_speed,
)
from benchmarks.random_models import save_minilm, save_wav2vec2, write_noise
from data_prep.commands.tokenize_text import tokenize_with_hf

REFERENCE = "loop, grouped"

_BF16 = "--bf16 --fp16-no-flatten-grads"
PLUGIN = {
    "plugin, frozen front end": "--no-encoder-cache",
    "plugin, stored front end": "",
    "plugin, stored front end, bf16": _BF16,
}
LOOP = {"loop": "", REFERENCE: "--grouped", f"{REFERENCE}, bf16": "--grouped --bf16"}


def main(argv: Sequence[str] | None = None) -> Speeds:
    """Command line; returns the speeds by name, of each round."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joint_throughput")
    parser.add_argument("--layers", type=int, default=4, help="of the speech encoder (base: 12)")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--updates", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", help="measure what has one of these in its name")
    args = parser.parse_args(argv)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = write_noise(folder / "data", args.batch_size * args.updates)
        speech, text = save_wav2vec2(folder / "wav2vec2", args.layers), save_minilm(folder / "bert")
        tokenize_with_hf(folder / "data", folder / "bert")
        size = ["--batch-size", str(args.batch_size)]
        train = f"--data {data} --modality text+speech --speech-encoder hf:{speech}"
        train += f" --text-encoder hf:{text} --speech-pooling mean --text-pooling mean"
        train += f" --fusion concat --lr 1e-5 --max-update {args.updates}"
        train += f" --save-dir {folder / 'save'}"
        loop = f"{data} --speech-model {speech} --text-model {text} --freeze-front-end"
        loop += f" --updates {args.updates}"
        peers = {
            **{n: partial(loop_speed, *loop.split(), *size, *o.split()) for n, o in LOOP.items()},
            **{
                n: partial(train_speed, *train.split(), *size, *o.split())
                for n, o in PLUGIN.items()
            },
        }
        speeds = measure_in_turn(choose(peers, args.only, REFERENCE), args.rounds)
    print_ratios(speeds, REFERENCE)
    return speeds


if __name__ == "__main__":
    main()
