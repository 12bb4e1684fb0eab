r"""Speech -> tokens: DATA_DIR/speech/<name>/{split}.bin + .idx, and the files of the quantizer.

    python -m data_prep.tokenize_speech DATA_DIR [--data-raw AUDIO_DIR] [--n-clusters 100]
    python -m data_prep.tokenize_speech DATA_DIR --quantizer vq-wav2vec --checkpoint vq-wav2vec.pt \
        --dict bert_kmeans/dict.txt
    python -m data_prep.tokenize_speech DATA_DIR --tokenizer OTHER_DATA_DIR/speech/NAME
    python -m data_prep.tokenize_speech DATA_DIR --name NAME

`--quantizer kmeans` replaces frames of 25 ms every 10 ms by the nearest of K centroids, which are
fitted on the train split. `--quantizer vq-wav2vec` takes the codes of a pretrained model, joined as
in `17-302`, with the ids of the BERT that was trained on them. `--tokenizer` takes the quantizer of
another data dir, or of a model folder. Each quantizer has a folder of its own, named after it or by
`--name`; `--name` alone tokenizes again by that of the folder. Row i belongs to row i of the
manifest and ends with `</s>`; a row without audio, or too short for a frame, is `</s>` alone.
Running it again does only what is missing or has changed, in the manifest or in the audio files.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from data_prep.command_line import make_parser, run_on_data_dir
from data_prep.engines import Workers
from data_prep.engines.options import DEFAULT_WORKERS, add_engine_options, take_engine
from data_prep.files.remote import require_local
from data_prep.number_types import positive_int, positive_number
from data_prep.tokens.binarize import summary_table
from data_prep.tokens.folder import DICT_FILE, TokenFolder, read_card
from data_prep.tokens.kmeans_corpus import tokenize_with_kmeans, tokenize_with_kmeans_of
from data_prep.tokens.kmeans_tokenizer import FEATURES
from data_prep.tokens.methods import Method, given_flags, has_tokens, parameters_of
from data_prep.tokens.speech_tokenizers import load_speech_tokenizer
from data_prep.tokens.token_sets import FITTED_ELSEWHERE, FITTED_ON, TokenSet
from data_prep.tokens.vq_wav2vec import BATCH_SECONDS, MAX_SECONDS, find_checkpoint
from data_prep.tokens.vq_wav2vec_corpus import tokenize_with_vq_wav2vec

_SPEECH = "speech"


# By --quantizer. The class of this name in speech_tokenizers.TOKENIZERS reads the tokens back.
QUANTIZERS: Mapping[str, Method] = {
    "kmeans": Method(
        tokenize_with_kmeans,
        {
            "--features": "features",
            "--n-clusters": "n_clusters",
            "--seed": "seed",
            "--max-train-frames": "max_train_frames",
            "--deduplicate": "deduplicate",
        },
    ),
    "vq-wav2vec": Method(
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
    return run_on_data_dir(
        options, lambda given: summary_table(_choose(parser, given)()), writes=[_SPEECH]
    )


def _choose(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> Callable[[], TokenFolder]:
    """Return what tokenizes by the options; end with a usage error where these contradict."""
    place, source = (options.data_dir, options.data_raw), options.tokenizer
    kind = getattr(options, "quantizer", None)
    given = [*["--quantizer"] * (kind is not None), *given_flags(options, QUANTIZERS)]
    engine = take_engine(options)
    if source is not None:
        require_local(source, "--tokenizer", "copy the token folder here")
        if given:
            parser.error(f"--tokenizer takes no {', '.join(given)}")
        return partial(tokenize_with_folder, *place, source, options.name, engine)
    if not given and has_tokens(options.data_dir, _SPEECH, options.name):
        return partial(tokenize_again, *place, options.name, engine)
    kind = kind or "kmeans"
    parameters = parameters_of(parser, options, QUANTIZERS, kind, "--quantizer")
    return partial(
        QUANTIZERS[kind].tokenize, *place, **parameters, workers=engine, name=options.name
    )


def tokenize_with_folder(
    data_dir: str | Path,
    data_raw: str | Path | None,
    tokenizer: str | Path,
    name: str | None = None,
    workers: Workers = 1,
) -> TokenFolder:
    """Tokenize every split with the quantizer of a token folder, whose files are copied.

    Raises:
        ValueError: there is no quantizer, or it is damaged.
    """
    source = Path(tokenizer)
    settings = read_card(source)["settings"]
    load_speech_tokenizer(source)
    if settings["quantizer"] == "kmeans":
        return tokenize_with_kmeans_of(
            data_dir, data_raw, tokenizer=source, workers=workers, name=name
        )
    return tokenize_with_vq_wav2vec(
        data_dir,
        data_raw,
        workers=workers,
        checkpoint=find_checkpoint(source, settings["checkpoint"]),
        dictionary=source / DICT_FILE,
        max_seconds=settings["max_seconds"],
        name=name or TokenSet.of(source.absolute()).name_of_copy,
        fitted_elsewhere=settings.get(FITTED_ON, settings.get(FITTED_ELSEWHERE)),
    )


def tokenize_again(
    data_dir: str | Path, data_raw: str | Path | None, name: str, workers: Workers = 1
) -> TokenFolder:
    """Bring a token set up to date with its own quantizer.

    What is fitted on the train split is fitted again where that has changed.

    Raises:
        ValueError: it was not written by this command, or its quantizer is damaged.
    """
    tokens = TokenSet(Path(data_dir), _SPEECH, name)
    settings = dict(read_card(tokens.folder)["settings"])
    fitted = settings.pop(FITTED_ON, None) is not None
    if not fitted:
        return tokenize_with_folder(data_dir, data_raw, tokens.folder, name, workers)
    quantizer = settings.pop("quantizer")
    if quantizer == "kmeans":
        del settings["sample_rate"]  # that of the corpus
        return tokenize_with_kmeans(data_dir, data_raw, **settings, workers=workers, name=name)
    checkpoint = find_checkpoint(tokens.folder, settings["checkpoint"])
    seconds = settings["max_seconds"]
    return tokenize_with_vq_wav2vec(
        data_dir,
        data_raw,
        checkpoint=checkpoint,
        max_seconds=seconds,
        name=name,
        workers=workers,
    )


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("tokenize_speech", __doc__ or "", audio=False)
    add = parser.add_argument
    add("data_dir", type=Path, help="folder with {split}.tsv and corpus.yaml, or its URL (s3://…)")
    raw = "what `audio` is relative to (default: DATA_DIR)"
    add("--data-raw", type=Path, metavar="DIR", help=raw)
    own = "a token folder, such as OTHER_DATA_DIR/speech/NAME, whose quantizer is taken"
    add("--tokenizer", type=Path, metavar="FOLDER", help=own)
    name = "folder under DATA_DIR/speech (default: that of the same quantizer, or its name)"
    add("--name", metavar="NAME", help=name)

    workers = f"processes (default: {DEFAULT_WORKERS}; 1 of vq-wav2vec); same result"
    add_engine_options(parser, workers)

    # What is not given is absent: whose option it is can then be checked, and the functions have
    # the defaults.
    parser.argument_default = argparse.SUPPRESS
    add("--quantizer", choices=sorted(QUANTIZERS), help="default: kmeans")
    add = parser.add_argument_group("--quantizer kmeans").add_argument
    add("--features", choices=sorted(FEATURES), help="default: mfcc")
    add("--n-clusters", type=positive_int, metavar="K", help="default: 100")
    add("--seed", type=int, metavar="N", help="default: 1")
    most = "fit on at most so many frames, drawn evenly over the train split (default: 500000)"
    add("--max-train-frames", type=positive_int, metavar="N", help=most)
    add("--deduplicate", action="store_true", help="merge runs of one code")

    add = parser.add_argument_group("--quantizer vq-wav2vec").add_argument
    add("--checkpoint", type=Path, metavar="FILE", help="fairseq's vq-wav2vec; needed")
    names = "dict.txt of the BERT trained on its codes (default: the codes of the train split)"
    add("--dict", dest="dictionary", type=Path, metavar="FILE", help=names)
    batch = f"audio in a batch, its result is the same at any (default: {BATCH_SECONDS:g})"
    add("--batch-seconds", type=positive_number, metavar="S", help=batch)
    longest = f"longer audio is cut evenly and its codes joined (default: {MAX_SECONDS:g})"
    add("--max-seconds", type=positive_number, metavar="S", help=longest)
    return parser
