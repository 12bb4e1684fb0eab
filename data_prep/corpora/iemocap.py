"""IEMOCAP: ten actors in five dyadic sessions, scripted and improvised (Busso et al. 2008).

Official layout (`IEMOCAP_full_release`), in each of Session1 ... Session5:
  dialog/EmoEvaluation/{dialogue}.txt    labels and votes, see `iemocap_labels`
  dialog/transcriptions/{dialogue}.txt   words, see `iemocap_transcripts`
  sentences/wav/{dialogue}/{turn}.wav
Ids are the turns' own. Ses01F_impro01_M003 is spoken by the man of session 1, Ses01_M: the letter
before the number is the speaker; the F in Ses01F is who wore the markers. All judged turns (10,039
in a full copy) are rows, for they have valence, arousal and dominance; `emotion` is empty where the
class map has no place for the label, which the column `label` keeps. Class maps:
  4    neutral, sad, angry, happy with excited (5,531 turns)
  5    these and frustrated
  6    these, excited apart from happy
  all  every label there is
There is no official split: the manifest is `all`, and the folds lie beside it.
Not used: video, motion capture, forced alignments, dialog/wav, the single evaluators' files.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_prep.commands.command_line import (
    make_parser,
    run,
)
from data_prep.commands.folds import (
    ALL,
    FoldOptions,
    write_corpus_with_folds,
)
from data_prep.corpora.iemocap_labels import LABELS
from data_prep.corpora.iemocap_rows import (
    SCALE,
    make_rows,
    read_all_texts,
    read_all_turns,
    say_spare_recordings,
    say_unlabelled,
)
from data_prep.corpora.recordings import join_audio, leave_out_audio
from data_prep.schema import Corpus, Utterance

_FOUR = {"neu": "neutral", "sad": "sad", "ang": "angry", "hap": "happy", "exc": "happy"}
CLASSES: dict[str, Mapping[str, str]] = {
    "4": _FOUR,
    "5": {**_FOUR, "fru": "frustrated"},
    "6": {label: LABELS[label] for label in ("neu", "sad", "ang", "hap", "exc", "fru")},
    "all": LABELS,
}
PROTOCOLS = ("leave_one_session_out", "leave_one_speaker_out", "seed_sessions")
LICENCE = "IEMOCAP release form of USC SAIL: for research, on request, not to be passed on"
CITATION = (
    "Busso, Bulut, Lee, Kazemzadeh, Mower, Kim, Chang, Lee, Narayanan (2008). IEMOCAP: "
    "Interactive emotional dyadic motion capture database. Language Resources and Evaluation 42(4)."
)


def prepare_iemocap(
    corpus_dir: str | Path,
    out_dir: str | Path,
    *,
    classes: str = "4",
    keep_sounds: bool = True,
    text_only: bool = False,
    seed: int = 1,
    force: bool = False,
    workers: int | None = None,
    progress: bool = False,
) -> Corpus:
    """Write IEMOCAP's data dir, of one split `all`, and its folds.

    Args:
        corpus_dir: `IEMOCAP_full_release`; `audio` paths start from it.
        out_dir: data dir to write.
        classes: a key of `CLASSES`.
        keep_sounds: leave [LAUGHTER] and its like in the text.
        text_only: look for no recording.
        seed: of the dev sets that are drawn.
        force: replace folds that differ from those to be written.
        workers: threads that decode audio.
        progress: show bars.

    Raises:
        ValueError: another layout, or lines that cannot be read; before anything is written.
    """
    corpus_dir, out_dir = Path(corpus_dir), Path(out_dir)
    corpus = Corpus(
        "iemocap",
        labels={"emotion": tuple(dict.fromkeys(CLASSES[classes].values()))},
        vad={"source_scale": list(SCALE), "mapping": "(x - 1) / 4"},
        protocol="no official split: leave one session or one speaker out, see folds/",
        licence=LICENCE,
        citation=CITATION,
    )
    turns = read_all_turns(corpus_dir, ALL, corpus)
    ids = {turn.id for turn in turns}
    texts = read_all_texts(corpus_dir, ids, corpus, keep_sounds=keep_sounds)
    rows = make_rows(turns, texts, CLASSES[classes], ALL, corpus)
    say_unlabelled(rows, classes, corpus)
    splits: dict[str, list[Utterance]] = {ALL: rows}
    if text_only:
        splits = leave_out_audio(splits, corpus)
    else:
        say_spare_recordings(corpus_dir, rows, corpus)
        splits = join_audio(splits, corpus_dir, out_dir, corpus, workers=workers, progress=progress)
    options = FoldOptions(seed=seed)
    write_corpus_with_folds(out_dir, corpus, splits[ALL], PROTOCOLS, options, force=force)
    return corpus


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of `prepare_iemocap`."""
    parser = make_parser("iemocap", __doc__ or "")
    add = parser.add_argument
    add("corpus_dir", type=Path, help="folder with Session1 ... Session5")
    add("out_dir", type=Path, help="data dir to write")
    add("--classes", choices=CLASSES, default="4", help="class map (default: %(default)s)")
    add("--drop-sound-notes", action="store_true", help="cut [LAUGHTER] and its like out of texts")
    add("--text-only", action="store_true", help="look for no recording")
    add("--seed", type=int, default=1, help="of the folds' dev sets (default: %(default)s)")
    add("--force", action="store_true", help="replace folds that are there and differ")
    options = parser.parse_args(arguments)
    return run(lambda: _prepare(options))


def _prepare(options: argparse.Namespace) -> None:
    prepare_iemocap(
        options.corpus_dir,
        options.out_dir,
        classes=options.classes,
        keep_sounds=not options.drop_sound_notes,
        text_only=options.text_only,
        seed=options.seed,
        force=options.force,
        workers=options.workers,
        progress=True,
    )
    raw = "--modality text" if options.text_only else f"--data-raw {options.corpus_dir}"
    print(f"train with: --data {options.out_dir} {raw} --fold {PROTOCOLS[0]}/1")
