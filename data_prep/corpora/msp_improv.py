"""MSP-Improv: twelve actors in six dyadic sessions, improvised and read (Busso et al. 2017).

Layout as distributed:
  Evalution.txt (or Evaluation.txt)   consensus and votes of each clip, see `msp_improv_labels`
  Audio/session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.wav
  Human_transcriptions/All_human_transcriptions/MSP-IMPROV-S01A-F01-S-FM01.txt   or --transcripts
A name says: sentence 01 with target emotion A, speaker F01 (the woman of session 1), scenario
(P natural interaction, R target read, S other improvised, T target improvised), pair, turn.
Assumed, as public code has it, since the release's own guide was not at hand: the fourth field is
who speaks; its number is the session; clips of one session, scene, scenario and pair are one
dialogue, in order of number (left empty where numbers come twice); the transcripts' folder.
All clips are rows, for they have valence, activation and dominance, 1-5. `emotion` is empty for O
(other) and X (no agreement) unless they are asked for as classes; the column `label` keeps them.
The activation is taken as printed, though it looks inverted (angry calmer than sad): that is
measured and said, and --invert-activation makes it 6 - x.
There is no official split: the manifest is `all`, and the folds lie beside it. Not used: video,
what evaluators typed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
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
from data_prep.corpora.msp_improv_labels import LABEL_FILES, LABELS, Clip, read_clips
from data_prep.corpora.msp_improv_rows import (
    SCALE,
    check_activation,
    check_counts,
    find_recordings,
    make_rows,
)
from data_prep.corpora.recordings import join_audio, join_text, leave_out_audio
from data_prep.errors import (
    Fault,
    ManifestError,
    raise_faults,
)
from data_prep.messages import first_few
from data_prep.schema import (
    Corpus,
    Utterance,
)

FOUR = ("N", "S", "A", "H")
TRANSCRIPTS = (
    "Human_transcriptions/All_human_transcriptions",
    "All_human_transcriptions",
    "Human_transcriptions",
)
PROTOCOLS = ("leave_one_session_out", "leave_one_speaker_out")
LICENCE = "MSP-IMPROV academic licence of UT Dallas: on signed request, not to be passed on"
CITATION = (
    "Busso, Parthasarathy, Burmania, AbdelWahab, Sadoughi, Mower Provost (2017). MSP-IMPROV: An "
    "Acted Corpus of Dyadic Interactions to Study Emotion Perception. IEEE Transactions on "
    "Affective Computing 8(1)."
)


def prepare_msp_improv(
    corpus_dir: str | Path,
    out_dir: str | Path,
    *,
    keep_other: bool = False,
    keep_no_agreement: bool = False,
    invert_activation: bool = False,
    transcripts: Path | None = None,
    text_only: bool = False,
    seed: int = 1,
    force: bool = False,
    workers: int | None = None,
    progress: bool = False,
) -> Corpus:
    """Write MSP-Improv's data dir, of one split `all`, and its folds.

    Args:
        corpus_dir: folder of the label file and Audio; `audio` paths start from it.
        out_dir: data dir to write.
        keep_other: make O a class, `other`.
        keep_no_agreement: make X a class, `no_agreement`.
        invert_activation: take the activation as 6 - x.
        transcripts: folder of {clip}.txt (default: the first of `TRANSCRIPTS` that is there).
        text_only: look for no recording.
        seed: of the dev sets that are drawn.
        force: replace folds that differ from those to be written.
        workers: threads that read files.
        progress: show bars.

    Raises:
        ValueError: another layout, or lines that cannot be read; before anything is written.
    """
    corpus_dir, out_dir = Path(corpus_dir), Path(out_dir)
    letters = [*FOUR, *["O"] * keep_other, *["X"] * keep_no_agreement]
    classes = {letter: LABELS[letter] for letter in letters}
    corpus = Corpus(
        "msp_improv",
        labels={"emotion": tuple(classes.values())},
        vad={"source_scale": list(SCALE), "mapping": "(x - 1) / 4"},
        protocol="no official split: leave one session or one speaker out, see folds/",
        licence=LICENCE,
        citation=CITATION,
    )
    if invert_activation:
        corpus.vad = {**(corpus.vad or {}), "arousal": "(5 - x) / 4: inverted, as asked for"}
    clips = _read_clips(corpus_dir, corpus)
    paths = {} if text_only else find_recordings(corpus_dir, {c.name for c in clips}, corpus)
    rows = make_rows(clips, paths, classes, ALL, corpus, invert_activation=invert_activation)
    check_activation(rows, corpus)
    splits: dict[str, list[Utterance]] = {ALL: rows}
    if folder := transcripts or _transcripts(corpus_dir, corpus):
        splits = join_text(splits, folder, corpus, workers=workers, progress=progress)
    if text_only:
        splits = leave_out_audio(splits, corpus)
    else:
        splits = join_audio(splits, corpus_dir, out_dir, corpus, workers=workers, progress=progress)
    options = FoldOptions(seed=seed)
    write_corpus_with_folds(out_dir, corpus, splits[ALL], PROTOCOLS, options, force=force)
    return corpus


def _read_clips(corpus_dir: Path, corpus: Corpus) -> list[Clip]:
    files = [corpus_dir / name for name in LABEL_FILES if (corpus_dir / name).is_file()]
    if len(files) != 1:
        what = f"{'both' if files else 'neither'} of {' and '.join(LABEL_FILES)}"
        raise ManifestError(Fault(str(corpus_dir), None, what, "leave the release's label file"))
    found = read_clips(files[0])
    raise_faults(found.faults)
    if not found.clips:
        raise ManifestError(Fault(str(files[0]), None, "no clip in it", "copy the file again"))
    if odd := found.odd_lines:
        rows = first_few([f"row {row}" for row in odd])
        corpus.notes.append(f"{len(odd)} evaluators' lines cannot be read: {rows}")
    check_counts(found.clips, corpus)
    return found.clips


def _transcripts(corpus_dir: Path, corpus: Corpus) -> Path | None:
    for name in TRANSCRIPTS:
        if any((corpus_dir / name).glob("*.txt")):
            return corpus_dir / name
    corpus.notes.append(f"no transcripts: there is no *.txt in {' or '.join(TRANSCRIPTS)}")
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of `prepare_msp_improv`."""
    parser = make_parser("msp_improv", __doc__ or "")
    add = parser.add_argument
    add("corpus_dir", type=Path, help="folder with Evalution.txt and Audio")
    add("out_dir", type=Path, help="data dir to write")
    add("--keep-other", action="store_true", help="make O a class: other")
    add("--keep-no-agreement", action="store_true", help="make X a class: no_agreement")
    add("--invert-activation", action="store_true", help="take the activation as 6 - x")
    add("--transcripts", type=Path, metavar="DIR", help="folder of {clip}.txt")
    add("--text-only", action="store_true", help="look for no recording")
    add("--seed", type=int, default=1, help="of the folds' dev sets (default: %(default)s)")
    add("--force", action="store_true", help="replace folds that are there and differ")
    options = parser.parse_args(arguments)
    return run(lambda: _prepare(options))


def _prepare(options: argparse.Namespace) -> None:
    prepare_msp_improv(
        options.corpus_dir,
        options.out_dir,
        keep_other=options.keep_other,
        keep_no_agreement=options.keep_no_agreement,
        invert_activation=options.invert_activation,
        transcripts=options.transcripts,
        text_only=options.text_only,
        seed=options.seed,
        force=options.force,
        workers=options.workers,
        progress=True,
    )
    raw = "--modality text" if options.text_only else f"--data-raw {options.corpus_dir}"
    print(f"train with: --data {options.out_dir} {raw} --fold {PROTOCOLS[0]}/1")
