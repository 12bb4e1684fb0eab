"""Training speed of a waveform encoder: ``python -m benchmarks.speech_throughput``.

A wav2vec 2.0 of base size with random weights, tuned in full: through fairseq-train, and through
:mod:`benchmarks.hf_loop`, plain and with batches grouped by length. The front end is trained, or
frozen, and of the plugin's its outputs may be stored, whose computation before the first update is
not counted; in turn, in one run. With ``--ravdess`` the clips are RAVDESS's, else noise of the same
lengths (3 to 5 s). Prints utterances a second, the median over rounds, and the ratio to the grouped
loop with a frozen front end.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.beside_loop import Comparison, add_options, compare
from benchmarks.in_turn import Speeds
from benchmarks.random_models import copy_ravdess, save_wav2vec2, write_noise
from benchmarks.results import add_json_option

COMPARISON = Comparison(
    title="training, speech",
    plugin={  # by default the front end is frozen and its outputs are stored
        "plugin, front end trained": "--speech-feature-grad-mult 1",
        "plugin, frozen front end": "--no-encoder-cache",
        "plugin, stored front end": "",
    },
    loop={
        "loop": "",
        "loop, grouped": "--grouped",
        "loop, grouped, frozen front end": "--grouped --freeze-front-end",
    },
    reference="loop, grouped, frozen front end",
)


def main(argv: Sequence[str] | None = None) -> Speeds:
    """Command line; returns the speeds by name, of each round."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speech_throughput")
    parser.add_argument("--ravdess", type=Path, help="folder with Actor_01 ... Actor_24")
    add_options(parser, updates=10)
    add_json_option(parser)
    args = parser.parse_args(argv)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        n_rows = args.batch_size * args.updates
        if args.ravdess:
            data = copy_ravdess(args.ravdess, folder / "data", n_rows)
        else:
            data = write_noise(folder / "data", n_rows, 3.0, 5.0)
        model = save_wav2vec2(folder / "wav2vec2", args.layers)
        train = f"--data {data} --modality speech --speech-encoder hf:{model} --speech-pooling mean"
        train += f" --lr 1e-5 --save-dir {folder / 'save'}"
        return compare(COMPARISON, args, train, f"{data} --speech-model {model}")


if __name__ == "__main__":
    main()
