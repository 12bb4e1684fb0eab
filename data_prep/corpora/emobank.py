"""EmoBank: English sentences with valence, arousal and dominance, 1-5 (Buechel and Hahn 2017).

Official layout: one `emobank.csv` with `id, split, V, A, D, text`: the weighted mean of the
writer's and the reader's view. The text of one row is the word None, which a reader that takes
None for a missing value loses.

EmoBank has no sentiment. ``--sentiment-from-valence 2.8 3.2`` derives one, to compare models of
sentiment across corpora: negative below the first, positive above the second, neutral between;
corpus.yaml notes it.
Not used: `reader.csv`, `writer.csv`, `raw.csv` and `meta.tsv`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_prep.errors import CodedError, Fault, raise_faults
from data_prep.manifest.cells import normalize_text, parse_number
from data_prep.manifest.out_of_scale import REFUSE, VadScale, add_out_of_scale
from data_prep.schema import Corpus, DroppedRow, Utterance, shared_values, write_corpus
from data_prep.tables.reader import read_table

SPLIT_OF = {"train": "train", "dev": "valid", "test": "test"}
COLUMNS = ("id", "split", "V", "A", "D", "text")
SCALE = (1.0, 5.0)
SENTIMENTS = ("negative", "neutral", "positive")
LICENSE = "CC BY-SA 4.0"
CITATION = (
    "Buechel, Hahn (2017). EmoBank: Studying the Impact of Annotation Perspective and "
    "Representation Format on Dimensional Emotion Analysis. EACL."
)


def prepare_emobank(
    corpus_dir: str | Path,
    out_dir: str | Path,
    *,
    bounds: Sequence[float] | None = None,
    out_of_scale: str = REFUSE,
) -> Corpus:
    """Write EmoBank's data dir; a row without text is dropped and listed.

    Args:
        corpus_dir: folder with emobank.csv.
        out_dir: data dir to write.
        bounds: of neutral valence, 1-5, both inclusive; None writes no sentiment.
        out_of_scale: one of `OUT_OF_SCALE`.

    Raises:
        CodedError: bounds outside the scale, or not in order.
        ManifestError: rows that cannot be read.
    """
    path = Path(corpus_dir) / "emobank.csv"
    corpus = Corpus(
        "emobank",
        vad={"source_scale": list(SCALE), "mapping": "(x - 1) / 4"},
        protocol="official split column, dev as valid; mean of writer and reader",
        license=LICENSE,
        citation=CITATION,
    )
    if bounds is not None:
        low, high = bounds
        _check_bounds(low, high)
        corpus.labels = {"sentiment": SENTIMENTS}
        corpus.notes.append(
            f"sentiment is derived from valence (1-5): negative below {low:g}, positive above "
            f"{high:g}, neutral between"
        )
    splits: dict[str, list[Utterance]] = {split: [] for split in SPLIT_OF.values()}
    first_line: dict[str, int] = {}
    scale = VadScale(*SCALE, out_of_scale)
    faults = []
    for line, row in read_table(path, COLUMNS):
        try:
            split, utterance = _utterance(row, bounds, scale)
            if first_line.setdefault(utterance.id, line) != line:
                raise ValueError(f"id {utterance.id!r} was used in row {first_line[utterance.id]}")
        except ValueError as error:
            remedy = "compare with the official CSV"
            faults.append(Fault(str(path), line, str(error), remedy, "row-invalid"))
            continue
        if utterance.text is None:
            corpus.dropped.append(DroppedRow(split, utterance.id, "no text"))
        else:
            splits[split].append(utterance)
    raise_faults(faults)
    scale.list_outside(corpus, {row.id: split for split, rows in splits.items() for row in rows})
    if shared := shared_values(splits, "text"):
        corpus.notes.append(f"{len(shared)} texts occur in more than one split, word for word")
    write_corpus(out_dir, corpus, splits)
    return corpus


def _check_bounds(low: float, high: float) -> None:
    if not SCALE[0] <= low <= high <= SCALE[1]:
        raise CodedError(
            f"--sentiment-from-valence {low:g} {high:g}: give the lower bound first, both from "
            f"{SCALE[0]:g} to {SCALE[1]:g}",
            "bounds-out-of-range",
        )


def _utterance(
    row: dict[str, str], bounds: Sequence[float] | None, scale: VadScale
) -> tuple[str, Utterance]:
    if not row["id"]:
        raise ValueError("no id")
    if row["split"] not in SPLIT_OF:
        raise ValueError(f"split is {row['split']!r}, none of {', '.join(SPLIT_OF)}")
    utterance = Utterance(
        id=row["id"],
        text=normalize_text(row["text"]) or None,
        valence=_scaled(row, "valence", scale),
        arousal=_scaled(row, "arousal", scale),
        dominance=_scaled(row, "dominance", scale),
        sentiment=None if bounds is None else _sentiment(parse_number(row["V"]), *bounds),
    )
    return SPLIT_OF[row["split"]], utterance


def _sentiment(valence: float, low: float, high: float) -> str:
    return SENTIMENTS[1 + (valence > high) - (valence < low)]


def _scaled(row: dict[str, str], axis: str, scale: VadScale) -> float | None:
    column = axis[0].upper()
    try:
        return scale.scale(row["id"], axis, parse_number(row[column]))
    except ValueError as error:
        raise ValueError(f"{column}: {error}") from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `prepare_emobank`."""
    add_out_of_scale(parser)
    parser.add_argument(
        "--sentiment-from-valence",
        dest="bounds",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="derive the sentiment from valence (1-5): neutral from LOW to HIGH",
    )
