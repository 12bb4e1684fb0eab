"""Speech -> frames on disk: DATA_DIR/features/log_mel/{split}.npy + .lengths.

    python -m data_prep.extract_features DATA_DIR [--data-raw AUDIO_DIR]

Kaldi's log-mel filterbanks, 80 bands, 25 ms every 10 ms, in half precision. Training with
`--speech-input log_mel` reads them from here when they are there, instead of decoding every file in
every epoch. Running it again does only what is missing or has changed.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_prep.audio import FRAME_MS, FloatArray, log_mel, num_frames, read_audio
from data_prep.audio_length import default_workers
from data_prep.binarize import ordered_map, positive_int, read_splits
from data_prep.command_line import make_parser, run
from data_prep.schema import SAMPLE_RATE, Utterance
from data_prep.stored_features import read_card, rows_digest, write_split
from data_prep.token_folder import file_digest, sequence_digest

logger = logging.getLogger(__name__)

LOG_MEL = "log_mel"
N_MELS = 80
# Quantised to about 0.004 at a log energy of 8, a hundredth of what adjacent frames differ by.
DTYPE = "float16"


def frames_of(waveform: FloatArray) -> FloatArray:
    """(T, N_MELS) log-mel frames of a 16 kHz waveform; one shorter than a frame is filled up."""
    one_frame = SAMPLE_RATE * FRAME_MS // 1000
    if num_frames(len(waveform)) == 0:
        waveform = np.pad(waveform, (0, one_frame - len(waveform)))
    return log_mel(waveform, SAMPLE_RATE, N_MELS)


def extract_log_mel(
    data_dir: str | Path, data_raw: str | Path | None = None, workers: int = 1
) -> Path:
    """Write the log-mel frames of every split that is not up to date; returns their folder.

    Raises ValueError naming the file for audio that cannot be read.
    """
    folder = Path(data_dir) / "features" / LOG_MEL
    root = Path(data_raw or data_dir)
    settings = {"features": LOG_MEL, "n_mels": N_MELS, "sample_rate": SAMPLE_RATE, "dtype": DTYPE}
    with ordered_map(partial(_build, root), workers) as extract_all:
        for split, rows in read_splits(data_dir).items():
            card = read_card(folder)
            content = _content_digest(root, rows)
            wanted = {"manifest": rows_digest(rows), "content": content}
            finished = card.get("splits", {}).get(split) == wanted
            if finished and card.get("settings") == settings:
                logger.info("%s: %s is up to date, skipped", folder, split)
                continue
            frames = extract_all([row.audio for row in rows])
            shown = tqdm(frames, f"{LOG_MEL} {split}", len(rows), disable=None)
            write_split(folder, split, rows, shown, settings, content)
    return folder


def _content_digest(root: Path, rows: Sequence[Utterance]) -> str:
    """Of the audio files' bytes, wherever they lie."""
    return sequence_digest((row.id, row.audio and file_digest(root / row.audio)) for row in rows)


def _build(root: Path) -> Callable[[str | None], FloatArray]:
    def extract(audio: str | None) -> FloatArray:
        if audio is None:
            return np.zeros((0, N_MELS), dtype=np.float32)
        return frames_of(read_audio(root / audio))

    return extract


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: see the module's docstring."""
    parser = make_parser("extract_features", __doc__ or "", audio=False)
    parser.add_argument("data_dir", type=Path, help="folder with {split}.tsv and corpus.yaml")
    raw = "what `audio` is relative to (default: DATA_DIR)"
    parser.add_argument("--data-raw", type=Path, metavar="DIR", help=raw)
    workers = "processes (default: %(default)s); their number does not change the result"
    parser.add_argument(
        "--workers", type=positive_int, default=default_workers(), metavar="N", help=workers
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return run(lambda: print(extract_log_mel(options.data_dir, options.data_raw, options.workers)))


if __name__ == "__main__":
    sys.exit(main())
