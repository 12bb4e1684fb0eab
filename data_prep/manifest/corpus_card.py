"""Read and write corpus.yaml, and write whole data dirs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, model_validator, with_config
from typing_extensions import TypedDict

from data_prep.errors import (
    CodedError,
    Fault,
    ManifestError,
)
from data_prep.files.documents import Count, Document, FileName, JsonObject, load_yaml, validate
from data_prep.files.remote import require_local
from data_prep.files.replacing import write_atomically
from data_prep.files.yaml_values import dump_yaml
from data_prep.manifest.columns import AXES, LABEL_COLUMNS
from data_prep.manifest.labels import check_labels
from data_prep.manifest.records import CORPUS_FILE, SAMPLE_RATE, Corpus, DroppedRow, Utterance
from data_prep.manifest.tsv import render_manifest

logger = logging.getLogger(__name__)
_REMEDY = "correct it, or run the data_prep script that writes it again"


@with_config(ConfigDict(strict=True, extra="forbid"))
class _Dropped(TypedDict):
    """Schema of a `DroppedRow`; a TypedDict, since there may be a million of them."""

    split: str
    id: str
    reason: str
    what: NotRequired[str]


class SplitCard(Document):
    """Schema of the counts of a split, see `count_split`."""

    rows: Count
    hours: Annotated[float, Field(ge=0)] = 0.0
    with_text: Count = 0
    with_audio: Count = 0
    with_vad: Count = 0
    with_video: Count = 0  # left out if there are none, as the next one
    with_votes: Count = 0  # rows with annotators' votes
    speakers: Count = 0
    dialogues: Count = 0
    emotion: dict[str, Count] = Field(default_factory=dict)  # rows of each label
    sentiment: dict[str, Count] = Field(default_factory=dict)
    corpus: dict[str, Count] = Field(default_factory=dict)  # rows of each corpus that was joined


def _label_column(name: str) -> str:
    if name not in LABEL_COLUMNS:
        raise ValueError(f"labels are for {' and '.join(LABEL_COLUMNS)}, not {name!r}")
    return name


def _label_names(names: list[str]) -> list[str]:
    if not names or len(set(names)) != len(names) or not all(names):
        raise ValueError(f"the labels are empty or named twice: {', '.join(names)}")
    return names


def _kept_apart(name: str) -> str:
    if name not in _APART:
        raise ValueError(f"disjoint is of {' and '.join(_APART)}, not {name!r}")
    return name


def _scales(vad: JsonObject | None) -> JsonObject | None:
    """Check each scale, of the corpus or of those it joins: two finite numbers, the lower first."""
    sources = (vad or {}).get("sources") or {}
    if not isinstance(sources, dict):
        raise ValueError(f"sources is {sources!r} where a mapping is expected")
    for part in (vad, *sources.values()):
        if not isinstance(part, dict):
            continue
        for key in ("scale", "source_scale"):
            scale = part.get(key)
            if scale is None:
                continue
            ends = scale if isinstance(scale, list) else []
            is_scale = len(ends) == _ENDS and all(type(end) in (int, float) for end in ends)
            if not is_scale or not ends[0] < ends[1]:  # type: ignore[operator]
                raise ValueError(f"{key} is {scale!r}, and not two numbers, the lower first")
    return vad


_APART = ("speaker", "dialogue")
_ENDS = 2  # numbers of a scale
_RENAMED = {"licence": "license"}  # keys of older versions


class CorpusCard(Document):
    """Schema of corpus.yaml. A key without a value is ignored."""

    name: Annotated[str, Field(min_length=1)]
    labels: dict[  # of `emotion` and `sentiment`, in the order of the classes
        Annotated[str, AfterValidator(_label_column)],
        Annotated[list[str], AfterValidator(_label_names)],
    ] = Field(default_factory=dict)
    vad: Annotated[JsonObject | None, AfterValidator(_scales)] = None
    sample_rate: Annotated[int, Field(gt=0, le=2**31)] = SAMPLE_RATE
    data_raw: Annotated[str | None, Field(min_length=1)] = None  # where audio paths start from
    video_raw: Annotated[str | None, Field(min_length=1)] = None  # where those of videos do
    disjoint: list[Annotated[str, AfterValidator(_kept_apart)]] = Field(default_factory=list)
    protocol: str = ""  # how the splits came about
    folds: JsonObject | None = None  # unit, number and seed of the folds of each protocol
    license: str = ""
    citation: str = ""
    ceilings: JsonObject | None = None  # best possible figures, where they are known
    notes: list[str] = Field(default_factory=list)  # what preparation has changed or found odd
    dropped: list[_Dropped] = Field(default_factory=list)  # rows or parts left out, and why
    splits: dict[FileName, SplitCard] = Field(default_factory=dict)  # counts, by split

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        given = {key: value for key, value in content.items() if value is not None}
        for old, new in _RENAMED.items():
            if old in given and new not in given:
                given[new] = given.pop(old)
        return given


def read_corpus(data_dir: str | Path) -> Corpus:
    """Read corpus.yaml of a data dir.

    Raises:
        ManifestError: the file is missing or invalid.
    """
    data_dir = Path(data_dir)
    path = data_dir / CORPUS_FILE

    def fail(problem: str, remedy: str) -> ManifestError:
        return ManifestError(
            Fault(
                str(path if data_dir.is_dir() else data_dir),
                None,
                problem,
                remedy,
                "corpus-card-invalid",
            )
        )

    require_local(data_dir, "DATA_DIR")
    if not data_dir.is_dir():
        raise fail("not a folder", "name the folder that a data_prep script wrote")
    if not path.is_file():
        raise fail(
            "no corpus.yaml, so this is no data dir, or one whose writing was cut short",
            "run the data_prep script that makes it (again)",
        )
    return _corpus_from(load_yaml(path, CorpusCard, remedy=_REMEDY))


def _corpus_from(card: CorpusCard) -> Corpus:
    content = card.model_dump(exclude_unset=True)
    content["labels"] = {key: tuple(names) for key, names in card.labels.items()}
    content["disjoint"] = tuple(card.disjoint)
    content["dropped"] = [DroppedRow(**row) for row in card.dropped]
    return Corpus(**content)


def write_corpus(
    out_dir: str | Path, corpus: Corpus, splits: Mapping[str, Sequence[Utterance]]
) -> None:
    """Write every {split}.tsv, and corpus.yaml last: a folder without it is incomplete.

    Fills `corpus.splits`, and prints the table of counts and warnings about labels.

    Raises:
        ValueError: before anything is written, an id is duplicate, or two splits share a value of
            a column in `corpus.disjoint`.
    """
    out_dir = Path(out_dir)
    _render_card(out_dir, corpus)
    manifests = {
        path: render_manifest(path, rows)
        for path, rows in ((out_dir / f"{split}.tsv", rows) for split, rows in splits.items())
    }
    _check_apart(corpus, splits)
    out_dir.mkdir(parents=True, exist_ok=True)
    for stale in _finished_splits(out_dir) - set(splits):
        (out_dir / f"{stale}.tsv").unlink(missing_ok=True)
    (out_dir / CORPUS_FILE).unlink(missing_ok=True)
    for path, text in manifests.items():
        write_atomically(path, text)
    corpus.splits = {split: count_split(rows, corpus) for split, rows in splits.items()}
    write_card(out_dir, corpus)
    logger.info("wrote %s: %s", out_dir, {s: c["rows"] for s, c in corpus.splits.items()})
    print(summary_table(corpus))
    for warning in check_labels(splits, corpus.labels):
        print(f"warning: {warning}")


def write_card(out_dir: Path, corpus: Corpus) -> None:
    """Write corpus.yaml atomically. Raises ManifestError if `read_corpus` would refuse it."""
    write_atomically(out_dir / CORPUS_FILE, dump_yaml(_render_card(out_dir, corpus)))


def _render_card(out_dir: Path, corpus: Corpus) -> dict[str, Any]:
    """Return the content of corpus.yaml. Raises ManifestError if `read_corpus` would refuse it."""
    card = asdict(corpus)
    card["labels"] = {key: list(names) for key, names in corpus.labels.items()}
    card["disjoint"] = list(corpus.disjoint)
    for name in ("data_raw", "video_raw"):
        if card[name] is None:
            del card[name]
    validate(card, CorpusCard, name=out_dir / CORPUS_FILE, remedy="nothing is written")
    return card


def _finished_splits(out_dir: Path) -> set[str]:
    """Return the splits that an earlier run wrote to a folder."""
    try:
        return set(read_corpus(out_dir).splits)
    except ManifestError:
        return set()


def _check_apart(corpus: Corpus, splits: Mapping[str, Sequence[Utterance]]) -> None:
    for key in ("id", *corpus.disjoint):
        for value, where in shared_values(splits, key).items():
            raise CodedError(
                f"{key} {value!r} is in {' and '.join(where)}; keep the splits apart",
                "splits-overlap",
            )


def shared_values(
    splits: Mapping[str, Sequence[Utterance]], key: str
) -> dict[str, tuple[str, ...]]:
    """Return the values of a column (such as "speaker") in more than one split, with the splits."""
    from data_prep.manifest.table import shared_cells

    splits_of: dict[str, dict[str, None]] = {}
    for split, cells in shared_cells(splits, key).items():
        for value in cells:
            splits_of.setdefault(value, {})[split] = None
    return {value: tuple(where) for value, where in splits_of.items()}


def count_split(rows: Sequence[Utterance], corpus: Corpus) -> dict[str, Any]:
    """Return the counts of a split for corpus.yaml; hours have three decimals."""
    import numpy as np

    from data_prep.manifest import table

    samples = int(table.counts(rows, "n_samples").sum())
    has_vad = np.all([table.has(rows, axis) for axis in AXES], axis=0)
    counts: dict[str, Any] = {
        "rows": len(rows),
        "hours": round(samples / corpus.sample_rate / 3600, 3),
        "with_text": int(table.has(rows, "text").sum()),
        "with_audio": int(table.has(rows, "audio").sum()),
        "with_vad": int(has_vad.sum()),
    }
    if with_video := int(table.has(rows, "video").sum()):
        counts["with_video"] = with_video
    if with_votes := int(table.has(rows, "votes").sum()):
        counts["with_votes"] = with_votes
    for key in ("speaker", "dialogue"):
        counts[f"{key}s"] = len(table.codes(rows, key)[1])
    for key, names in corpus.labels.items():
        seen = table.count_values(rows, key)
        counts[key] = {name: seen[name] for name in names}
    if sources := table.count_values(rows, "corpus"):
        counts["corpus"] = dict(sources)
    return counts


def summary_table(corpus: Corpus) -> str:
    """Format a line per split, its labels, and the dropped rows by reason, for `write_corpus`."""
    keys = ("rows", "hours", "with_text", "with_audio", "with_vad", "speakers", "dialogues")
    width = max(map(len, [corpus.name, *corpus.splits]))
    lines = [f"{corpus.name:<{width}}" + "".join(f"{key:>11}" for key in keys)]
    for split, counts in corpus.splits.items():
        lines.append(f"{split:<{width}}" + "".join(f"{counts[key]:>11}" for key in keys))
    for key in (*corpus.labels, "corpus"):
        for split, counts in corpus.splits.items():
            if key not in counts:
                continue
            shares = "  ".join(f"{name} {n}" for name, n in counts[key].items())
            lines.append(f"{key}, {split}: {shares}")
    for (part, reason), n in Counter((d.what, d.reason) for d in corpus.dropped).items():
        lines.append(f"dropped: {n} x {part}: {reason}")
    lines += [f"note: {note}" for note in corpus.notes]
    return "\n".join(lines)
