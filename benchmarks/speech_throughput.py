"""Training speed of a waveform encoder: ``python -m benchmarks.speech_throughput``.

A wav2vec 2.0 of base size with random weights, tuned in full: through fairseq-train, and through
:mod:`benchmarks.hf_loop`, plain and with batches grouped by length. The front end is trained, or
frozen; in single precision, or in bfloat16 (autocast in the loop); in turn, in one run. With
``--ravdess`` the clips are RAVDESS's, else noise of the same lengths (3 to 5 s). Prints utterances
a second, the median over rounds, and the ratio to the grouped loop with a frozen front end in
single precision.
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
from benchmarks.random_models import copy_ravdess, save_wav2vec2, write_noise

REFERENCE = "loop, grouped, frozen front end"

_BF16 = "--bf16 --fp16-no-flatten-grads"
_TRAINED, _FROZEN = "--speech-feature-grad-mult 1", "--no-encoder-cache"
PLUGIN = {  # further options of fairseq-train; by default the front end is frozen and stored
    "plugin, front end trained": _TRAINED,
    "plugin, frozen front end": _FROZEN,
    "plugin, stored front end": "",
    "plugin, front end trained, bf16": f"{_TRAINED} {_BF16}",
    "plugin, frozen front end, bf16": f"{_FROZEN} {_BF16}",
    "plugin, stored front end, bf16": _BF16,
}
LOOP = {  # of the loop
    "loop": "",
    "loop, grouped": "--grouped",
    REFERENCE: "--grouped --freeze-front-end",
    f"{REFERENCE}, bf16": "--grouped --freeze-front-end --bf16",
}


def main(argv: Sequence[str] | None = None) -> Speeds:
    """Command line; returns the speeds by name, of each round."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speech_throughput")
    parser.add_argument("--ravdess", type=Path, help="folder with Actor_01 ... Actor_24")
    parser.add_argument("--layers", type=int, default=4, help="of the transformer (base: 12)")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", help="measure what has one of these in its name")
    args = parser.parse_args(argv)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        n_rows = args.batch_size * args.updates
        if args.ravdess:
            data = copy_ravdess(args.ravdess, folder / "data", n_rows)
        else:
            data = write_noise(folder / "data", n_rows, 3.0, 5.0)
        model = save_wav2vec2(folder / "wav2vec2", args.layers)
        size = ["--batch-size", str(args.batch_size)]
        train = f"--data {data} --modality speech --speech-encoder hf:{model} --speech-pooling mean"
        train += f" --lr 1e-5 --max-update {args.updates} --save-dir {folder / 'save'}"
        loop = f"{data} --speech-model {model} --updates {args.updates}"
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
