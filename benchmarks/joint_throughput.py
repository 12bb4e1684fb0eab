"""Training speed of text and speech together: ``python -m benchmarks.joint_throughput``.

A BERT of the size of MiniLM-L6 and a wav2vec 2.0 of base size, both with random weights and both
tuned in full, on clips of noise as long as those of conversations (1 to 12 s, median 3 s) with 2.5
words a second: through fairseq-train, and through :mod:`benchmarks.hf_loop`, plain and with batches
grouped by length; in turn, in one run. The front end is frozen everywhere. Prints utterances a
second, the median over rounds, and the ratio to the grouped loop.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.beside_loop import Comparison, add_options, compare
from benchmarks.in_turn import Speeds
from benchmarks.random_models import save_minilm, save_wav2vec2, write_noise
from benchmarks.results import add_json_option
from data_prep.commands.tokenize_text import tokenize_with_hf

COMPARISON = Comparison(
    title="training, text and speech",
    plugin={"plugin, frozen front end": "--no-encoder-cache", "plugin, stored front end": ""},
    loop={"loop": "", "loop, grouped": "--grouped"},
    reference="loop, grouped",
)


def main(argv: Sequence[str] | None = None) -> Speeds:
    """Command line; returns the speeds by name, of each round."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joint_throughput")
    add_options(parser, updates=12)
    add_json_option(parser)
    args = parser.parse_args(argv)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = write_noise(folder / "data", args.batch_size * args.updates)
        speech, text = save_wav2vec2(folder / "wav2vec2", args.layers), save_minilm(folder / "bert")
        tokenize_with_hf(folder / "data", folder / "bert")
        train = f"--data {data} --modality text+speech --speech-encoder hf:{speech}"
        train += f" --text-encoder hf:{text} --speech-pooling mean --text-pooling mean"
        train += f" --fusion concat --lr 1e-5 --save-dir {folder / 'save'}"
        loop = f"{data} --speech-model {speech} --text-model {text} --freeze-front-end"
        return compare(COMPARISON, args, train, loop)


if __name__ == "__main__":
    main()
