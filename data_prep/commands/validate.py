"""Check a data dir: list every fault with file, row and remedy. Exits 0 when there is none, else 1.

A data dir holds one {split}.tsv a split and corpus.yaml. A manifest is tab-separated, with one
header row and without quoting; an empty field is a missing value. A row with start or end is that
segment of its audio, which is read by seeking; nothing is copied. Any column that is not listed
here is kept as it is. The columns:
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from data_prep.command_line import make_parser, run
from data_prep.engines import Workers
from data_prep.engines.options import take_engine
from data_prep.errors import CodedError, Fault, ManifestError, group_lines
from data_prep.features.stored import FOLDER as FEATURES
from data_prep.files.mirror import mirrored, with_origin
from data_prep.manifest.audio_root import audio_root
from data_prep.manifest.columns import column_help
from data_prep.manifest.labels import check_labels
from data_prep.manifest.table import ManifestTable
from data_prep.packed_audio.card import FOLDER as PACKED_AUDIO
from data_prep.schema import SAMPLE_RATE, Corpus, read_corpus, scan_manifest
from data_prep.tokens.token_sets import MODALITIES
from data_prep.validation.derived import (
    feature_faults,
    missing_features,
    outdated_features,
    outdated_tokens,
    packed_audio_faults,
    token_faults,
)
from data_prep.validation.manifests import (
    count_faults,
    label_faults,
    row_faults,
    sharing_faults,
    vote_faults,
)
from data_prep.validation.recordings import audio_faults, video_faults

_READS = (*MODALITIES, FEATURES, PACKED_AUDIO)  # folders of a data dir


def validate(
    data_dir: str | Path,
    data_raw: str | Path | None = None,
    *,
    video_raw: str | Path | None = None,
    warnings: list[Fault] | None = None,
    label_warnings: list[str] | None = None,
    workers: Workers = None,
    progress: bool = False,
) -> list[Fault]:
    """Return every fault of a data dir, ordered by file and row; none of a valid one.

    Args:
        data_dir: the folder of manifests and corpus.yaml.
        data_raw: folder that `audio` paths start from (default: that of corpus.yaml).
        video_raw: folder that `video` paths start from (default: that of corpus.yaml).
        warnings: filled with what is odd, but used, such as digital silence, and with rows that
            have no features.
        label_warnings: filled with what is odd about the labels, and no fault.
        workers: an engine, or a number of threads, which decode audio and videos.
        progress: show bars.
    """
    data_dir = Path(data_dir)
    faults: list[Fault] = []
    corpus = None
    try:
        corpus = read_corpus(data_dir)
    except ManifestError as error:
        if not isinstance(error.fault, Fault) or not data_dir.is_dir():
            return [error.as_fault(data_dir)]
        faults.append(error.fault)
    manifests = {path: scan_manifest(path) for path in _manifest_paths(data_dir, corpus)}
    whole: dict[Path, ManifestTable] = {}  # those of which every row was read
    for path, scan in manifests.items():
        faults += scan.faults
        if not scan.faults:
            whole[path] = scan.rows
            faults += count_faults(path, len(scan.rows), corpus)
        faults += row_faults(str(path), scan)
        faults += label_faults(str(path), scan, corpus)
        faults += vote_faults(str(path), scan, corpus)
    if not manifests:
        problem, remedy = "no {split}.tsv in it", "run the data_prep command again"
        faults.append(Fault(str(data_dir), None, problem, remedy, "manifest-missing"))
    faults += sharing_faults(manifests, corpus.disjoint if corpus else ())
    if corpus and label_warnings is not None:
        splits = {split: manifests[data_dir / f"{split}.tsv"].rows for split in corpus.splits}
        label_warnings += check_labels(splits, corpus.labels)
    rate = corpus.sample_rate if corpus else SAMPLE_RATE
    try:
        raw = audio_root(data_dir, data_raw) if corpus else Path(data_raw or data_dir)
        bad_audio, odd = audio_faults(manifests, raw, rate, workers, progress)
    except ManifestError as error:
        raw, bad_audio, odd = data_dir, [error.as_fault(data_dir)], []
    faults += bad_audio
    faults += video_faults(manifests, data_dir, video_raw, raw, workers, progress)
    if warnings is not None:
        warnings += [*odd, *missing_features(data_dir, whole)]
        warnings += outdated_features(data_dir, whole, raw)
        warnings += outdated_tokens(data_dir, whole, raw)
    faults += feature_faults(data_dir, whole)
    faults += packed_audio_faults(data_dir, whole, raw)
    faults += token_faults(data_dir, whole)
    return sorted(faults, key=lambda fault: (fault.file, fault.row or 0))


def _manifest_paths(data_dir: Path, corpus: Corpus | None) -> list[Path]:
    """Return the manifests that corpus.yaml names, then any other .tsv of the folder."""
    named = [data_dir / f"{split}.tsv" for split in corpus.splits] if corpus else []
    return [*named, *sorted(set(data_dir.glob("[!.]*.tsv")) - set(named))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every fault of a data dir and their count; return 0 if there are none."""
    parser = make_parser("validate", f"{__doc__}{column_help()}")
    parser.add_argument(
        "data_dir", type=Path, help="folder with {split}.tsv and corpus.yaml, or its URL (s3://…)"
    )
    raw = "folder that audio paths start from (default: that of corpus.yaml)"
    parser.add_argument("--data-raw", type=Path, help=raw)
    videos = "folder that video paths start from (default: that of corpus.yaml)"
    parser.add_argument("--video-raw", type=Path, help=videos)
    options = parser.parse_args(arguments)
    return run(partial(_report_on, options))


def _report_on(options: argparse.Namespace) -> None:
    with mirrored(options.data_dir, reads=_READS) as folder:
        _report(options, folder)


def _report(options: argparse.Namespace, data_dir: Path) -> None:
    def show(line: str) -> None:
        print(with_origin(line, data_dir))

    odd_audio: list[Fault] = []
    warnings: list[str] = []
    faults = validate(
        data_dir,
        options.data_raw,
        video_raw=options.video_raw,
        warnings=odd_audio,
        label_warnings=warnings,
        workers=take_engine(options),
        progress=True,
    )
    warnings += [line for line, _ in group_lines(odd_audio)]
    is_whole = len(faults) == 1 and faults[0].row is None  # it is the error itself
    for line, alike in group_lines(faults) if not is_whole else ():
        show(f"{line} [{alike[0].code}]" if alike[0].code else line)
    for warning in warnings:
        show(f"warning: {warning}")
    if is_whole:
        raise ManifestError(faults[0])
    odd = f", {_count(len(warnings), 'warning')}" if warnings else ""
    if faults:
        message = f"{data_dir}: {_count(len(faults), 'fault')}{odd}"
        raise CodedError(message, "data-dir-invalid")
    show(f"{data_dir}: no fault{odd}")


def _count(n: int, name: str) -> str:
    return f"{n} {name}{'s' * (n != 1)}"
