"""Check a data dir: list every fault with file, row and remedy. Exits 0 when there is none, else 1.

A data dir holds one {split}.tsv a split and corpus.yaml. A manifest is tab-separated, with one
header row and without quoting; an empty field is a missing value. A row with start or end is that
segment of its audio, which is read by seeking; nothing is copied. Any column that is not listed
here is kept as it is. The columns:
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from data_prep.audio.faults import none_exists, unreadable
from data_prep.audio.loading import (
    AudioError,
    Measured,
    measure_all,
)
from data_prep.audio.segment import audio_of
from data_prep.command_line import (
    make_parser,
    run,
)
from data_prep.engines import Workers
from data_prep.engines.options import take_engine
from data_prep.errors import CodedError, Fault, ManifestError, group_lines
from data_prep.features.stored import FOLDER as FEATURES
from data_prep.features.stored import find_faults, find_missing
from data_prep.files.mirror import mirrored, with_origin
from data_prep.manifest.audio_root import audio_root, video_root
from data_prep.manifest.cells import (
    id_key,
    is_blank,
)
from data_prep.manifest.columns import column_help
from data_prep.manifest.labels import check_labels
from data_prep.manifest.table import (
    BoolArray,
    IntArray,
    ManifestTable,
    codes,
    group_numbers,
    has,
    numbers,
    value_numbers,
    values,
)
from data_prep.manifest.tsv import Scan
from data_prep.manifest.votes import OTHER, parse_votes
from data_prep.packed_audio import opening as packed_audio
from data_prep.packed_audio.card import FOLDER as PACKED_AUDIO
from data_prep.schema import (
    CORPUS_FILE,
    LABEL_COLUMNS,
    SAMPLE_RATE,
    Corpus,
    Utterance,
    read_corpus,
    scan_manifest,
    shared_values,
)
from data_prep.tokens.checking import check_tokens
from data_prep.tokens.token_sets import MODALITIES, token_sets
from data_prep.video.checking import check_segments
from data_prep.video.segment import VideoSegment, video_of

LENGTH_TOLERANCE = 1  # samples by which resamplers may round differently
_READS = (*MODALITIES, FEATURES, PACKED_AUDIO)  # folders of a data dir
SCORE_LIMIT = 3.0  # sentiment_score runs from -3 to 3


def validate(
    data_dir: str | Path,
    data_raw: str | Path | None = None,
    *,
    video_raw: str | Path | None = None,
    warnings: list[Fault] | None = None,
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
        if corpus and not scan.faults:
            faults += _count_faults(path, len(scan.rows), corpus)
    if not manifests:
        problem, remedy = "no {split}.tsv in it", "run the data_prep command again"
        faults.append(Fault(str(data_dir), None, problem, remedy, "manifest-missing"))
    for path, scan in manifests.items():
        faults += _content_faults(str(path), scan)
        faults += _label_faults(str(path), scan, corpus)
        faults += _vote_faults(str(path), scan, corpus)
    faults += _sharing_faults(manifests, corpus.disjoint if corpus else ())
    rate = corpus.sample_rate if corpus else SAMPLE_RATE
    try:
        raw = audio_root(data_dir, data_raw) if corpus else Path(data_raw or data_dir)
        bad_audio, odd = _audio_faults(manifests, raw, rate, workers, progress)
    except ManifestError as error:
        raw, bad_audio, odd = data_dir, [error.as_fault(data_dir)], []
    faults += bad_audio
    faults += _video_faults(manifests, data_dir, video_raw, raw, workers, progress)
    if warnings is not None:
        warnings += [*odd, *_missing_features(data_dir, whole)]
    faults += _feature_faults(data_dir, whole)
    faults += _packed_faults(data_dir, whole, raw)
    faults += _token_faults(data_dir, whole)
    return sorted(faults, key=lambda fault: (fault.file, fault.row or 0))


def find_warnings(data_dir: str | Path) -> list[str]:
    """What is odd about the labels of `data_dir`, and no fault; [] where it cannot be read."""
    try:
        corpus = read_corpus(data_dir)
    except ManifestError:
        return []
    paths = {split: Path(data_dir) / f"{split}.tsv" for split in corpus.splits}
    splits = {split: scan_manifest(path).rows for split, path in paths.items()}
    return check_labels(splits, corpus.labels)


def _manifest_paths(data_dir: Path, corpus: Corpus | None) -> list[Path]:
    """Return the manifests that corpus.yaml names, then any other .tsv of the folder."""
    named = [data_dir / f"{split}.tsv" for split in corpus.splits] if corpus else []
    return [*named, *sorted(set(data_dir.glob("[!.]*.tsv")) - set(named))]


def _count_faults(path: Path, n_rows: int, corpus: Corpus) -> Iterator[Fault]:
    counts = corpus.splits.get(path.stem)
    if counts is None:
        problem = f"a split that {CORPUS_FILE} does not name"
        remedy = "move it away, or run the data_prep command again"
        yield Fault(str(path), None, problem, remedy, "split-unknown")
    elif counts.get("rows") != n_rows:
        problem = f"{n_rows} rows where {CORPUS_FILE} counts {counts.get('rows')}"
        remedy = "run the data_prep command again, or correct the count"
        yield Fault(str(path), None, problem, remedy, "count-mismatch")


def _content_faults(file: str, scan: Scan) -> Iterator[Fault]:
    """Yield the faults of single rows."""
    for row in np.flatnonzero(_may_be_faulty(scan.rows)).tolist():
        for fault in _row_faults(scan.rows[row]):
            yield Fault(file, int(scan.lines[row]), *fault)


def _may_be_faulty(rows: ManifestTable) -> BoolArray:
    """Return which rows to check, (N,): all of those that have a fault, and few others."""
    has_audio, has_length = rows.has("audio"), rows.has("n_samples")
    with np.errstate(invalid="ignore"):
        is_empty = numbers(rows, "n_samples") == 0
        is_outside = np.abs(numbers(rows, "sentiment_score")) > SCORE_LIMIT
    text, audio, video = (rows.column(name) for name in ("text", "audio", "video"))
    # What is no blank text has a visible character other than a space; most begin with one.
    may_be_blank = pc.invert(pc.match_substring_regex(text, "^[!-~]"))
    may_be_absolute = [pc.starts_with(paths, "/") for paths in (audio, video)]
    by_text = [np.asarray(x.fill_null(False)) for x in (may_be_blank, *may_be_absolute)]
    neither = ~rows.has("text") & ~has_audio & ~rows.has("video")
    return np.any([neither, has_audio != has_length, is_empty, is_outside, *by_text], axis=0)


def _row_faults(row: Utterance) -> Iterator[tuple[str, str, str]]:
    """Yield (problem, remedy, code)."""
    if row.text is None and row.audio is None and row.video is None:
        yield "neither text, audio nor video", "give the row one of them, or remove it", "row-empty"
    if row.text is not None and is_blank(row.text):
        yield "the text is blank", "leave the field empty if there is no text", "text-blank"
    if row.audio is not None and row.n_samples is None:
        remedy = "write its length in samples at the corpus's rate"
        yield "audio without n_samples", remedy, "length-missing"
    if row.audio is None and row.n_samples is not None:
        yield "n_samples without audio", "name the audio file, or empty n_samples", "audio-missing"
    if row.n_samples == 0:
        yield "n_samples is 0", "remove the audio from the row", "audio-empty"
    for name, path, option in (("audio", row.audio, "data"), ("video", row.video, "video")):
        if path is not None and Path(path).is_absolute():
            problem = f"{name} {path} is an absolute path"
            yield problem, f"write it relative to --{option}-raw", "path-absolute"
    if row.sentiment_score is not None and abs(row.sentiment_score) > SCORE_LIMIT:
        problem = f"sentiment_score is {row.sentiment_score:g}, outside -3 to 3"
        yield problem, "correct the score", "score-out-of-range"


def _label_faults(file: str, scan: Scan, corpus: Corpus | None) -> Iterator[Fault]:
    if corpus is None:
        return
    for key in LABEL_COLUMNS:
        names = corpus.labels.get(key)
        unknown = _rows_of_values(scan, key, lambda label: not (names and label in names))  # noqa: B023
        for line, label in unknown:
            if names is None:
                remedy = f"list the {key} labels there, in order"
                problem = f"{CORPUS_FILE} has no {key} labels"
                yield Fault(file, line, problem, remedy, "labels-missing")
                break
            remedy = f"use one of {', '.join(names)}, or leave the field empty"
            yield Fault(file, line, f"unknown {key} {label!r}", remedy, "label-unknown")


def _vote_faults(file: str, scan: Scan, corpus: Corpus | None) -> Iterator[Fault]:
    """Yield votes for labels that corpus.yaml does not name."""
    if corpus is None:
        return
    known = {*corpus.labels.get("emotion", ()), OTHER}
    for line, votes in _rows_of_values(
        scan, "votes", lambda cell: bool({*parse_votes(cell)} - known)
    ):
        unknown = next(label for label in parse_votes(votes) if label not in known)
        remedy = f"use {', '.join(sorted(known))}; {OTHER} is what is no class"
        problem = f"votes for {unknown!r}, which is no emotion of {CORPUS_FILE}"
        yield Fault(file, line, problem, remedy, "label-unknown")


def _rows_of_values(
    scan: Scan, key: str, is_meant: Callable[[str], bool]
) -> Iterator[tuple[int, str]]:
    """Yield (line, value) of the rows whose value is meant; each value is judged once."""
    number_of, names = codes(scan.rows, key)
    meant = [number for number, name in enumerate(names) if is_meant(name)]
    for row in np.flatnonzero(np.isin(number_of, meant)).tolist():
        yield int(scan.lines[row]), names[int(number_of[row])]


def _sharing_faults(manifests: Mapping[Path, Scan], disjoint: Sequence[str]) -> Iterator[Fault]:
    """Yield ids, and values of the `disjoint` columns, in more than one split."""
    named = {str(path): scan for path, scan in manifests.items()}
    splits = {file: scan.rows for file, scan in named.items()}
    for key in ("id", *disjoint):
        line_of: dict[str, dict[str, int]] = {}
        for value, files in shared_values(splits, key).items():
            others = ", ".join(Path(file).name for file in files[:-1])
            line_of = line_of or {file: _first_lines(scan, key) for file, scan in named.items()}
            row = line_of[files[-1]][value]
            remedy = f"keep each {key} in one split"
            problem = f"{key} {value!r} is in {others} too"
            code = "id-duplicate" if key == "id" else "splits-overlap"
            yield Fault(files[-1], row, problem, remedy, code)
    for key in disjoint:
        for path, scan in manifests.items():
            unknown = scan.lines[~scan.rows.has(key)]
            if len(unknown):
                problem = (
                    f"{len(unknown)} rows from here have no {key}, by which splits are disjoint"
                )
                remedy = f"fill the {key} column"
                yield Fault(str(path), int(unknown[0]), problem, remedy, "unit-missing")


def _first_lines(scan: Scan, key: str) -> dict[str, int]:
    """Return the first line of each value of a column, an id by its `id_key`."""
    lines: dict[str, int] = {}
    for value, line in zip(values(scan.rows, key), scan.lines.tolist(), strict=True):
        if value is not None:
            lines.setdefault(id_key(value) if key == "id" else value, line)
    return lines


Part = tuple[Path, float, float | None]  # a recording, and the seconds that are read of it


def _audio_faults(
    manifests: Mapping[Path, Scan], raw: Path, rate: int, workers: Workers, progress: bool
) -> tuple[list[Fault], list[Fault]]:
    """Return faults and warnings of audio: missing, unreadable, of another length, or odd.

    Each file is decoded once.
    """
    with_audio = {
        path: scan._replace(rows=scan.rows.take(chosen), lines=scan.lines[chosen])
        for path, scan in manifests.items()
        if (chosen := scan.rows.has("audio")).any()
    }
    rows = ManifestTable.joined([scan.rows for scan in with_audio.values()])
    part_of, first_rows = _distinct_parts(rows)
    parts = [_part(rows[row], raw) for row in first_rows.tolist()]
    if fault := none_exists((path for path, _, _ in parts), raw):
        return [fault], []
    measured = measure_all(parts, rate, workers=workers, progress=progress)
    lengths = np.array([0 if isinstance(x, AudioError) else x.n_samples for x in measured])
    is_odd = np.array([isinstance(x, AudioError) or bool(x.warnings) for x in measured])
    faults: list[Fault] = []
    warnings: list[Fault] = []
    end = 0
    for path, scan in with_audio.items():
        begin, end = end, end + len(scan.rows)
        own = part_of[begin:end]
        # A row without n_samples is NaN, which differs by no number of samples.
        differs = np.abs(lengths[own] - numbers(scan.rows, "n_samples")) > LENGTH_TOLERANCE
        for row in np.flatnonzero(differs | is_odd[own]).tolist():
            where = str(path), int(scan.lines[row])
            bad, odd = _describe_audio(where, scan.rows[row], measured[int(own[row])], rate)
            faults += bad
            warnings += odd
    return faults, warnings


def _video_faults(
    manifests: Mapping[Path, Scan],
    data_dir: Path,
    video_raw: str | Path | None,
    raw: Path,
    workers: Workers,
    progress: bool,
) -> Iterator[Fault]:
    """Yield videos that are missing, or of which no picture can be decoded.

    Args:
        manifests: of the data dir.
        data_dir: the data dir.
        video_raw: `--video-raw`.
        raw: folder of the audio.
        workers: an engine, or a number of threads.
        progress: show a bar.
    """
    paths = dict.fromkeys(
        path for scan in manifests.values() for path in values(scan.rows, "video") if path
    )
    if not paths:
        return
    try:
        root = video_root(data_dir, video_raw, raw)
    except ManifestError as error:
        yield error.as_fault(data_dir)
        return
    if len(paths) > 1 and not any((root / path).exists() for path in paths):
        problem = f"none of its {len(paths)} videos is in {root}, such as {next(iter(paths))}"
        remedy = "give the folder that their paths start from with --video-raw"
        yield Fault(str(root), None, problem, remedy, "recordings-missing")
        return
    places, videos = [], []
    for file, scan in manifests.items():
        for row in np.flatnonzero(has(scan.rows, "video")).tolist():
            video = _video_of(scan.rows[row], root)
            if video is not None:  # of times that contradict each other, which are a fault already
                places.append((file, int(scan.lines[row]), scan.rows[row].video))
                videos.append(video)
    checked = check_segments(videos, workers=workers, progress=progress)
    for (file, line, path), video, result in zip(places, videos, checked, strict=True):
        if result is not None:
            remedy = "copy the file again, or empty the field"
            if not video.is_whole:
                remedy = f"correct start and end, {remedy}"
            problem = f"video {path}: {result}"
            yield Fault(str(file), line, problem, remedy, "video-invalid", str(result))


def _video_of(row: Utterance, root: Path) -> VideoSegment | None:
    """Return the video of a row; None where its times are no segment."""
    try:
        return video_of(row, root)
    except CodedError:
        return None


def _distinct_parts(rows: ManifestTable) -> tuple[IntArray, IntArray]:
    """Return the number of the part that each row reads (N,), and the first row of each (P,)."""
    times = (np.nan_to_num(numbers(rows, name), nan=-1.0) for name in ("start", "end"))
    groups = group_numbers(value_numbers(rows, "audio"), *times)
    _, first_rows, part_of = np.unique(groups, return_index=True, return_inverse=True)
    return part_of, first_rows


def _part(row: Utterance, raw: Path) -> Part:
    return raw / (row.audio or ""), row.start or 0.0, row.end


def _describe_audio(
    where: tuple[str, int], row: Utterance, measured: Measured | AudioError, rate: int
) -> tuple[list[Fault], list[Fault]]:
    """Return the faults and the warnings of the audio of one row, given file and line."""
    if isinstance(measured, AudioError):
        return [unreadable(*where, row, measured)], []
    name = str(audio_of(row, Path()))
    remedy = "it is used unchanged; empty audio and n_samples to leave it out"
    warnings = [
        Fault(*where, f"audio {name}: {warning}", remedy, "audio-odd")
        for warning in measured.warnings
    ]
    n_samples = measured.n_samples
    if abs(n_samples - (row.n_samples or n_samples)) <= LENGTH_TOLERANCE:
        return [], warnings
    problem = f"n_samples is {row.n_samples} where {name} has {n_samples} at {rate} Hz"
    return [Fault(*where, problem, "correct n_samples", "length-mismatch")], warnings


def _feature_faults(data_dir: Path, manifests: Mapping[Path, ManifestTable]) -> Iterator[Fault]:
    """Yield features that are damaged, of other rows, NaN or infinite; all are read."""
    for folder in sorted((data_dir / FEATURES).glob("[!.]*/")):
        for path, rows in manifests.items():
            yield from find_faults(folder, path.stem, rows)


def _missing_features(data_dir: Path, manifests: Mapping[Path, ManifestTable]) -> Iterator[Fault]:
    """Yield warnings of rows that have no features where others of the data dir have."""
    for folder in sorted((data_dir / FEATURES).glob("[!.]*/")):
        for path, rows in manifests.items():
            yield from find_missing(folder, path.stem, rows)


def _packed_faults(
    data_dir: Path, manifests: Mapping[Path, ManifestTable], raw: Path
) -> Iterator[Fault]:
    """Yield packed audio that is damaged, or not that of the files; all samples are read."""
    for path, rows in manifests.items():
        yield from packed_audio.find_faults(data_dir / PACKED_AUDIO, path, rows, raw)


def _token_faults(data_dir: Path, manifests: Mapping[Path, ManifestTable]) -> Iterator[Fault]:
    """Yield tokens that are damaged, of other rows or outside of their vocabulary."""
    for tokens in (tokens for name in MODALITIES for tokens in token_sets(data_dir, name)):
        for path, rows in manifests.items():
            files = [tokens.folder / f"{path.stem}.{ending}" for ending in ("bin", "idx")]
            if not any(file.exists() for file in files):
                continue
            try:
                check_tokens(tokens.folder, path.stem, rows)
            except ManifestError as error:
                yield error.as_fault(tokens.folder)


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
    faults = validate(
        data_dir,
        options.data_raw,
        video_raw=options.video_raw,
        warnings=odd_audio,
        workers=take_engine(options),
        progress=True,
    )
    warnings = find_warnings(data_dir)
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
