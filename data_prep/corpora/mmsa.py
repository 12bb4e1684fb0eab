"""CMU-MOSI and CMU-MOSEI have MMSA's layout in common, and so this preparation.

    label.csv                     video_id, clip_id, text, label, annotation, mode, and others
    Raw/<video_id>/<clip_id>.mp4

`mode` is the official split, `label` the score from -3 to 3, `annotation` its polarity. The id of
an utterance is `<video_id>_<clip_id>`, its dialogue the video, its turn the clip. Without Raw/ the
corpus is text only.
Not used: label_T, label_A and label_V, which neither corpus has, and the pictures. MMSA's features
of both are read by `python -m data_prep.mmsa_features`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_prep.commands.command_line import (
    make_parser,
    run,
)
from data_prep.corpora.clips import Splits, extract_sounds, join_sounds, without_empty_rows
from data_prep.corpora.mmsa_labels import RULE, SENTIMENTS, MmsaCorpus, clip_of, read_labels
from data_prep.schema import SPLITS, Corpus, shared_values, write_corpus

LABEL_FILE, CLIP_FOLDER = "label.csv", "Raw"
MAX_SECONDS = 120.0


def prepare_mmsa(
    kind: MmsaCorpus,
    corpus_dir: str | Path,
    out_dir: str | Path,
    *,
    text_only: bool = False,
    max_seconds: float = MAX_SECONDS,
    workers: int | None = None,
    progress: bool = False,
) -> Corpus:
    """Write the data dir, and below it the sound of the clips, as `audio/{split}/<id>.flac`.

    A row without a usable clip keeps its text; one with neither is dropped; both are listed.
    """
    corpus_dir = Path(corpus_dir)
    official = "/".join(str(kind.official[split]) for split in SPLITS)
    corpus = Corpus(
        kind.name,
        labels={"sentiment": SENTIMENTS},
        protocol=f"official train/valid/test ({official} rows), by the column mode of label.csv",
        licence=kind.licence,
        citation=kind.citation,
        notes=[RULE, *kind.notes],
    )
    splits = read_labels(corpus_dir / LABEL_FILE, kind, corpus)
    raw = corpus_dir / CLIP_FOLDER
    if text_only or not raw.is_dir():
        why = "as asked" if text_only else f"no {CLIP_FOLDER}/ in the corpus folder"
        corpus.notes.append(f"text only: {why}")
    else:
        corpus.notes.append(f"audio: clips of {max_seconds:g} s at most, made mono at 16 kHz")
        sounds = extract_sounds(
            _clips(raw, splits),
            out_dir,
            max_seconds=max_seconds,
            workers=workers,
            progress=progress,
        )
        splits = join_sounds(splits, corpus, sounds)
    splits = without_empty_rows(splits, corpus)
    _keep_apart(splits, corpus)
    write_corpus(out_dir, corpus, splits)
    return corpus


def _clips(raw: Path, splits: Splits) -> dict[str, tuple[Path, str]]:
    """{id: (its clip, where the sound of it goes)}."""
    found = {}
    for split, rows in splits.items():
        for row in rows:
            video, clip = clip_of(row)
            found[row.id] = (raw / video / f"{clip}.mp4", f"audio/{split}/{row.id}.flac")
    return found


def _keep_apart(splits: Splits, corpus: Corpus) -> None:
    """Videos lie in one split each; where a copy breaks that, it is said, not denied."""
    if shared := shared_values(splits, "dialogue"):
        first = ", ".join(list(shared)[:3])
        corpus.notes.append(f"{len(shared)} videos have clips in more than one split: {first}")
    else:
        corpus.disjoint = ("dialogue",)


def main(kind: MmsaCorpus, about: str, arguments: Sequence[str] | None = None) -> int:
    """The command line of `prepare_mmsa` for one corpus."""
    parser = make_parser(kind.name, about)
    parser.add_argument("corpus_dir", type=Path, help=f"folder with {LABEL_FILE} and, if any, Raw/")
    parser.add_argument("out_dir", type=Path, help="data dir to write")
    parser.add_argument(
        "--text-only",
        action="store_true",
        help="leave the clips alone (their sound needs PyAV: pip install av)",
    )
    parser.add_argument(
        "--max-seconds",
        type=float,
        metavar="S",
        help=f"leave out the sound of clips longer than this (default: {MAX_SECONDS:g})",
    )
    options = parser.parse_args(arguments)
    if options.text_only and options.max_seconds is not None:
        parser.error("--max-seconds acts on the clips, which --text-only leaves alone")
    return run(lambda: _prepare(kind, options))


def _prepare(kind: MmsaCorpus, options: argparse.Namespace) -> None:
    corpus = prepare_mmsa(
        kind,
        options.corpus_dir,
        options.out_dir,
        text_only=options.text_only,
        max_seconds=MAX_SECONDS if options.max_seconds is None else options.max_seconds,
        workers=options.workers,
        progress=True,
    )
    heard = any(counts["with_audio"] for counts in corpus.splits.values())
    words = "" if heard else " --modality text"
    print(f"train with: --data {options.out_dir} --target sentiment_score{words}")
