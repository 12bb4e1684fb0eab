"""Write the data dir of a table, by a `TableRecipe`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.audio.decoding import AudioError
from data_prep.audio.loading import measure_all, note_warnings
from data_prep.engines import Workers
from data_prep.errors import CodedError, Fault, ManifestError, raise_faults
from data_prep.features.linked import Files, find_features, link_features
from data_prep.folds.draw import coarse_sentence, draw_splits
from data_prep.folds.records import ALL
from data_prep.manifest.audio_root import to_record
from data_prep.manifest.cells import fold_name, id_key, shown
from data_prep.manifest.labels import sort_labels
from data_prep.manifest.leaks import ERROR, find_twins
from data_prep.manifest.out_of_scale import VadScale
from data_prep.manifest.sound_digests import DIGESTS_FILE, sound_digests
from data_prep.manifest.votes import OTHER, majority, parse_votes
from data_prep.schema import (
    SAMPLE_RATE,
    SPLITS,
    Corpus,
    DroppedRow,
    Utterance,
    shared_values,
    write_corpus,
)
from data_prep.tables.ids import make_ids
from data_prep.tables.reader import open_table
from data_prep.tables.recipe import TableRecipe, check_recipe
from data_prep.tables.rows import LabelUse, Record, RowSource, read_records, read_rows
from data_prep.tables.segments import unread_times
from data_prep.video.checking import check_segments
from data_prep.video.segment import VideoSegment

logger = logging.getLogger(__name__)


def prepare_table(
    tables: Mapping[str, Path],
    out_dir: str | Path,
    recipe: TableRecipe,
    *,
    read: RowSource = read_rows,
    workers: Workers = None,
    progress: bool = False,
) -> Corpus:
    """Write the data dir of `tables`, {split: file}; "" for a table with the rows of all splits.

    `read` reads the rows of a table (default: `read_rows`).
    """
    check_recipe(recipe, tables)
    corpus = Corpus(recipe.name, license=recipe.license, citation=recipe.citation)
    corpus.notes += recipe.notes
    use = LabelUse()
    records = [
        record
        for split, path in tables.items()
        for record in read_records(path, split, recipe, corpus, read, use)
    ]
    if "id" not in recipe.columns:
        _make_ids(records, corpus)
    _refuse_repeated_ids(records, are_made="id" not in recipe.columns)
    _check_names_alike(records, corpus)
    _check_label_use(use, recipe, corpus)
    _describe_labels(records, recipe, corpus)
    _note_votes(records, recipe, corpus)
    if recipe.vad_scale:
        low, high = recipe.vad_scale
        mapping = f"(x - {low:g}) / {high - low:g}"
        corpus.vad = {"source_scale": [low, high], "mapping": mapping}
    if "audio" in recipe.columns:
        _check_times(records, recipe, corpus)
    if recipe.data_raw:
        if recipe.data_raw.absolute() != Path(out_dir).absolute():
            corpus.data_raw = to_record(recipe.data_raw)
        _measure(records, recipe, corpus, workers, progress)
        _check_videos(records, recipe, corpus, workers, progress)
    features = _find_features(records, recipe, corpus)
    records = list(_with_content(records, corpus, set().union(*features.values())))
    _describe_splits(records, recipe, corpus)
    _list_outside(records, recipe, corpus)
    splits = {s: [r.utterance for r in records if r.split == s] for s in (*SPLITS, ALL)}
    splits = {split: rows for split, rows in splits.items() if rows}
    if not splits:
        names = ", ".join(map(str, tables.values()))
        raise CodedError(f"{names}: no row can be used", "rows-missing")
    _note_shared(splits, corpus)
    if recipe.data_raw and len(splits) > 1:
        _note_twins(splits, recipe.data_raw, Path(out_dir), corpus)
    # The links first: the corpus.yaml marks a data dir as complete.
    link_features(Path(out_dir), features, {row.id for rows in splits.values() for row in rows})
    write_corpus(out_dir, corpus, splits)
    return corpus


def _note_shared(splits: Mapping[str, Sequence[Utterance]], corpus: Corpus) -> None:
    """Note speakers and dialogues of more than one split, where they are not kept apart."""
    for key in ("speaker", "dialogue"):
        shared = shared_values(splits, key)
        if shared and key not in corpus.disjoint:
            corpus.notes.append(f"{len(shared)} {key}s are in more than one split")


def _find_features(
    records: Sequence[Record], recipe: TableRecipe, corpus: Corpus
) -> dict[str, Files]:
    """Return the files of features by name and id, and note how many rows have one."""
    found = find_features(recipe.features, [record.utterance.id for record in records])
    for name, files in found.items():
        corpus.notes.append(
            f"features {name}: {len(files)} of {len(records)} rows have a file in "
            f"{recipe.features[name]}"
        )
    return found


def _note_twins(
    splits: Mapping[str, Sequence[Utterance]], root: Path, out_dir: Path, corpus: Corpus
) -> None:
    """Note and log recordings with the same bytes in two splits, by which scores are too high."""
    out_dir.mkdir(parents=True, exist_ok=True)
    digests, _ = sound_digests(splits, root, out_dir / DIGESTS_FILE)
    for leak in find_twins(splits, digests):
        if leak.level == ERROR:
            logger.warning("%s; remove them from one of the splits", leak.sentence)
            corpus.notes.append(leak.sentence)


def _make_ids(records: Sequence[Record], corpus: Corpus) -> None:
    rows = [record.utterance for record in records]
    made = make_ids(rows, [(record.split, record.line) for record in records])
    for record, row in zip(records, made, strict=True):
        record.utterance = row
    corpus.notes.append("no column fills id: ids are made of the names of files, or of lines")


def _refuse_repeated_ids(records: Sequence[Record], are_made: bool) -> None:
    first: dict[str, Record] = {}
    faults = []
    for record in records:
        other = first.setdefault(id_key(record.utterance.id), record)
        if other is not record:
            problem = f"id {shown(record.utterance.id)} was used in {other.file}, row {other.line}"
            remedy = "give every row its own id"
            if are_made and (audio := record.utterance.audio) == other.utterance.audio:
                problem = f"audio {shown(audio or '')} is that of {other.file}, row {other.line}"
                remedy = f"remove one of them, or {remedy} in a column id"
            faults.append(record.fault(problem, remedy, "id-duplicate"))
    raise_faults(faults)


def _check_names_alike(records: Sequence[Record], corpus: Corpus) -> None:
    """Refuse two ways to write one name, by which one speaker would be two, in two splits.

    They are the names 12 and 12.0, since programs write the numbers of a column with an empty
    cell as decimals, and names whose letters are composed in one and not in the other. Names
    that differ in case and spaces alone may be two, which is noted.
    """
    faults, notes = [], []
    for key in ("speaker", "session", "dialogue"):
        first: dict[str, Record] = {}
        for record in records:
            if name := getattr(record.utterance, key):
                first.setdefault(name, record)
        composed: dict[str, str] = {}
        for name, record in first.items():
            whole = name.removesuffix(".0")
            if whole != name and whole.isdecimal() and (other := first.get(whole)) is not None:
                problem = (
                    f"{key} {name} looks like {whole} of {other.file}, row {other.line}, written "
                    "as a decimal"
                )
                faults.append(record.fault(problem, f"write {whole} in all rows", "name-decimal"))
            elif (same := composed.setdefault(id_key(name), name)) != name:
                problem = (
                    f"{key} {name} is that of {first[same].file}, row {first[same].line}, but "
                    "the code points of its letters differ (such as é and e + U+0301)"
                )
                remedy = "normalize the column to NFC"
                faults.append(record.fault(problem, remedy, "name-composed"))
        alike: dict[str, list[str]] = {}
        for name in first:
            alike.setdefault(fold_name(name), []).append(name)
        if pairs := [names for names in alike.values() if len(names) > 1]:
            notes.append(
                f"{key}s that look alike are taken for different ones: "
                + ", ".join("=".join(map(shown, names)) for names in pairs[:3])
                + (f" and {len(pairs) - 3} more" if len(pairs) > 3 else "")
            )
    raise_faults(faults)
    for note in notes:
        logger.warning("%s", note)
    corpus.notes += notes


def _check_label_use(use: LabelUse, recipe: TableRecipe, corpus: Corpus) -> None:
    """Refuse options with a label that no row has, and note spaces that were stripped.

    Raises:
        CodedError: such an option.
    """
    for key, seen in use.seen.items():
        option = "--label-map" if key == "emotion" else "--sentiment-map"
        changes = recipe.label_map.get(key, {})
        named = [(f"{option} {old}={new}", old) for old, new in changes.items()]
        if key == "emotion":
            named += [(f"--drop-label {label}", label) for label in recipe.drop_labels]
        for text, label in named:
            if label not in seen and label not in recipe.class_names.get(key, ()):
                known = ", ".join(map(shown, sort_labels(seen))) or "none"
                message = f"{text}: no row has the {key} {shown(label)}; there are {known}"
                raise CodedError(message, "label-unknown")
        if n := use.padded[key]:
            corpus.notes.append(f"{n} cells of {key} had spaces around the label, taken off")


def _describe_labels(records: Sequence[Record], recipe: TableRecipe, corpus: Corpus) -> None:
    """Set the label sets: in the given order, else sorted, which is noted."""
    for key in recipe.label_keys:
        labels = {getattr(record.utterance, key) for record in records} - {None}
        if key == "emotion" and recipe.has_votes:
            labels |= _voted_labels(records)
        order = tuple(recipe.label_order.get(key, ()))
        if order:
            absent = [label for label in order if label not in labels]
            if absent:
                corpus.notes.append(f"{key} labels that no row has: {', '.join(absent)}")
        elif labels:
            order = tuple(sort_labels(labels))
            corpus.notes.append(f"no order was given for {key}: its labels are sorted")
        else:
            file = f"{records[0].file}: " if records else ""
            column = recipe.columns.get(key) or ", ".join(recipe.vote_columns.values()) or "votes"
            message = f"{file}column {column} holds no {key} label at all"
            raise CodedError(message, "labels-missing")
        corpus.labels[key] = order


def _voted_labels(records: Sequence[Record]) -> set[str]:
    """Return the labels that rows have votes for, without `OTHER`."""
    texts = {record.utterance.votes for record in records} - {None}
    return {label for text in texts for label in parse_votes(text or "")} - {OTHER}


def _note_votes(records: Sequence[Record], recipe: TableRecipe, corpus: Corpus) -> None:
    """Note how many rows have votes, and how many of them no class: by ties, or for `OTHER`."""
    if not recipe.has_votes:
        return
    voted = [record.utterance for record in records if record.utterance.votes is not None]
    without = [parse_votes(row.votes or "") for row in voted if row.emotion is None]
    n_ties = sum(majority(votes) is None for votes in without)
    corpus.notes.append(
        f"{len(voted)} of {len(records)} rows have annotators' votes; {len(without)} of them have "
        f"no emotion: {n_ties} without agreement (a tie), {len(without) - n_ties} others"
    )


def _list_outside(records: Sequence[Record], recipe: TableRecipe, corpus: Corpus) -> None:
    """List the ratings outside the scale that are clipped or left out."""
    if recipe.vad_scale is not None:
        outside = [(r.utterance.id, axis, value) for r in records for _, axis, value in r.outside]
        scale = VadScale(*recipe.vad_scale, recipe.out_of_scale, outside)
        scale.list_outside(corpus, {r.utterance.id: r.split for r in records})


def _check_times(records: Sequence[Record], recipe: TableRecipe, corpus: Corpus) -> None:
    """Refuse unread columns of times if rows share audio; else note them."""
    faults = []
    audio = [record.utterance.audio for record in records]  # of all tables: splits share files, too
    for path in dict.fromkeys(record.file for record in records):
        unread = unread_times(_unread_columns(path, recipe), recipe.columns, audio)
        if unread is None:
            continue
        problem, remedy, is_shared = unread
        if is_shared:
            remedy += "; keep what is no time in the audio with --extra, or rename its column"
            faults.append(Fault(str(path), None, problem, remedy, "times-unread"))
        else:
            logger.warning("%s: %s; %s", path, problem, remedy)
            corpus.notes.append(f"{path.name}: {problem}; {remedy}")
    raise_faults(faults)


def _unread_columns(path: Path, recipe: TableRecipe) -> Sequence[str]:
    if recipe.unread is not None:
        return recipe.unread
    used = {*recipe.columns.values(), *recipe.vote_columns.values(), *recipe.extra}
    used |= {recipe.split_column or ""}
    return [name for name in open_table(path, recipe.format).columns if name not in used]


def _measure(
    records: Sequence[Record],
    recipe: TableRecipe,
    corpus: Corpus,
    workers: Workers,
    progress: bool,
) -> None:
    """Fill n_samples; a bad file is a fault, or, with `drop_bad_audio`, dropped and listed."""
    root = recipe.data_raw or Path()
    spoken = [record for record in records if record.utterance.audio]
    rows = [record.utterance for record in spoken]
    parts = [(root / (row.audio or ""), row.start or 0.0, row.end) for row in rows]
    if parts and not any(path.exists() for path, _, _ in parts):
        raise CodedError(
            f"{root}: none of the {len(parts)} recordings is there, such as {parts[0][0]}; give "
            "the folder that their paths start from with --data-raw",
            "recordings-missing",
        )
    lengths = measure_all(parts, SAMPLE_RATE, workers=workers, progress=progress)
    faults = []
    for record, length in zip(spoken, lengths, strict=True):
        row = record.utterance
        if not isinstance(length, AudioError):
            record.utterance = replace(row, n_samples=length.n_samples)
        elif recipe.drop_bad_audio:
            corpus.dropped.append(DroppedRow(record.split, row.id, str(length), "audio"))
            record.utterance = _without(row, "audio")
        else:
            remedy = "repair the file, or leave such audio out with --drop-bad-audio"
            if row.is_segment:
                remedy = "correct start and end, which are seconds in the file, or " + remedy
            problem = f"audio {root / (row.audio or '')}: {length}"
            fault = record.fault(problem, remedy, "audio-invalid")
            faults.append(replace(fault, reason=str(length)))
    raise_faults(faults)
    names = (record.utterance.id for record in spoken)
    note_warnings(corpus, zip(names, lengths, strict=True))
    if spoken and all(isinstance(length, AudioError) for length in lengths):
        raise CodedError(
            f"{root}: none of its {len(spoken)} audio files can be used; check --data-raw",
            "recordings-missing",
        )


def _check_videos(
    records: Sequence[Record],
    recipe: TableRecipe,
    corpus: Corpus,
    workers: Workers,
    progress: bool,
) -> None:
    """Decode a picture of each video; a bad file is a fault, or is dropped as bad audio is."""
    root = recipe.data_raw or Path()
    filmed = [record for record in records if record.utterance.video]
    rows = [record.utterance for record in filmed]
    videos = [VideoSegment(root / (row.video or ""), row.start or 0.0, row.end) for row in rows]
    faults = []
    for record, result in zip(
        filmed, check_segments(videos, workers=workers, progress=progress), strict=True
    ):
        row = record.utterance
        if result is None:
            continue
        if recipe.drop_bad_audio:
            corpus.dropped.append(DroppedRow(record.split, row.id, str(result), "video"))
            record.utterance = _without(row, "video")
            continue
        problem = f"video {root / (row.video or '')}: {result}"
        remedy = "repair the file, or leave such videos out with --drop-bad-audio"
        if row.is_segment:
            remedy = "correct start and end, which are seconds in the file, or " + remedy
        faults.append(replace(record.fault(problem, remedy, "video-invalid"), reason=str(result)))
    raise_faults(faults)


def _without(row: Utterance, name: str) -> Utterance:
    """Return a row without its audio or its video; without both, its times go, too."""
    less = replace(row, audio=None) if name == "audio" else replace(row, video=None)
    is_recorded = less.audio is not None or less.video is not None
    return less if is_recorded else replace(less, start=None, end=None)


def _with_content(
    records: Sequence[Record], corpus: Corpus, with_features: Collection[str]
) -> Iterator[Record]:
    """Yield the rows with an input, which are those with features, too, by id."""
    for record in records:
        row = record.utterance
        has_input = row.id in with_features or row.text or row.audio or row.video
        if not has_input:
            reason = "neither text, audio nor video"
            reason += " nor features" if with_features else ""
            corpus.dropped.append(DroppedRow(record.split, record.utterance.id, reason))
        else:
            yield record


def _describe_splits(records: Sequence[Record], recipe: TableRecipe, corpus: Corpus) -> None:
    """Draw the splits if the recipe has `split_by`, and describe them in the card."""
    apart = set(recipe.disjoint)
    if not recipe.split_by:
        source = f"column {recipe.split_column}" if recipe.split_column else "one table each"
        is_unsplit = {record.split for record in records} == {ALL}
        corpus.protocol = "one split of all rows, for folds" if is_unsplit else f"splits: {source}"
    else:
        groups = [_group(record, recipe.split_by) for record in records]
        sizes = Counter(groups)
        split_of = _draw(sizes, recipe, records)
        for record, group in zip(records, groups, strict=True):
            record.split = split_of[group]
        if coarse := coarse_sentence(sizes, split_of, recipe.fractions, recipe.split_by):
            logger.warning("--split-by %s: %s", recipe.split_by, coarse)
            corpus.notes.append(coarse)
        shares = ", ".join(f"{split} {share:g}" for split, share in recipe.fractions.items())
        corpus.protocol = f"drawn at random by {recipe.split_by}, seed {recipe.seed}: {shares}"
        apart |= {recipe.split_by} & {"speaker", "dialogue"}
    corpus.disjoint = tuple(sorted(apart))


def _draw(
    sizes: Mapping[str, int], recipe: TableRecipe, records: Sequence[Record]
) -> dict[str, str]:
    try:
        return draw_splits(sizes, recipe.fractions, recipe.seed)
    except CodedError as error:
        if error.code != "groups-too-few":
            raise
        raise CodedError(f"{records[0].file}: {error}", error.code) from None


def _group(record: Record, key: str) -> str:
    value = record.utterance.id if key == "row" else getattr(record.utterance, key)
    if value is None:
        problem, remedy = f"no {key}, by which splits are drawn", f"fill in the {key}"
        raise ManifestError(record.fault(problem, remedy, "unit-missing"))
    return str(value)
