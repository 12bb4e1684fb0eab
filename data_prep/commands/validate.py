"""Check a data dir: list every fault with file, row and remedy. Exits 0 when there is none, else 1.

A data dir holds one {split}.tsv a split and corpus.yaml. A manifest is tab-separated, with one
header row and without quoting; an empty field is a missing value. A row with start or end is that
segment of its audio, which is read by seeking; nothing is copied. Any column that is not listed
here is kept as it is. The columns:
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data_prep.audio.loading import (
    AudioError,
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
from data_prep.features.stored import find_faults, find_missing
from data_prep.manifest.audio_root import audio_root
from data_prep.manifest.cells import (
    id_key,
    is_blank,
)
from data_prep.manifest.columns import column_help
from data_prep.manifest.labels import check_labels
from data_prep.manifest.votes import OTHER, parse_votes
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
from data_prep.tokens.opened import check_tokens
from data_prep.tokens.token_sets import MODALITIES, token_sets

LENGTH_TOLERANCE = 1  # samples by which resamplers may round differently
SCORE_LIMIT = 3.0  # sentiment_score runs from -3 to 3

Rows = Sequence[tuple[int, Utterance]]


def validate(
    data_dir: str | Path,
    data_raw: str | Path | None = None,
    *,
    warnings: list[Fault] | None = None,
    workers: Workers = None,
    progress: bool = False,
) -> list[Fault]:
    """Return every fault of a data dir, ordered by file and row; none of a valid one.

    Args:
        data_dir: the folder of manifests and corpus.yaml.
        data_raw: folder that `audio` paths start from (default: that of corpus.yaml).
        warnings: filled with what is odd, but used, such as digital silence, and with rows that
            have no features.
        workers: an engine, or a number of threads, which decode audio.
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
    manifests: dict[Path, Rows] = {}
    whole: dict[Path, Rows] = {}  # those of which every row was read
    for path in _manifest_paths(data_dir, corpus):
        form: list[Fault] = []
        manifests[path] = scan_manifest(path, form.append)
        faults += form
        if not form:
            whole[path] = manifests[path]
        if corpus and not form:
            faults += _count_faults(path, manifests[path], corpus)
    if not manifests:
        problem, remedy = "no {split}.tsv in it", "run the data_prep command again"
        faults.append(Fault(str(data_dir), None, problem, remedy, "manifest-missing"))
    for path, rows in manifests.items():
        faults += _content_faults(str(path), rows)
        faults += _label_faults(str(path), rows, corpus)
        faults += _vote_faults(str(path), rows, corpus)
    faults += _sharing_faults(manifests, corpus.disjoint if corpus else ())
    rate = corpus.sample_rate if corpus else SAMPLE_RATE
    try:
        raw = audio_root(data_dir, data_raw) if corpus else Path(data_raw or data_dir)
        bad_audio, odd = _audio_faults(manifests, raw, rate, workers, progress)
    except ManifestError as error:
        bad_audio, odd = [error.as_fault(data_dir)], []
    faults += bad_audio
    if warnings is not None:
        warnings += [*odd, *_missing_features(data_dir, whole)]
    faults += _feature_faults(data_dir, whole)
    faults += _token_faults(data_dir, whole)
    return sorted(faults, key=lambda fault: (fault.file, fault.row or 0))


def find_warnings(data_dir: str | Path) -> list[str]:
    """What is odd about the labels of `data_dir`, and no fault; [] where it cannot be read."""
    try:
        corpus = read_corpus(data_dir)
    except ManifestError:
        return []
    paths = {split: Path(data_dir) / f"{split}.tsv" for split in corpus.splits}
    splits = {
        split: [row for _, row in scan_manifest(path, lambda fault: None)]
        for split, path in paths.items()
    }
    return check_labels(splits, corpus.labels)


def _manifest_paths(data_dir: Path, corpus: Corpus | None) -> list[Path]:
    """Return the manifests that corpus.yaml names, then any other .tsv of the folder."""
    named = [data_dir / f"{split}.tsv" for split in corpus.splits] if corpus else []
    return [*named, *sorted(set(data_dir.glob("[!.]*.tsv")) - set(named))]


def _count_faults(path: Path, rows: Rows, corpus: Corpus) -> Iterator[Fault]:
    counts = corpus.splits.get(path.stem)
    if counts is None:
        problem = f"a split that {CORPUS_FILE} does not name"
        remedy = "move it away, or run the data_prep command again"
        yield Fault(str(path), None, problem, remedy, "split-unknown")
    elif counts.get("rows") != len(rows):
        problem = f"{len(rows)} rows where {CORPUS_FILE} counts {counts.get('rows')}"
        remedy = "run the data_prep command again, or correct the count"
        yield Fault(str(path), None, problem, remedy, "count-mismatch")


