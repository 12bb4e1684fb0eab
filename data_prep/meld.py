"""MELD: Friends dialogues with an emotion and a sentiment per utterance (Poria et al. 2019).

Official layout: `{train,dev,test}_sent_emo.csv`, and clips `dia{D}_utt{U}.mp4`, whose sound is
looked for as `audios/{train,dev,test}/dia{D}_utt{U}.flac`; without that folder the corpus is text
only. Dialogue numbers restart in each split, so ids carry the split: `train_dia0_utt0`. The actors
are the same in every split by design, so only dialogues are kept apart.
Not used: the video, StartTime and EndTime (of the episode, not the clip), and Sr No.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.clean_text import normalise_text
from data_prep.command_line import make_parser, run
from data_prep.csv_input import raise_faults, read_table
from data_prep.schema import SAMPLE_RATE, Corpus, DroppedRow, Fault, Utterance, write_corpus
from data_prep.sound.length import measure_all

SPLIT_OF = {"train": "train", "dev": "valid", "test": "test"}
EMOTIONS = ("neutral", "joy", "sadness", "anger", "fear", "disgust", "surprise")
SENTIMENTS = ("neutral", "positive", "negative")
COLUMNS = (
    *("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID"),
    *("Season", "Episode", "StartTime", "EndTime"),
)
BAD_CLIPS = {
    "train_dia125_utt3": "known bad clip: corrupt",
    "dev_dia110_utt7": "known bad clip: absent from the release",
    "test_dia38_utt4": "known bad clip: 305 s, cut wrongly",
    "test_dia220_utt0": "known bad clip: 235 s, cut wrongly",
    "train_dia309_utt0": "known bad clip: 41 s, cut wrongly",
}
LICENCE = "GPL-3.0"
CITATION = (
    "Poria, Hazarika, Majumder, Naik, Cambria, Mihalcea (2019). MELD: A Multimodal Multi-Party "
    "Dataset for Emotion Recognition in Conversations. ACL."
)


def prepare_meld(
    corpus_dir: str | Path,
    out_dir: str | Path,
    *,
    workers: int | None = None,
    progress: bool = False,
) -> Corpus:
    """Write MELD's data dir; every row of the three CSVs keeps its text, whatever its clip."""
    corpus_dir = Path(corpus_dir)
    corpus = Corpus(
        "meld",
        labels={"emotion": EMOTIONS, "sentiment": SENTIMENTS},
        disjoint=("dialogue",),
        protocol="official train/dev/test, dev as valid; dialogues apart, actors shared by design",
        licence=LICENCE,
        citation=CITATION,
    )
    splits: dict[str, list[Utterance]] = {}
    moments: Counter[tuple[str, ...]] = Counter()
    for official, split in SPLIT_OF.items():
        path = corpus_dir / f"{official}_sent_emo.csv"
        rows = read_table(path, COLUMNS, legacy_bytes=True)
        splits[split] = _read_split(path, official, rows, corpus)
        moments.update(tuple(row[key] for key in COLUMNS[:2] + COLUMNS[6:]) for _, row in rows)
    if repeated := sum(count > 1 for count in moments.values()):
        corpus.notes.append(
            f"{repeated} utterances occur more than once under different dialogues (same speaker, "
            "words and times); all are kept, as the official counts have them"
        )
    if any((corpus_dir / "audios").glob("*/*.flac")):
        splits = _join_audio(corpus_dir, splits, corpus, workers, progress)
    else:
        corpus.notes.append("text only: no audios/{train,dev,test}/*.flac in the corpus folder")
    write_corpus(out_dir, corpus, splits)
    return corpus


def _read_split(
    path: Path, official: str, rows: Sequence[tuple[int, dict[str, str]]], corpus: Corpus
) -> list[Utterance]:
    found: dict[str, Utterance] = {}
    faults = []
    for line, row in rows:
        try:
            utterance = _utterance(official, row)
        except ValueError as error:
            faults.append(Fault(str(path), line, str(error), "compare with the official CSV"))
            continue
        if utterance.id in found:
            what = f"row {line} repeats the dialogue and utterance number of an earlier row"
            corpus.dropped.append(DroppedRow(SPLIT_OF[official], utterance.id, what))
            continue
        found[utterance.id] = utterance
    raise_faults(faults)
    return list(found.values())


def _utterance(official: str, row: dict[str, str]) -> Utterance:
    for key, names in (("Emotion", EMOTIONS), ("Sentiment", SENTIMENTS)):
        if row[key] not in names:
            raise ValueError(f"{key} is {row[key]!r}, none of {', '.join(names)}")
    for key in ("Dialogue_ID", "Utterance_ID", "Season", "Episode"):
        if not row[key].isdecimal():
            raise ValueError(f"{key} is {row[key]!r}, no number")
    dialogue = f"{official}_dia{int(row['Dialogue_ID'])}"
    turn = int(row["Utterance_ID"])
    return Utterance(
        id=f"{dialogue}_utt{turn}",
        text=normalise_text(row["Utterance"]) or None,
        speaker=normalise_text(row["Speaker"]) or None,
        session=f"s{int(row['Season']):02d}e{int(row['Episode']):02d}",
        dialogue=dialogue,
        turn=turn,
        emotion=row["Emotion"],
        sentiment=row["Sentiment"],
    )


def _join_audio(
    corpus_dir: Path,
    splits: dict[str, list[Utterance]],
    corpus: Corpus,
    workers: int | None,
    progress: bool,
) -> dict[str, list[Utterance]]:
    """Give each row its clip and length; a bad or missing clip is listed and its row kept."""
    clips = [clip_of(row.id) for rows in splits.values() for row in rows if row.id not in BAD_CLIPS]
    paths = [corpus_dir / clip for clip in clips]
    lengths = measure_all(paths, SAMPLE_RATE, workers=workers, progress=progress)
    length_of = dict(zip(clips, lengths, strict=True))
    joined: dict[str, list[Utterance]] = {split: [] for split in splits}
    for split, rows in splits.items():
        for row in rows:
            clip = clip_of(row.id)
            length = length_of.get(clip)
            if isinstance(length, int):
                row = replace(row, audio=clip, n_samples=length)
            else:
                reason = BAD_CLIPS[row.id] if length is None else f"clip: {length}"
                corpus.dropped.append(DroppedRow(split, row.id, reason, "audio"))
            joined[split].append(row)
    return joined


def clip_of(utterance_id: str) -> str:
    """`train_dia0_utt3` -> `audios/train/dia0_utt3.flac`."""
    official, clip = utterance_id.split("_", 1)
    return f"audios/{official}/{clip}.flac"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of `prepare_meld`."""
    parser = make_parser("meld", __doc__ or "")
    parser.add_argument("corpus_dir", type=Path, help="folder with {train,dev,test}_sent_emo.csv")
    parser.add_argument("out_dir", type=Path, help="data dir to write")
    options = parser.parse_args(arguments)
    return run(lambda: _prepare(options))


def _prepare(options: argparse.Namespace) -> None:
    corpus = prepare_meld(
        options.corpus_dir, options.out_dir, workers=options.workers, progress=True
    )
    if any(counts["with_audio"] for counts in corpus.splits.values()):
        print(f"train with: --data {options.out_dir} --data-raw {options.corpus_dir}")
    else:
        print(f"train with: --data {options.out_dir} --modality text")


if __name__ == "__main__":
    raise SystemExit(main())
