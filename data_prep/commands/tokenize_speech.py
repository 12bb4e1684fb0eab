r"""Speech -> tokens: DATA_DIR/speech/{split}.bin + .idx, dict.txt, and the quantizer's own file.

    python -m data_prep.tokenize_speech DATA_DIR [--data-raw AUDIO_DIR] [--n-clusters 100]
    python -m data_prep.tokenize_speech DATA_DIR --quantizer vq-wav2vec --checkpoint vq-wav2vec.pt \
        --dict bert_kmeans/dict.txt

`--quantizer kmeans` replaces frames of 25 ms every 10 ms by the nearest of K centroids, which are
fitted on the train split. `--quantizer vq-wav2vec` takes the codes of a pretrained model, joined as
in `17-302`, with the ids of the BERT that was trained on them. Row i belongs to row i of the
manifest and ends with `</s>`; a row without audio, or too short for a frame, is `</s>` alone.
Running it again does only what is missing or has changed, in the manifest or in the audio files.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from data_prep.audio.loading import default_workers
from data_prep.command_line import (
    make_parser,
    positive_int,
    positive_number,
    run,
)
from data_prep.tokens.binarize import summary_table
from data_prep.tokens.folder import TokenFolder
from data_prep.tokens.kmeans_corpus import sample_frames, tokenize_with_kmeans
from data_prep.tokens.kmeans_tokenizer import FEATURES
from data_prep.tokens.speech_tokenizers import load_speech_tokenizer
from data_prep.tokens.vq_wav2vec import (
    BATCH_SECONDS,
    MAX_SECONDS,
)
from data_prep.tokens.vq_wav2vec_corpus import tokenize_with_vq_wav2vec

__all__ = [
    "load_speech_tokenizer",
    "sample_frames",
    "tokenize_with_kmeans",
    "tokenize_with_vq_wav2vec",
]


class _Quantizer(NamedTuple):
    tokenize: Callable[..., TokenFolder]
    parameters: Mapping[str, str]  # by the flags that are its own
    needs: tuple[str, ...] = ()


# --quantizer -> what does it. Reading its tokens back is the business of the class under the same
# name in speech_tokenizers.TOKENIZERS.
QUANTIZERS: Mapping[str, _Quantizer] = {
    "kmeans": _Quantizer(
        partial(tokenize_with_kmeans, workers=default_workers()),
        {
            "--features": "features",
            "--n-clusters": "n_clusters",
            "--seed": "seed",
            "--max-train-frames": "max_train_frames",
            "--deduplicate": "deduplicate",
            "--workers": "workers",
        },
    ),
    "vq-wav2vec": _Quantizer(
        tokenize_with_vq_wav2vec,
        {
            "--checkpoint": "checkpoint",
            "--dict": "dictionary",
            "--batch-seconds": "batch_seconds",
            "--max-seconds": "max_seconds",
        },
        needs=("--checkpoint",),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: see the module's docstring."""
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = _given(parser, options)
    tokenize = partial(QUANTIZERS[options.quantizer].tokenize, options.data_dir, options.data_raw)
    return run(lambda: print(summary_table(tokenize(**given))))


def _given(parser: argparse.ArgumentParser, options: argparse.Namespace) -> dict[str, object]:
    """The options that the command line gives, as parameters of the quantizer's function."""
    chosen = QUANTIZERS[options.quantizer]
    for quantizer in QUANTIZERS.values():
        present = [flag for flag, name in quantizer.parameters.items() if hasattr(options, name)]
        if quantizer is not chosen and present:
            parser.error(f"--quantizer {options.quantizer} takes no {', '.join(present)}")
        absent = [flag for flag in quantizer.needs if flag not in present]
        if quantizer is chosen and absent:
            parser.error(f"--quantizer {options.quantizer} needs {', '.join(absent)}")
    given = vars(options)
    return {name: given[name] for name in chosen.parameters.values() if name in given}


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("tokenize_speech", __doc__ or "", audio=False)
    add = parser.add_argument
    add("data_dir", type=Path, help="folder with {split}.tsv and corpus.yaml")
    raw = "what `audio` is relative to (default: DATA_DIR)"
    add("--data-raw", type=Path, metavar="DIR", help=raw)
    add("--quantizer", choices=sorted(QUANTIZERS), default="kmeans", help="default: %(default)s")

    # What is not given is absent: whose option it is can then be checked, and the functions have
    # the defaults.
    parser.argument_default = argparse.SUPPRESS
    add = parser.add_argument_group("--quantizer kmeans").add_argument
    add("--features", choices=sorted(FEATURES), help="default: mfcc")
    add("--n-clusters", type=positive_int, metavar="K", help="default: 100")
    add("--seed", type=int, metavar="N", help="default: 1")
    most = "fit on at most so many frames, drawn evenly over the train split (default: 500000)"
    add("--max-train-frames", type=positive_int, metavar="N", help=most)
    add("--deduplicate", action="store_true", help="merge runs of one code")
    workers = f"processes (default: {default_workers()}); their number does not change the result"
    add("--workers", type=positive_int, metavar="N", help=workers)

    add = parser.add_argument_group("--quantizer vq-wav2vec").add_argument
    add("--checkpoint", type=Path, metavar="FILE", help="fairseq's vq-wav2vec; needed")
    names = "dict.txt of the BERT trained on its codes (default: the codes of the train split)"
    add("--dict", dest="dictionary", type=Path, metavar="FILE", help=names)
    batch = f"audio in a batch, its result is the same at any (default: {BATCH_SECONDS:g})"
    add("--batch-seconds", type=positive_number, metavar="S", help=batch)
    longest = f"longer audio is cut evenly and its codes joined (default: {MAX_SECONDS:g})"
    add("--max-seconds", type=positive_number, metavar="S", help=longest)
    return parser
