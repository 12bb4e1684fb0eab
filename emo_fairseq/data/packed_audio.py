"""The packed audio of a split, opened, or written first, by ``--packed-audio``."""

import logging
from pathlib import Path

from data_prep.engines import default_workers
from data_prep.errors import group_lines
from data_prep.packed_audio.opening import open_packed
from data_prep.packed_audio.packing import SplitToPack, pack
from data_prep.packed_audio.stored import PackedAudio
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.data.manifest import Split
from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)

# The values of --packed-audio: read packed audio if there is any, pack it first, or never read it.
ANY_PACKED, CREATE_PACKED, NO_PACKED = PACKED_AUDIO = ("auto", "create", "off")


def open_packed_audio(mode: str, folder: Path, split: Split, root: Path) -> PackedAudio | None:
    """Open the packed audio of a split on disk; None if there is none, or it is out of date.

    The mode is one of :data:`PACKED_AUDIO`; `root` is the folder that audio paths start from.

    Raises:
        UsageError: it is damaged, or cannot be written.
    """
    if mode == NO_PACKED:
        return None
    rows = split.utterances
    otherwise = "it is packed again" if mode == CREATE_PACKED else ""
    try:
        packed = open_packed(folder, split.file, rows, root, SAMPLE_RATE, otherwise)
        if packed is None and mode == CREATE_PACKED:
            faults = pack(
                [SplitToPack(split.file, rows, root, SAMPLE_RATE)], folder, default_workers()
            )
            for line, _ in group_lines(faults):
                logger.warning("%s", line)
            packed = open_packed(folder, split.file, rows, root, SAMPLE_RATE)
    except OSError as error:
        raise UsageError(
            f"--packed-audio {mode}: {folder} cannot be written ({error.strerror}); choose another "
            "--packed-audio-dir",
            "packed-audio-unwritable",
        ) from error
    return packed