def _content_faults(file: str, rows: Rows) -> Iterator[Fault]:
    """Yield the faults of single rows."""
    for row, utterance in rows:
        for fault in _row_faults(utterance):
            yield Fault(file, row, *fault)


def _row_faults(row: Utterance) -> Iterator[tuple[str, str, str]]:
    """Yield (problem, remedy, code)."""
    if row.text is None and row.audio is None:
        yield "neither text nor audio", "give the row one of them, or remove it", "row-empty"
    if row.text is not None and is_blank(row.text):
        yield "the text is blank", "leave the field empty if there is no text", "text-blank"
    if row.audio is not None and row.n_samples is None:
        remedy = "write its length in samples at the corpus's rate"
        yield "audio without n_samples", remedy, "length-missing"
    if row.audio is None and row.n_samples is not None:
        yield "n_samples without audio", "name the audio file, or empty n_samples", "audio-missing"
    if row.n_samples == 0:
        yield "n_samples is 0", "remove the audio from the row", "audio-empty"
    if row.audio is not None and Path(row.audio).is_absolute():
        problem = f"audio {row.audio} is an absolute path"
        yield problem, "write it relative to --data-raw", "path-absolute"
    if row.sentiment_score is not None and abs(row.sentiment_score) > SCORE_LIMIT:
        problem = f"sentiment_score is {row.sentiment_score:g}, outside -3 to 3"
        yield problem, "correct the score", "score-out-of-range"


def _label_faults(file: str, rows: Rows, corpus: Corpus | None) -> Iterator[Fault]:
    if corpus is None:
        return
    for key in LABEL_COLUMNS:
        names = corpus.labels.get(key)
        for row, utterance in rows:
            label = getattr(utterance, key)
            if label is None or (names and label in names):
                continue
            if names is None:
                remedy = f"list the {key} labels there, in order"
                problem = f"{CORPUS_FILE} has no {key} labels"
                yield Fault(file, row, problem, remedy, "labels-missing")
                break
            remedy = f"use one of {', '.join(names)}, or leave the field empty"
            yield Fault(file, row, f"unknown {key} {label!r}", remedy, "label-unknown")


def _vote_faults(file: str, rows: Rows, corpus: Corpus | None) -> Iterator[Fault]:
    """Yield votes for labels that corpus.yaml does not name."""
    known = {*(corpus.labels.get("emotion", ()) if corpus else ()), OTHER}
    for row, utterance in rows if corpus else ():
        votes = parse_votes(utterance.votes) if utterance.votes else {}
        if unknown := [label for label in votes if label not in known]:
            remedy = f"use {', '.join(sorted(known))}; {OTHER} stands for what is no class"
            problem = f"votes for {unknown[0]!r}, which is no emotion of {CORPUS_FILE}"
            yield Fault(file, row, problem, remedy, "label-unknown")


def _sharing_faults(manifests: Mapping[Path, Rows], disjoint: Sequence[str]) -> Iterator[Fault]:
    """Yield ids, and values of the `disjoint` columns, in more than one split."""
    splits = {str(path): [utterance for _, utterance in rows] for path, rows in manifests.items()}
    for key in ("id", *disjoint):
        for value, files in shared_values(splits, key).items():
            others = ", ".join(Path(file).name for file in files[:-1])
            key_of = id_key if key == "id" else str
            rows = manifests[Path(files[-1])]
            row = next(r for r, u in rows if key_of(getattr(u, key) or "") == value)
            remedy = f"keep each {key} in one split"
            problem = f"{key} {value!r} is in {others} too"
            code = "id-duplicate" if key == "id" else "splits-overlap"
            yield Fault(files[-1], row, problem, remedy, code)
    for key in disjoint:
        for path, rows in manifests.items():
            unknown = [row for row, utterance in rows if getattr(utterance, key) is None]
            if unknown:
                problem = (
                    f"{len(unknown)} rows from here have no {key}, by which splits are disjoint"
                )
                remedy = f"fill the {key} column"
                yield Fault(str(path), unknown[0], problem, remedy, "unit-missing")


