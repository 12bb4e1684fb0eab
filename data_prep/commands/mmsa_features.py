"""MMSA's features of CMU-MOSI and CMU-MOSEI -> DATA_DIR/features/<name>/{split}.npy + .lengths.

    python -m data_prep.mmsa_features DATA_DIR unaligned_50.pkl
    python -m data_prep.mmsa_features DATA_DIR aligned_50.pkl --nonfinite zero

`audio` and `vision` become folders of their own, `<name of the file>-audio` and `-vision`, whose
rows are those of the manifest; the plugin reads them by `--speech-encoder features:<name>` and
`--video-encoder features:<name>`. Padding is cut off by the pickle's lengths, or, if it has none
(the aligned ones) or with `--lengths content`, after the last frame that is not all zeros; padding
before the frames is seen and cut off likewise. MMSA counts a length up to the first frame of zeros,
so that by its lengths what follows a gap is lost: such rows are counted. A row whose frames are all
zeros has no features (a length of 0): it does not become a zero vector.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_prep.command_line import (
    make_parser,
    run,
)
from data_prep.features.extraction import extract
from data_prep.features.mmsa import LENGTHS, NONFINITE, PickledFeatures, Report
from data_prep.features.mmsa_pickles import load_pickle, read_modality
from data_prep.files.digests import file_digests
from data_prep.tokens.binarize import read_splits

MODALITIES = ("audio", "vision")


def unpack_features(
    data_dir: str | Path,
    pickle_file: str | Path,
    *,
    modalities: Sequence[str] = MODALITIES,
    name: str | None = None,
    lengths: str = "auto",
    nonfinite: str = "refuse",
    dtype: str = "float32",
) -> dict[str, dict[str, Report]]:
    """Write the folders `<name>-<modality>`; returns {folder's name: {split: what was found}}.

    Raises ValueError where the file is no such pickle, none of the manifest's rows is in it, or its
    frames are NaN or infinite and `nonfinite` is not "zero".
    """
    data_dir, pickle_file = Path(data_dir), Path(pickle_file)
    splits = read_splits(data_dir)
    data = load_pickle(pickle_file)
    (digest,) = file_digests([pickle_file], data_dir / "features" / ".digests.json")
    reports = {}
    for modality in modalities:
        source = PickledFeatures(
            modality,
            read_modality(pickle_file, data, modality),
            digest or "",
            lengths=lengths,
            nonfinite=nonfinite,
        )
        surveys = {split: source.survey(split, rows) for split, rows in splits.items()}
        folder = f"{name or pickle_file.stem}-{modality}"
        about = {
            "pickle": pickle_file.name,
            "padding": str(source.unpadded),
            "rows": {split: report.counts() for split, report in surveys.items()},
        }
        extract(data_dir, folder, source, dtype=dtype, about=about)
        reports[folder] = surveys
    return reports


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of `unpack_features`."""
    parser = make_parser("mmsa_features", __doc__ or "", audio=False)
    add = parser.add_argument
    add("data_dir", type=Path, help="folder that data_prep.cmu_mosi or cmu_mosei wrote")
    add("pickle_file", type=Path, help="aligned_50.pkl, unaligned_50.pkl, or one like them")
    of = "what to unpack (default: both)"
    add("--modality", nargs="+", choices=MODALITIES, default=list(MODALITIES), help=of)
    add("--name", help="folders are NAME-audio and NAME-vision (default: the name of the file)")
    ends = (
        "where a row's frames end: given, by the pickle's lengths; content, before its zeros; "
        "auto, given if there are lengths"
    )
    add("--lengths", choices=LENGTHS, default="auto", help=f"{ends} (default: %(default)s)")
    odd = "numbers that are NaN or infinite, as COVAREP makes: refuse them, or write 0 instead"
    add("--nonfinite", choices=NONFINITE, default="refuse", help=f"{odd} (default: %(default)s)")
    dtype = "numbers on disk (default: %(default)s)"
    add("--dtype", choices=("float16", "float32"), default="float32", help=dtype)
    options = parser.parse_args(arguments)
    return run(lambda: _unpack(options))


def _unpack(options: argparse.Namespace) -> None:
    reports = unpack_features(
        options.data_dir,
        options.pickle_file,
        modalities=options.modality,
        name=options.name,
        lengths=options.lengths,
        nonfinite=options.nonfinite,
        dtype=options.dtype,
    )
    for folder, surveys in reports.items():
        for split, report in surveys.items():
            print(f"{folder}, {split}: {report}")
