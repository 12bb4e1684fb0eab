"""Speech, text or video -> frames on disk: DATA_DIR/features/<name>/{split}.npy + .lengths.

    python -m data_prep.extract_features DATA_DIR [--data-raw AUDIO_DIR]
    python -m data_prep.extract_features DATA_DIR --encoder egemaps
    python -m data_prep.extract_features DATA_DIR --encoder hf:models/wavlm --layer 9 --pool mean
    python -m data_prep.extract_features DATA_DIR --encoder hf:models/whisper --layer all
    python -m data_prep.extract_features DATA_DIR --modality text --encoder hf:models/mpnet
    python -m data_prep.extract_features DATA_DIR --modality video --encoder hf:models/vivit

The default is Kaldi's log-mel filterbanks, 80 bands, 25 ms every 10 ms, in half precision: training
with `--speech-input log_mel` reads them from here when they are there, instead of decoding every
file in every epoch. Everything else is read by `--{modality}-encoder features:<name>`. Running it
again does only what is missing or has changed.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.command_line import make_parser, run_on_data_dir
from data_prep.engines.options import DEFAULT_WORKERS, add_engine_options, take_engine
from data_prep.features import egemaps, log_mel
from data_prep.features.extraction import (
    ALL_LAYERS,
    AudioFeatures,
    Source,
    are_of_audio,
    extract,
    memory_of,
)
from data_prep.features.log_mel import LOG_MEL, N_MELS
from data_prep.features.pooling import POOLS
from data_prep.features.stored import FOLDER as FEATURES
from data_prep.features.stored import features_folder
from data_prep.files.mirror import is_mirror
from data_prep.manifest.audio_root import audio_root, video_root
from data_prep.number_types import positive_number
from data_prep.packed_audio.card import FOLDER
from data_prep.packed_audio.segment import AudioOf, audio_of_splits
from data_prep.pretrained import pretrained_features
from data_prep.tokens.binarize import read_splits
from data_prep.video.faces import check_detector_name

ANY_PACKED, NO_PACKED = PACKED_AUDIO = ("auto", "off")  # as --packed-audio of a training
# Half precision quantizes log-mel frames to about 0.004 at a log energy of 8, a hundredth of what
# adjacent frames differ by.
HALF, SINGLE = "float16", "float32"
MAX_SECONDS = 30.0
FRAMES_PER_SECOND = 5.0

# What is read -> the flags that act on it, of those that do not act on everything.
_FLAGS: Mapping[str, Mapping[str, str]] = {
    "audio": {"--data-raw": "data_raw", "--packed-audio": "packed_audio"},
    "speech": {
        "--data-raw": "data_raw",
        "--packed-audio": "packed_audio",
        "--max-seconds": "max_seconds",
        "--whisper-padding": "whisper_padding",
    },
    "text": {},
    "video": {
        "--data-raw": "data_raw",
        "--max-seconds": "max_seconds",
        "--video-raw": "video_raw",
        "--frames-per-second": "frames_per_second",
        "--face-detector": "face_detector",
        "--face-frames": "face_frames",
    },
}


def log_mel_is_outdated(data_dir: str | Path, data_raw: str | Path | None = None) -> bool:
    """Return whether the stored log-mel frames of a split are of other recordings than its own.

    See :func:`data_prep.features.extraction.are_of_audio`.
    """
    folder = features_folder(data_dir, LOG_MEL)
    audio_of = _audio_of(data_dir, data_raw, ANY_PACKED, must_exist=False)
    return not all(
        are_of_audio(folder, split, rows, audio_of(split, rows))
        for split, rows in read_splits(data_dir).items()
    )


def _audio_of(
    data_dir: str | Path,
    data_raw: str | Path | None,
    packed_audio: str,
    must_exist: bool = True,
) -> AudioOf:
    """Return the function from a split to its audio, packed where there is any.

    What is packed in a mirror of a data dir at a URL is not read: other machines do not have it.
    """
    is_read = packed_audio != NO_PACKED and not is_mirror(data_dir)
    folder = Path(data_dir) / FOLDER if is_read else None
    root = audio_root(data_dir, data_raw, must_exist=must_exist)
    return audio_of_splits(Path(data_dir), root, folder)


def _log_mel(data_dir: str | Path, audio_of: AudioOf) -> AudioFeatures:
    return AudioFeatures(
        log_mel.SETTINGS,
        N_MELS,
        log_mel.build_log_mel,
        audio_of,
        _memory(data_dir),
    )


def _egemaps(data_dir: str | Path, audio_of: AudioOf) -> AudioFeatures:
    return AudioFeatures(
        egemaps.settings(),
        egemaps.N_FUNCTIONALS,
        egemaps.build_egemaps,
        audio_of,
        _memory(data_dir),
    )


def _memory(data_dir: str | Path) -> Path:
    return memory_of(features_folder(data_dir, LOG_MEL))


_OF_AUDIO = {LOG_MEL: _log_mel, egemaps.EGEMAPS: _egemaps}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: see the module's docstring."""
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    _check(parser, options)
    options.name = options.name or _default_name(options)
    return run_on_data_dir(options, _extract, writes=[f"{FEATURES}/{options.name}"])


