"""Decode the audio of a data dir once: DATA_DIR/packed_audio/{split}.s16le, read by mmap.

    python -m data_prep.pack_audio DATA_DIR [--data-raw AUDIO_DIR]
    python -m data_prep.pack_audio DATA_DIR --out-dir /scratch/corpus

Every file, or segment of one, is read, checked, mixed to mono and resampled to the corpus's rate,
and its samples are stored as 16-bit integers, 32 kB a second at 16 kHz. Training that reads audio
(waveforms, or log-mel frames computed from them) reads them from there when they are there, so that
an epoch waits for the model and not for decoding. Samples of 16-bit files at this rate are stored
as they are; others are rounded to the nearest of 16 bits, without dither, and what is louder than
full scale is halved instead of clipped: `packed_audio.yaml` counts both.

The size is known, and compared with the free space, before the first file is decoded. A run that
was interrupted continues; running it again decodes only rows that are new, or whose files have
changed. A row whose file cannot be read is listed, and the others are packed.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from data_prep.command_line import make_parser, run_on_data_dir
from data_prep.engines import Workers
from data_prep.engines.options import DEFAULT_WORKERS, add_engine_options, take_engine
from data_prep.errors import raise_faults
from data_prep.files.remote import require_local
from data_prep.manifest.audio_root import audio_root
from data_prep.packed_audio.card import FOLDER, PackCard, read_card
from data_prep.packed_audio.packing import SplitToPack, in_gigabytes, pack
from data_prep.schema import read_corpus
from data_prep.tokens.binarize import read_splits


def pack_audio(
    data_dir: str | Path,
    data_raw: str | Path | None = None,
    *,
    out_dir: str | Path | None = None,
    workers: Workers = 1,
) -> Path:
    """Pack the audio of every split that is not up to date.

    Args:
        data_dir: folder of manifests and corpus.yaml.
        data_raw: folder that audio paths start from (default: that of corpus.yaml).
        out_dir: folder of the packed audio (default: `packed_audio` in `data_dir`).
        workers: number of processes, or an engine; the result is the same with any.

    Returns:
        The folder of the packed audio.

    Raises:
        ValueError: the data dir is invalid, the disk too small, or audio cannot be read; then all
            rows of which it cannot are listed, and the others are packed.
    """
    data_dir = Path(data_dir)
    folder = Path(out_dir) if out_dir is not None else data_dir / FOLDER
    rate = read_corpus(data_dir).sample_rate
    root = audio_root(data_dir, data_raw)
    splits = read_splits(data_dir)
    jobs = [
        SplitToPack(data_dir / f"{name}.tsv", rows, root, rate) for name, rows in splits.items()
    ]
    raise_faults(pack(jobs, folder, workers))
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: see the module's docstring."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return run_on_data_dir(options, _run, writes=[FOLDER])


def _run(options: argparse.Namespace) -> str:
    if options.out_dir is not None:
        require_local(options.out_dir, "--out-dir", "leave it out to write to DATA_DIR at a URL")
    engine = take_engine(options)
    folder = pack_audio(options.data_dir, options.data_raw, out_dir=options.out_dir, workers=engine)
    card = read_card(folder)
    assert card is not None
    return f"{folder}\n{summary_table(card)}"


def summary_table(card: PackCard) -> str:
    """Format a line per split: rows, hours, size, and how many rows are stored how."""
    lines = [f"{'split':<12}{'rows':>9}{'no audio':>10}{'hours':>9}{'size':>12}{'exact':>9}"]
    lines[0] += f"{'rounded':>9}{'halved':>8}{'max error':>11}"
    for name, split in card.splits.items():
        hours = split.samples / card.sample_rate / 3600
        lines.append(
            f"{name:<12}{split.rows:>9}{split.without_audio:>10}{hours:>9.2f}"
            f"{in_gigabytes(2 * split.samples):>12}{split.exact:>9}{split.rounded:>9}"
            f"{split.halved:>8}{split.max_error:>11g}"
        )
    return "\n".join([*lines, "max error: in units of 16 bits, 1/32768 of full scale"])


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("pack_audio", __doc__ or "", audio=False)
    add = parser.add_argument
    add("data_dir", type=Path, help="folder with {split}.tsv and corpus.yaml, or its URL (s3://…)")
    raw = "folder that audio paths start from (default: that of corpus.yaml)"
    add("--data-raw", type=Path, metavar="DIR", help=raw)
    out = "folder of the packed audio, for --packed-audio-dir (default: DATA_DIR/packed_audio)"
    add("--out-dir", type=Path, metavar="DIR", help=out)
    add_engine_options(parser, f"processes that decode (default: {DEFAULT_WORKERS}); same result")
    return parser