def _audio_faults(
    manifests: Mapping[Path, Rows], raw: Path, rate: int, workers: Workers, progress: bool
) -> tuple[list[Fault], list[Fault]]:
    """Return faults and warnings of audio: missing, unreadable, of another length, or odd.

    Each file is decoded once.
    """
    faults, warnings = [], []
    rows = [(str(p), r, u) for p, part in manifests.items() for r, u in part if u.audio]
    parts = [(raw / (u.audio or ""), u.start or 0.0, u.end) for _, _, u in rows]
    distinct = list(dict.fromkeys(parts))
    if fault := _none_is_there(distinct, raw):
        return [fault], []
    lengths = measure_all(distinct, rate, workers=workers, progress=progress)
    length_of = dict(zip(distinct, lengths, strict=True))
    for (file, row, utterance), part in zip(rows, parts, strict=True):
        measured = length_of[part]
        if isinstance(measured, AudioError):
            remedy = "copy the file again, or remove the row"
            if utterance.is_segment and measured.code != "file-missing":
                remedy = "correct start and end, which are seconds in the file, or " + remedy
            problem = f"audio {utterance.audio}: {measured}"
            faults.append(Fault(file, row, problem, remedy, "audio-invalid", str(measured)))
            continue
        for warning in measured.warnings:
            problem = f"audio {audio_of(utterance, Path())}: {warning}"
            remedy = "it is used unchanged; empty audio and n_samples to leave it out"
            warnings.append(Fault(file, row, problem, remedy, "audio-odd"))
        n_samples = measured.n_samples
        if abs(n_samples - (utterance.n_samples or n_samples)) > LENGTH_TOLERANCE:
            problem = (
                f"n_samples is {utterance.n_samples} where {audio_of(utterance, Path())} has "
                f"{n_samples} at {rate} Hz"
            )
            faults.append(Fault(file, row, problem, "correct n_samples", "length-mismatch"))
    return faults, warnings


def _none_is_there(parts: Sequence[tuple[Path, float, float | None]], raw: Path) -> Fault | None:
    """Return one fault if no recording is there, as where `raw` is another folder."""
    paths = dict.fromkeys(path for path, _, _ in parts)
    if not paths or any(path.exists() for path in paths):
        return None
    example = next(iter(paths))
    problem = f"none of its {len(paths)} recordings is in {raw}, such as {example}"
    remedy = "give the folder that their paths start from with --data-raw"
    return Fault(str(raw), None, problem, remedy, "recordings-missing")


def _feature_faults(data_dir: Path, manifests: Mapping[Path, Rows]) -> Iterator[Fault]:
    """Yield features that are damaged, of other rows, NaN or infinite; all are read."""
    for folder in sorted((data_dir / "features").glob("[!.]*/")):
        for path, rows in manifests.items():
            yield from find_faults(folder, path.stem, [utterance for _, utterance in rows])


def _missing_features(data_dir: Path, manifests: Mapping[Path, Rows]) -> Iterator[Fault]:
    """Yield warnings of rows that have no features where others of the data dir have."""
    for folder in sorted((data_dir / "features").glob("[!.]*/")):
        for path, rows in manifests.items():
            yield from find_missing(folder, path.stem, [utterance for _, utterance in rows])


def _token_faults(data_dir: Path, manifests: Mapping[Path, Rows]) -> Iterator[Fault]:
    """Yield tokens that are damaged, of other rows or outside of their vocabulary."""
    for tokens in (tokens for name in MODALITIES for tokens in token_sets(data_dir, name)):
        for path, rows in manifests.items():
            files = [tokens.folder / f"{path.stem}.{ending}" for ending in ("bin", "idx")]
            if not any(file.exists() for file in files):
                continue
            try:
                check_tokens(tokens.folder, path.stem, [utterance for _, utterance in rows])
            except ManifestError as error:
                yield error.as_fault(tokens.folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every fault of a data dir and their count; return 0 if there are none."""
    parser = make_parser("validate", f"{__doc__}{column_help()}")
    parser.add_argument("data_dir", type=Path, help="folder with {split}.tsv and corpus.yaml")
    raw = "folder that audio paths start from (default: that of corpus.yaml)"
    parser.add_argument("--data-raw", type=Path, help=raw)
    options = parser.parse_args(arguments)
    return run(lambda: _report(options))


def _report(options: argparse.Namespace) -> None:
    odd_audio: list[Fault] = []
    faults = validate(
        options.data_dir,
        options.data_raw,
        warnings=odd_audio,
        workers=take_engine(options),
        progress=True,
    )
    warnings = find_warnings(options.data_dir)
    warnings += [line for line, _ in group_lines(odd_audio)]
    is_whole = len(faults) == 1 and faults[0].row is None  # it is the error itself
    for line, alike in group_lines(faults) if not is_whole else ():
        print(f"{line} [{alike[0].code}]" if alike[0].code else line)
    for warning in warnings:
        print(f"warning: {warning}")
    if is_whole:
        raise ManifestError(faults[0])
    odd = f", {_count(len(warnings), 'warning')}" if warnings else ""
    if faults:
        message = f"{options.data_dir}: {_count(len(faults), 'fault')}{odd}"
        raise CodedError(message, "data-dir-invalid")
    print(f"{options.data_dir}: no fault{odd}")


def _count(n: int, name: str) -> str:
    return f"{n} {name}{'s' * (n != 1)}"
