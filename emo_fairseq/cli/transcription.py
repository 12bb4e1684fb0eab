"""Options of commands that transcribe speech without a text."""

import argparse
from collections.abc import Collection
from typing import TYPE_CHECKING

from emo_fairseq.errors import UsageError

if TYPE_CHECKING:
    from emo_fairseq.inference.transcribing import FasterWhisper

DEVICES = ("cpu", "cuda")


def add_transcription_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--transcribe`` and the options that act with it."""
    option = parser.add_argument_group("transcription (extra asr)").add_argument
    model = "transcribe speech without a text by faster-whisper: folder of a converted model, or "
    option("--transcribe", metavar="WHISPER", help=f"{model}a name such as small or tiny.en")
    language = "language of the speech, such as en (default: detected in each recording)"
    option("--language", metavar="CODE", help=language)
    device = "device that Whisper runs on (default: cpu)"
    option("--transcribe-device", choices=DEVICES, help=device)


def load_transcriber(options: argparse.Namespace) -> "FasterWhisper | None":
    """Load the Whisper of ``--transcribe``; None without it.

    Raises:
        UsageError: it cannot be loaded, or an option would have no effect.
    """
    if options.transcribe is None:
        for name in ("language", "transcribe_device"):
            if getattr(options, name) is not None:
                raise UsageError(
                    f"--{name.replace('_', '-')} acts with --transcribe; give both", "option-idle"
                )
        return None
    from emo_fairseq.inference.transcribing import faster_whisper

    device = options.transcribe_device or "cpu"
    return faster_whisper(
        options.transcribe,
        device,
        "int8" if device == "cpu" else "float16",
        options.language,
    )


def load_transcriber_of(
    options: argparse.Namespace, modalities: Collection[str]
) -> "FasterWhisper | None":
    """Load the Whisper of ``--transcribe`` for a model; None without it.

    Raises:
        UsageError: as :func:`load_transcriber`, or the model reads no text.
    """
    if options.transcribe is not None:
        from emo_fairseq.inference.transcribing import check_reads_text

        check_reads_text(modalities)
    return load_transcriber(options)
