"""MSP-Podcast: natural speech cut from podcasts, judged by crowds (Lotfian and Busso 2019).

Layout as distributed (releases 1.x and 2.0):
  Labels/labels_consensus.csv   class, attributes, speaker and partition, see `msp_podcast_table`
  Audios/MSP-PODCAST_0001_0008.wav          (or Audio/)
  Transcripts/MSP-PODCAST_0001_0008.txt     if the release has them
The partitions are the splits: Train as train, Development as valid, Test1, Test2 and Test3. Test3
comes without labels: its rows are those of the table that say so, and the recordings
MSP-PODCAST_test3_*.wav; whatever else the table says of them is not taken. `session` is the
podcast. Rows are cuts, not neighbors in talk, so that there are no dialogues and no turns.
`emotion` is empty for what the class map leaves out, and for O (other) and X (no agreement) unless
they are asked for; the column `label` keeps them, and the rows keep valence, arousal and dominance,
1-7. Assumed from the literature, as no release was at hand: the layout above, and that Transcripts
holds one file a recording.
Not used: time stamps, forced alignments, the single workers' votes, secondary emotions.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.commands.command_line import (
    make_parser,
    run,
)
from data_prep.corpora.msp_podcast_table import HIDDEN, LABELS, SCALE, read_partitions
from data_prep.corpora.recordings import join_audio, join_text, leave_out_audio
from data_prep.messages import first_few
from data_prep.schema import Corpus, Utterance, shared_values, write_corpus

CLASSES = {
    "4": ("neutral", "sad", "angry", "happy"),
    "8": ("neutral", "sad", "angry", "happy", "surprise", "fear", "disgust", "contempt"),
}
TRANSCRIPTS = "Transcripts"
LICENCE = "MSP-Podcast licence of UT Dallas: on signed request, not to be passed on"
CITATION = (
    "Lotfian, Busso (2019). Building Naturalistic Emotionally Balanced Speech Corpus by Retrieving "
    "Emotional Speech From Existing Podcast Recordings. IEEE Transactions on Affective Computing "
    "10(4)."
)

Splits = dict[str, list[Utterance]]

logger = logging.getLogger(__name__)


def prepare_msp_podcast(
    corpus_dir: str | Path,
    out_dir: str | Path,
    *,
    classes: str = "8",
    keep_other: bool = False,
    keep_no_agreement: bool = False,
    text_only: bool = False,
    workers: int | None = None,
    progress: bool = False,
) -> Corpus:
    """Write MSP-Podcast's data dir.

    Args:
        corpus_dir: folder of Labels and Audios; `audio` paths start from it.
        out_dir: data dir to write.
        classes: a key of `CLASSES`.
        keep_other: make O a class, `other`.
        keep_no_agreement: make X a class, `no_agreement`.
        text_only: look for no recording.
        workers: threads that read files.
        progress: show bars.

    Raises:
        ValueError: another layout, or rows that cannot be read; before anything is written.
    """
    corpus_dir, out_dir = Path(corpus_dir), Path(out_dir)
    kept = [*[LABELS["O"]] * keep_other, *[LABELS["X"]] * keep_no_agreement]
    labels = (*CLASSES[classes], *kept)
    corpus = Corpus(
        "msp_podcast",
        labels={"emotion": labels},
        vad={"source_scale": list(SCALE), "mapping": "(x - 1) / 6"},
        protocol="official partitions, Development as valid; test3 has no labels",
        licence=LICENCE,
        citation=CITATION,
    )
    splits = read_partitions(corpus_dir, corpus, hidden=not text_only)
    _say_shared(splits, corpus)
    splits = _with_classes(splits, labels, corpus)
    if (folder := corpus_dir / TRANSCRIPTS).is_dir():
        open_ = {split: rows for split, rows in splits.items() if split != HIDDEN}
        splits |= join_text(open_, folder, corpus, workers=workers, progress=progress)
    else:
        corpus.notes.append(f"no transcripts: there is no {TRANSCRIPTS}")
    if text_only:
        splits = leave_out_audio(splits, corpus)
    else:
        splits = join_audio(splits, corpus_dir, out_dir, corpus, workers=workers, progress=progress)
    write_corpus(out_dir, corpus, {split: rows for split, rows in splits.items() if rows})
    return corpus


def _with_classes(splits: Splits, labels: Sequence[str], corpus: Corpus) -> Splits:
    """The same rows, `emotion` emptied where the label is none of `labels`."""
    chosen: Splits = {}
    others: Counter[str] = Counter()
    for split, rows in splits.items():
        others.update(row.emotion for row in rows if row.emotion and row.emotion not in labels)
        chosen[split] = [
            row if row.emotion in labels else replace(row, emotion=None) for row in rows
        ]
    if others:
        named = ", ".join(f"{label} {count}" for label, count in others.most_common())
        corpus.notes.append(f"{others.total()} rows are of no class, and keep their VAD: {named}")
    return chosen


def _say_shared(splits: Splits, corpus: Corpus) -> None:
    """Note what partitions share: they are official, so that nothing is moved."""
    unknown = sum(row.speaker is None for split, rows in splits.items() for row in rows)
    if unknown:
        corpus.notes.append(f"{unknown} rows name no speaker (Unknown, or in test3)")
    for key, what in (("speaker", "speakers"), ("session", "podcasts")):
        if shared := shared_values(splits, key):
            note = f"{len(shared)} {what} are in more than one split: {first_few(list(shared))}"
            corpus.notes.append(note)
            logger.warning("%s", note)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of `prepare_msp_podcast`."""
    parser = make_parser("msp_podcast", __doc__ or "")
    add = parser.add_argument
    add("corpus_dir", type=Path, help="folder with Labels/labels_consensus.csv and Audios")
    add("out_dir", type=Path, help="data dir to write")
    add("--classes", choices=CLASSES, default="8", help="classes (default: %(default)s)")
    add("--keep-other", action="store_true", help="make O a class: other")
    add("--keep-no-agreement", action="store_true", help="make X a class: no_agreement")
    add("--text-only", action="store_true", help="look for no recording")
    options = parser.parse_args(arguments)
    return run(lambda: _prepare(options))


def _prepare(options: argparse.Namespace) -> None:
    prepare_msp_podcast(
        options.corpus_dir,
        options.out_dir,
        classes=options.classes,
        keep_other=options.keep_other,
        keep_no_agreement=options.keep_no_agreement,
        text_only=options.text_only,
        workers=options.workers,
        progress=True,
    )
    raw = "--modality text" if options.text_only else f"--data-raw {options.corpus_dir}"
    print(f"train with: --data {options.out_dir} {raw}")