def _extract(options: argparse.Namespace) -> Path:
    engine = take_engine(options)
    if options.encoder not in _OF_AUDIO:
        engine = engine.with_default(1)  # an encoder uses all cores by itself, or the GPU
    is_vector = options.pool != "none" or options.encoder == egemaps.EGEMAPS
    return extract(
        options.data_dir,
        options.name,
        _source(options),
        dtype=options.dtype or (SINGLE if is_vector else HALF),
        pool=options.pool,
        about={"encoder": options.encoder},
        workers=engine,
    )


def _source(options: argparse.Namespace) -> Source:
    build = _OF_AUDIO.get(options.encoder)
    mode = options.packed_audio or ANY_PACKED
    audio_of = _audio_of(options.data_dir, options.data_raw, mode)
    if build is not None:
        return build(options.data_dir, audio_of)
    return pretrained_features(
        data_dir=options.data_dir,
        audio_of=audio_of,
        modality=options.modality,
        spec=options.encoder,
        layer=options.layer,
        max_seconds=options.max_seconds or MAX_SECONDS,
        memory=_memory(options.data_dir),
        whisper_padding=options.whisper_padding,
        **(_video_options(options) if options.modality == "video" else {}),
    )


def _video_options(options: argparse.Namespace) -> dict[str, Any]:
    detector = options.face_detector
    given = options.video_raw, options.data_raw
    return {
        "video_root": None if options.face_frames else video_root(options.data_dir, *given),
        "face_frames": options.face_frames,
        "frames_per_second": options.frames_per_second or FRAMES_PER_SECOND,
        "face_detector": None if detector is None else check_detector_name(detector),
    }


# Files whose folder distinguishes models: fairseq's archives hold a model.pt each.
_NAMELESS = ("model.pt", "checkpoint_best.pt", "checkpoint_last.pt")


def _default_name(options: argparse.Namespace) -> str:
    """Such as `wavlm-base-layer9-mean`."""
    path = Path(options.encoder.partition(":")[2] or options.encoder)
    if path.name in _NAMELESS:
        path = path.absolute().parent
    parts = [path.name if path.is_dir() else path.stem]
    if options.layer != "last":
        parts.append("all-layers" if options.layer == ALL_LAYERS else f"layer{options.layer}")
    if options.pool != "none":
        parts.append(options.pool)
    return "-".join(parts)


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """What argparse cannot see: options that do not go together."""
    if options.encoder in _OF_AUDIO and (options.modality, options.layer) != ("speech", "last"):
        parser.error(f"--encoder {options.encoder} reads speech, and has no layers")
    if options.name == LOG_MEL and (options.encoder, options.pool) != (LOG_MEL, "none"):
        parser.error(f"--name {LOG_MEL} is that of log-mel frames; give another")
    obeyed = _FLAGS["audio" if options.encoder in _OF_AUDIO else options.modality]
    known = {flag: name for flags in _FLAGS.values() for flag, name in flags.items()}
    given = [flag for flag, name in known.items() if getattr(options, name) is not None]
    if idle := [flag for flag in given if flag not in obeyed]:
        reads = "" if options.encoder in _OF_AUDIO else f" --modality {options.modality}"
        parser.error(f"--encoder {options.encoder}{reads} takes no {', '.join(idle)}")


