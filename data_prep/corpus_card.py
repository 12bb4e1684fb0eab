"""corpus.yaml in and out, and `write_corpus`: a whole data dir, or none."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml

from data_prep.cells import id_key
from data_prep.labels import check_labels
from data_prep.manifest import render_manifest, write_atomically
from data_prep.records import (
    AXES,
    CORPUS_FILE,
    LABEL_COLUMNS,
    Corpus,
    DroppedRow,
    Fault,
    ManifestError,
    Utterance,
)

logger = logging.getLogger(__name__)
_YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_corpus(data_dir: str | Path) -> Corpus:
    """Read `data_dir`/corpus.yaml. Raises ManifestError when there is none or it is malformed."""
    data_dir = Path(data_dir)
    path = data_dir / CORPUS_FILE

    def fail(what: str, remedy: str) -> ManifestError:
        return ManifestError(
            Fault(str(path if data_dir.is_dir() else data_dir), None, what, remedy)
        )

    if not data_dir.is_dir():
        raise fail("not a folder", "name the folder that a data_prep script wrote")
    if not path.is_file():
        raise fail(
            "no corpus.yaml, so this is no data dir, or one whose writing was cut short",
            "run the data_prep script that makes it (again)",
        )
    try:
        card = yaml.load(path.read_text(encoding="utf-8"), Loader=_YAML_LOADER)
        return _corpus_from(card)
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise fail(f"cannot be understood ({' '.join(str(error).split())})", "mend it") from error


def _corpus_from(card: Any) -> Corpus:
    if not isinstance(card, dict) or not card.get("name"):
        raise ValueError("it does not name its corpus")
    unknown = set(card) - {f.name for f in fields(Corpus)}
    if unknown:
        raise ValueError(f"unknown key {', '.join(sorted(map(str, unknown)))}")
    card = {key: value for key, value in card.items() if value is not None}
    card["labels"] = {
        str(key): tuple(map(str, names)) for key, names in card.get("labels", {}).items()
    }
    card["disjoint"] = tuple(card.get("disjoint", ()))
    card["dropped"] = [DroppedRow(**row) for row in card.get("dropped", ())]
    corpus = Corpus(**card)
    check_card(corpus)
    return corpus


def check_card(corpus: Corpus) -> None:
    """Raise ValueError where the card contradicts the contract."""
    for key, names in corpus.labels.items():
        if key not in LABEL_COLUMNS:
            raise ValueError(f"labels are for {' and '.join(LABEL_COLUMNS)}, not {key!r}")
        if not names or len(set(names)) != len(names) or not all(names):
            raise ValueError(f"the {key} labels are empty or named twice: {names}")
    if odd := set(corpus.disjoint) - {"speaker", "dialogue"}:
        raise ValueError(f"disjoint is of speaker and dialogue, not {', '.join(sorted(odd))}")
    if corpus.sample_rate <= 0:
        raise ValueError(f"sample_rate is {corpus.sample_rate}")


def write_corpus(
    out_dir: str | Path, corpus: Corpus, splits: Mapping[str, Sequence[Utterance]]
) -> None:
    """Write every {split}.tsv, and corpus.yaml last: a folder without it was never finished.

    Fills `corpus.splits` and prints the table of counts, and what is odd about the labels. Raises
    ValueError, before anything is written, when an id occurs twice or when two splits share what
    `corpus.disjoint` names.
    """
    check_card(corpus)
    _check_apart(corpus, splits)
    out_dir = Path(out_dir)
    manifests = {
        path: render_manifest(path, rows)
        for path, rows in ((out_dir / f"{split}.tsv", rows) for split, rows in splits.items())
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    for stale in _finished_splits(out_dir) - set(splits):
        (out_dir / f"{stale}.tsv").unlink(missing_ok=True)
    (out_dir / CORPUS_FILE).unlink(missing_ok=True)
    for path, text in manifests.items():
        write_atomically(path, text)
    corpus.splits = {split: count_split(rows, corpus) for split, rows in splits.items()}
    card = asdict(corpus)
    card["labels"] = {key: list(names) for key, names in corpus.labels.items()}
    card["disjoint"] = list(corpus.disjoint)
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=100)
    write_atomically(out_dir / CORPUS_FILE, text)
    logger.info("wrote %s: %s", out_dir, {s: c["rows"] for s, c in corpus.splits.items()})
    print(summary_table(corpus))
    for warning in check_labels(splits, corpus.labels):
        print(f"warning: {warning}")


def _finished_splits(out_dir: Path) -> set[str]:
    """The splits that an earlier run wrote into this folder."""
    try:
        return set(read_corpus(out_dir).splits)
    except ManifestError:
        return set()


def _check_apart(corpus: Corpus, splits: Mapping[str, Sequence[Utterance]]) -> None:
    for key in ("id", *corpus.disjoint):
        for value, where in shared_values(splits, key).items():
            raise ValueError(f"{key} {value!r} is in {' and '.join(where)}; keep the splits apart")


def shared_values(
    splits: Mapping[str, Iterable[Utterance]], key: str
) -> dict[str, tuple[str, ...]]:
    """The values of `key` (such as "speaker") found in more than one split, with those splits."""
    found: dict[str, dict[str, None]] = {}
    for split, rows in splits.items():
        for row in rows:
            value = getattr(row, key)
            if value is not None:
                value = id_key(value) if key == "id" else value
                found.setdefault(value, {})[split] = None
    return {value: tuple(where) for value, where in found.items() if len(where) > 1}


def count_split(rows: Sequence[Utterance], corpus: Corpus) -> dict[str, Any]:
    """The counts that corpus.yaml gives for one split; hours have three decimals."""
    samples = sum(row.n_samples or 0 for row in rows)
    counts: dict[str, Any] = {
        "rows": len(rows),
        "hours": round(samples / corpus.sample_rate / 3600, 3),
        "with_text": sum(row.text is not None for row in rows),
        "with_audio": sum(row.audio is not None for row in rows),
        "with_vad": sum(all(getattr(row, axis) is not None for axis in AXES) for row in rows),
    }
    for key in ("speaker", "dialogue"):
        values = {getattr(row, key) for row in rows} - {None}
        counts[f"{key}s"] = len(values)
    for key, names in corpus.labels.items():
        seen = Counter(getattr(row, key) for row in rows)
        counts[key] = {name: seen[name] for name in names}
    if sources := Counter(row.corpus for row in rows if row.corpus is not None):
        counts["corpus"] = dict(sources)
    return counts


def summary_table(corpus: Corpus) -> str:
    """What `write_corpus` prints: a line per split, its labels, and the dropped rows by reason."""
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
    for (what, reason), n in Counter((d.what, d.reason) for d in corpus.dropped).items():
        lines.append(f"dropped: {n} x {what}: {reason}")
    lines += [f"note: {note}" for note in corpus.notes]
    return "\n".join(lines)
