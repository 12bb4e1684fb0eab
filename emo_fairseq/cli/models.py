"""The model of commands that predict: its options, and how it is loaded."""

import argparse
import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.files.digests import digest_once
from data_prep.files.listing import walk
from data_prep.number_types import positive_int
from emo_fairseq.cli.checkpoints import check_supported_inputs, find_checkpoint, find_model
from emo_fairseq.compat.garbage_collection import no_garbage_collection
from emo_fairseq.inference.model_folder.files import CONFIG_FILE, GRAPH_FILES, is_ensemble
from emo_fairseq.inference.providers import PROVIDERS

if TYPE_CHECKING:
    from emo_fairseq.inference.predictor import EmotionPredictor

FACE_DETECTOR = (
    "MODULE:FUNCTION that finds faces, for a model of video that was trained with one; it is "
    "imported only if it is named here, too"
)
MODEL = "model folder, checkpoint, folder of a training, or hf:ORG/NAME of the hub"


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add how the model is run."""
    group = parser.add_argument_group("model")
    option = group.add_argument
    batch = "items that are predicted at a time (default: %(default)s)"
    option("--batch-size", type=positive_int, default=32, metavar="N", help=batch)
    data = "data dir with the tokenizers of a checkpoint (default: that of its training)"
    option("--data", type=Path, metavar="DIR", help=data)
    option("--device", help="cpu, cuda, cuda:1 (default: the GPU, if there is one)")
    as_elsewhere = "run on the CPU, as --device cpu does"
    option("--cpu", dest="device", action="store_const", const="cpu", help=as_elsewhere)
    option("--face-detector", metavar="DETECTOR", help=FACE_DETECTOR)
    option("--onnx", action="store_true", help="run model.onnx of the model folder")
    add_graph_options(group)


def add_graph_options(group: Any) -> None:
    """Add which graph of a model folder is run, and on what; either implies ``--onnx``."""
    which = "run the ONNX graph of this precision (default: fp32, or the only one)"
    group.add_argument("--precision", choices=tuple(GRAPH_FILES), help=which)
    on = f"run the ONNX graph on {', '.join(PROVIDERS)} (default: cpu)"
    group.add_argument("--provider", metavar="NAME", help=on)


def load_model(options: argparse.Namespace) -> "EmotionPredictor":
    """Load the predictor of a command line.

    Raises:
        UsageError: there is none, or nothing that it reads can be preprocessed.
    """
    with no_garbage_collection():
        predictor = _load(options)
        gc.freeze()  # what was imported and loaded stays until the end
    check_supported_inputs(options.model, predictor.modalities, predictor.missing, options.data)
    return predictor


def _load(options: argparse.Namespace) -> "EmotionPredictor":
    from emo_fairseq.inference.predictor import load_predictor

    if not (options.onnx or options.precision or options.provider):
        return load_predictor(
            find_model(options.model),
            options.device,
            options.data,
            face_detector=options.face_detector,
        )
    return load_predictor(
        options.model,
        options.device,
        onnx=True,
        precision=options.precision,
        provider=options.provider,
        face_detector=options.face_detector,
    )


def model_digests(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Return the name and the SHA-256 of the files of a model, by which another is recognized.

    Of a checkpoint that includes what its data dir has of tokenizers, features and texts; and of
    ``--transcribe`` the folder.
    """
    model: Path = options.model
    if (model / CONFIG_FILE).is_file() or is_ensemble(model):
        files = _files_in(model)
    else:
        files = _files_of_checkpoint(find_checkpoint(model), options.data)
    if options.transcribe is not None:
        files += _files_in(Path(options.transcribe))
    return [(name, digest_once(file)) for name, file in files]


def _files_in(folder: Path) -> list[tuple[str, Path]]:
    """Return the files below a folder, also behind links, with their names in it."""
    paths = [inside / name for inside, _, names in walk(folder) for name in sorted(names)]
    return [(str(path.relative_to(folder)), path) for path in paths if path.is_file()]


def _files_of_checkpoint(checkpoint: Path, data: Path | None) -> list[tuple[str, Path]]:
    """Return a checkpoint, and what predicting from it reads in a data dir.

    These are tables and cards; cards have the digests of further files.
    """
    from data_prep.features.stored import CARD_FILE
    from data_prep.schema import CORPUS_FILE
    from data_prep.tokens.folder import TOKENIZER_FILE
    from emo_fairseq.inference.checkpoint import read_checkpoint

    data = data or Path(read_checkpoint(checkpoint)["cfg"].task.data)
    patterns = (f"*/*/{TOKENIZER_FILE}", f"*/*/{CARD_FILE}", CORPUS_FILE, "*.tsv")
    read = sorted(file for pattern in patterns for file in data.glob(pattern))
    return [("", checkpoint), *((str(file.relative_to(data)), file) for file in read)]