def _encoder(value: str) -> str:
    """A type for argparse: the name of features, or a kind of encoder and its place."""
    kind, _, path = value.partition(":")
    if value not in _OF_AUDIO and not (kind in ("hf", "fairseq") and path):
        names = ", ".join(_OF_AUDIO)
        raise argparse.ArgumentTypeError(
            f"{value!r} is none of {names}, hf:FOLDER, fairseq:CHECKPOINT"
        )
    return value


def _layer(value: str) -> str:
    if value not in ("last", "mean", ALL_LAYERS) and not value.isdecimal():
        raise argparse.ArgumentTypeError(
            f"{value!r} is none of last, mean, {ALL_LAYERS}, or a number from 0 up"
        )
    return value


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("extract_features", __doc__ or "", audio=False)
    add = parser.add_argument
    add("data_dir", type=Path, help="folder with {split}.tsv and corpus.yaml, or its URL (s3://…)")
    raw = "what `audio` is relative to (default: DATA_DIR)"
    add("--data-raw", type=Path, metavar="DIR", help=raw)
    packed = "read packed audio where there is any (auto, the default), or decode files (off)"
    add("--packed-audio", choices=PACKED_AUDIO, help=packed)
    encoder = "log_mel (default), egemaps (needs opensmile), hf:FOLDER or fairseq:CHECKPOINT"
    add("--encoder", type=_encoder, default=LOG_MEL, metavar="ENCODER", help=encoder)
    modality = "what the encoder reads (default: %(default)s)"
    choices = ("speech", "text", "video")
    add("--modality", choices=choices, default="speech", help=modality)
    layer = (
        "of a pretrained encoder: last (default), mean of all, a number (0 enters the first), or "
        "all, side by side, from which --MODALITY-layer of a training chooses or learns weights"
    )
    add("--layer", type=_layer, default="last", metavar="LAYER", help=layer)
    pool = "one vector an utterance in place of frames (default: %(default)s)"
    add("--pool", choices=POOLS, default="none", help=pool)
    dtype = "numbers on disk (default: float16 for frames, float32 for vectors)"
    add("--dtype", choices=(HALF, SINGLE), help=dtype)
    name = "folder under DATA_DIR/features (default: after encoder, layer and pool)"
    add("--name", metavar="NAME", help=name)
    # Of these no default, so that it is seen whether they are given where they cannot act.
    seconds = (
        "pretrained encoders: longer audio or video is truncated at its end "
        f"(default: {MAX_SECONDS:g})"
    )
    add("--max-seconds", type=positive_number, metavar="S", help=seconds)
    padding = "Whisper: silence up to 30 s after each recording, or none (default: full)"
    add("--whisper-padding", choices=("full", "none"), help=padding)
    videos = "what `video` is relative to (default: that of corpus.yaml)"
    add("--video-raw", type=Path, metavar="DIR", help=videos)
    rate = f"pictures that are read of a second of video (default: {FRAMES_PER_SECOND:g})"
    add("--frames-per-second", type=positive_number, metavar="N", help=rate)
    faces = (
        "read the face in each picture, and leave out those without one: opencv (needs OpenCV 4), "
        "or MODULE:FUNCTION, from pictures to the boxes of faces (default: whole pictures)"
    )
    add("--face-detector", metavar="DETECTOR", help=faces)
    frames = "folder with a folder of pictures for each row, named by its id, read as its video"
    add("--face-frames", type=Path, metavar="DIR", help=frames)
    workers = f"processes (default: {DEFAULT_WORKERS}; 1 of a pretrained encoder); same result"
    add_engine_options(parser, workers)
    return parser
