"""The sound that a page contains: mono at 16 kHz, as MP3, which every browser decodes.

Its bit rate is constant, since browsers seek in long files of another by estimates alone. Such a
file states no delay of encoder and decoder, by which the sound would lag behind the times of turns:
it contains the recording without its first 69 ms.
"""

import io
from pathlib import Path

import numpy as np
import soundfile

from data_prep.audio.streaming import stream_audio
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.errors import UsageError

MEDIA_TYPE = "audio/mpeg"
_LEVEL = 0.84  # of libsndfile, which makes 32 kbit/s of it
_DELAY = 576 + 529  # samples of silence that LAME and a decoder add


def encode_sound(recording: Path) -> bytes:
    """Return a recording as the content of an MP3 file; it is decoded block by block.

    A decoder gives each sample at its time in the recording, after 69 ms of silence.

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
        n_left_out = _DELAY
        for block in stream:
            sound.write(block[n_left_out:])
            n_left_out = max(0, n_left_out - len(block))
        sound.write(np.zeros(_DELAY, np.float32))
    return content.getvalue()
