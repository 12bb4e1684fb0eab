"""The sound that a page contains: mono at 16 kHz, as MP3, which every browser decodes.

Its bit rate is constant, since browsers seek in long files of another by estimates alone.
"""

import io
from pathlib import Path

import soundfile

from data_prep.audio.streaming import stream_audio
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.errors import UsageError

MEDIA_TYPE = "audio/mpeg"
_LEVEL = 0.84  # of libsndfile, which makes 32 kbit/s of it


def encode_sound(recording: Path) -> bytes:
    """Return a recording as the content of an MP3 file; it is decoded block by block.

    Raises:
        AudioError: it cannot be decoded.
        UsageError: libsndfile is too old to write MP3.
    """
    content = io.BytesIO()
    try:
        sound = soundfile.SoundFile(
            content,
            "w",
            SAMPLE_RATE,
            1,
            format="MP3",
            subtype="MPEG_LAYER_III",
            bitrate_mode="CONSTANT",
            compression_level=_LEVEL,
        )
    except (soundfile.SoundFileError, ValueError) as error:
        raise UsageError(
            f"--page-audio embed: libsndfile cannot write MP3 ({error}); give --page-audio link, "
            "or install a newer soundfile",
            "mp3-unsupported",
        ) from error
    with sound, stream_audio(recording) as stream:
        for block in stream:
            sound.write(block)
    return content.getvalue()
