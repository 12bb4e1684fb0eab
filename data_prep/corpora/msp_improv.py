"""MSP-Improv: twelve actors in six dyadic sessions, improvised and read (Busso et al. 2017).

Layout as distributed:
  Evalution.txt (or Evaluation.txt)   consensus and votes of each clip
  Audio/session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.wav
  Human_transcriptions/All_human_transcriptions/MSP-IMPROV-S01A-F01-S-FM01.txt   or --transcripts
The parts of a name: sentence 01 with target emotion A; speaker F01, the woman of session 1;
scenario (P natural interaction, R target read, S other improvised, T target improvised); pair; and
turn.
Assumed from public code, without the release's own guide: the fourth field is the speaker; its
number is the session; clips of one session, scene, scenario and pair are a dialogue, ordered by
number (left empty if numbers repeat); the folder of transcripts.
All clips are rows, since they have valence, activation and dominance, 1-5. `emotion` is empty for O
(other) and X (no agreement) unless they are made classes; the column `label` keeps them. `votes`
has the classes that the workers chose.
The activation is read as printed, though it looks inverted (angry calmer than sad): the card notes
what is measured, and --invert-activation replaces it by 6 - x.
There is no official split: the manifest is `all`, with files of folds beside it.
Not used: video, free text of the evaluators.
"""

from __future__ import annotations

import argparse
import logging
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

from data_prep.corpora.annotators import describe_ratings, note_votes, votes_cell
from data_prep.corpora.recordings import (
    agreement_note,
    join_audio,
    join_text,
    leave_out_audio,
    read_lines,
    scale_axes,
)
from data_prep.engines import Workers
from data_prep.errors import Fault, ManifestError, raise_faults
from data_prep.files.listing import files_below, visible
from data_prep.folds.dev_set import GENDER
from data_prep.folds.file import write_corpus_with_folds
from data_prep.folds.protocols import FoldOptions
from data_prep.folds.records import ALL
from data_prep.manifest.audio_root import to_record
from data_prep.manifest.cells import parse_number
from data_prep.manifest.out_of_scale import REFUSE, VadScale, add_out_of_scale
from data_prep.messages import first_few
from data_prep.schema import AXES, Corpus, DroppedRow, Utterance

FOUR = ("N", "S", "A", "H")
TRANSCRIPTS = (
    "Human_transcriptions/All_human_transcriptions",
    "All_human_transcriptions",
    "Human_transcriptions",
)
PROTOCOLS = ("leave_one_session_out", "leave_one_speaker_out")
LICENSE = "MSP-IMPROV academic license of UT Dallas: on signed request, not to be passed on"
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
    out_of_scale: str = REFUSE,
    seed: int = 1,
    force: bool = False,
    workers: Workers = None,
    progress: bool = False,
) -> Corpus:
    """Write MSP-Improv's data dir, of one split `all`, and its folds.

    Args:
        corpus_dir: folder of the label file and Audio; `audio` paths start from it.
        out_dir: data dir to write.
        keep_other: make O a class, `other`.
        keep_no_agreement: make X a class, `no_agreement`.
        invert_activation: replace the activation by 6 - x.
        transcripts: folder of {clip}.txt (default: the first of `TRANSCRIPTS` that exists).
        text_only: prepare no recordings.
        out_of_scale: one of `OUT_OF_SCALE`.
        seed: of the dev sets that are drawn.
        force: replace folds that differ from those to be written.
        workers: an engine, or a number of threads, which read files.
        progress: show bars.

    Raises:
        ValueError: another layout, or lines that cannot be read; nothing is written then.
    """
    corpus_dir, out_dir = Path(corpus_dir), Path(out_dir)
    letters = [*FOUR, *["O"] * keep_other, *["X"] * keep_no_agreement]
    classes = {letter: LABELS[letter] for letter in letters}
    corpus = Corpus(
        "msp_improv",
        labels={"emotion": tuple(classes.values())},
        vad={"source_scale": list(SCALE), "mapping": "(x - 1) / 4"},
        protocol="no official split: leave one session or one speaker out, see folds/",
        license=LICENSE,
        citation=CITATION,
    )
    if invert_activation:
        corpus.vad = {**(corpus.vad or {}), "arousal": "(5 - x) / 4: inverted, as asked for"}
    clips = _read_clips(corpus_dir, corpus)
    paths = {} if text_only else find_recordings(corpus_dir, {c.name for c in clips}, corpus)
    scale = VadScale(*SCALE, out_of_scale)
    rows = make_rows(clips, paths, classes, scale, corpus, invert_activation=invert_activation)
    check_activation(rows, corpus)
    splits: dict[str, list[Utterance]] = {ALL: rows}
    if folder := transcripts or _transcripts(corpus_dir, corpus):
        splits = join_text(splits, folder, corpus, workers=workers, progress=progress)
    if text_only:
        splits = leave_out_audio(splits, corpus)
    else:
        corpus.data_raw = to_record(corpus_dir)
        splits = join_audio(splits, corpus_dir, out_dir, corpus, workers=workers, progress=progress)
    options = FoldOptions(seed=seed)
    write_corpus_with_folds(out_dir, corpus, splits[ALL], PROTOCOLS, options, force=force)
    return corpus


def _read_clips(corpus_dir: Path, corpus: Corpus) -> list[Clip]:
    files = [corpus_dir / name for name in LABEL_FILES if (corpus_dir / name).is_file()]
    if len(files) != 1:
        problem = f"{'both' if files else 'neither'} of {' and '.join(LABEL_FILES)}"
        remedy = "keep the release's label file"
        raise ManifestError(Fault(str(corpus_dir), None, problem, remedy, "corpus-layout"))
    evaluations = read_clips(files[0])
    raise_faults(evaluations.faults)
    if not evaluations.clips:
        problem, remedy = "no clip in it", "copy the file again"
        raise ManifestError(Fault(str(files[0]), None, problem, remedy, "rows-missing"))
    if odd := evaluations.odd_lines:
        rows = first_few([f"row {row}" for row in odd])
        corpus.notes.append(f"{len(odd)} evaluators' lines cannot be read: {rows}")
    check_counts(evaluations.clips, corpus)
    return evaluations.clips


def _transcripts(corpus_dir: Path, corpus: Corpus) -> Path | None:
    for name in TRANSCRIPTS:
        if any((corpus_dir / name).glob("*.txt")):
            return corpus_dir / name
    corpus.notes.append(f"no transcripts: there is no *.txt in {' or '.join(TRANSCRIPTS)}")
    return None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `prepare_msp_improv`."""
    add = parser.add_argument
    add("--keep-other", action="store_true", help="make O a class: other")
    add("--keep-no-agreement", action="store_true", help="make X a class: no_agreement")
    add("--invert-activation", action="store_true", help="replace the activation by 6 - x")
    add("--transcripts", type=Path, metavar="DIR", help="folder of {clip}.txt")
    add("--text-only", action="store_true", help="prepare no recordings")
    add_out_of_scale(parser)
    add("--seed", type=int, default=1, help="of the folds' dev sets (default: %(default)s)")
    add("--force", action="store_true", help="replace existing folds that differ")


# -- From clips to rows; what is missing or odd is noted in the card -------------------------------

SCALE = (1.0, 5.0)
# Clips of each class in the release: Busso et al. 2017, table 4, summed.
FULL = {"N": 3477, "S": 885, "A": 792, "H": 2644, "O": 85, "X": 555}
N_SESSIONS = 6
SCENARIOS = {
    "P": "natural interaction",
    "R": "target, read",
    "S": "other, improvised",
    "T": "target, improvised",
}

logger = logging.getLogger(__name__)


def find_recordings(corpus_dir: Path, names: Collection[str], corpus: Corpus) -> dict[str, str]:
    """Return {clip: its path from `corpus_dir`}; of two with one name the first is used."""
    folder = corpus_dir / "Audio"
    path_of: dict[str, str] = {}
    repeated = []
    files = files_below(folder if folder.is_dir() else corpus_dir)
    for path in visible(file for file in files if file.suffix == ".wav"):
        if path.stem in path_of:
            repeated.append(path.stem)
        else:
            path_of[path.stem] = path.relative_to(corpus_dir).as_posix()
    if repeated:
        note = f"{len(repeated)} recordings are in two folders, the first is used"
        corpus.notes.append(f"{note}: {first_few(repeated)}")
    if spare := [name for name in path_of if name not in names]:
        corpus.notes.append(f"{len(spare)} recordings have no label line: {first_few(spare)}")
    return path_of


def make_rows(
    clips: Sequence[Clip],
    paths: Mapping[str, str],
    classes: Mapping[str, str],
    scale: VadScale,
    corpus: Corpus,
    *,
    invert_activation: bool = False,
) -> list[Utterance]:
    """Make rows in order of name; a repeated clip or a bad rating is listed."""
    first: dict[str, Clip] = {}
    for clip in clips:
        if first.setdefault(clip.name, clip) is not clip:
            reason = f"row {clip.line} repeats the clip of row {first[clip.name].line}"
            corpus.dropped.append(DroppedRow(ALL, clip.name, reason))
    if unknown := [name for name, clip in sorted(first.items()) if clip.agreement_is_unknown()]:
        corpus.notes.append(agreement_note(unknown))
    rows = []
    for name, clip in sorted(first.items()):
        raw = {axis: x for axis, x in clip.ratings.items() if axis in AXES}
        if invert_activation and "arousal" in raw:
            raw["arousal"] = sum(SCALE) - raw["arousal"]
        vad, left_out = scale_axes(name, raw, scale)
        corpus.dropped += [DroppedRow(ALL, name, why, axis) for axis, why in left_out.items()]
        rows.append(_utterance(clip, paths.get(name), classes.get(clip.label), vad))
    if others := Counter(row.extra["label"] for row in rows if row.emotion is None):
        counts = ", ".join(f"{label} {count}" for label, count in others.most_common())
        corpus.notes.append(f"{others.total()} rows are of no class, and keep their VAD: {counts}")
    note_votes(rows, corpus)
    scale.list_outside(corpus, ALL)
    return _without_shared_turns(rows, corpus)


def _utterance(
    clip: Clip, path: str | None, emotion: str | None, vad: Mapping[str, float]
) -> Utterance:
    session = f"session{int(clip.part('session'))}"
    scene, scenario = clip.part("scene"), clip.part("scenario")
    return Utterance(
        id=clip.name,
        audio=path or f"Audio/{session}/{scene}/{scenario}/{clip.name}.wav",
        speaker=clip.part("speaker"),
        session=session,
        dialogue=f"{session}_{scene}_{scenario}_{clip.part('pair')}",
        turn=int(clip.part("turn")),
        emotion=emotion,
        valence=vad.get("valence"),
        arousal=vad.get("arousal"),
        dominance=vad.get("dominance"),
        votes=votes_cell(([LABELS[letter]] for letter in clip.votes.values()), _CLASS_OF_VOTE),
        **describe_ratings(list(clip.workers_ratings.values()), SCALE),
        extra=_extra(clip),
    )


def _extra(clip: Clip) -> dict[str, str]:
    agreement = clip.agreement()
    extra = {
        "label": clip.label,
        "target": LABELS[clip.part("target")],
        "scenario": SCENARIOS[clip.part("scenario")],
        GENDER: {"F": "female", "M": "male"}[clip.part("sex")],
        "naturalness": f"{clip.ratings.get('naturalness', '')}",
        "evaluators": str(len(clip.votes)) if clip.votes else "",
        "agreement": "" if agreement is None else f"{agreement:.3f}",
    }
    return {name: value for name, value in extra.items() if value}


def _without_shared_turns(rows: list[Utterance], corpus: Corpus) -> list[Utterance]:
    """Empty `turn` if its numbers repeat in a dialogue, and so are no order."""
    count = Counter((row.dialogue, row.turn) for row in rows)
    if shared := sum(n > 1 for n in count.values()):
        corpus.notes.append(
            f"turn is left empty: {shared} numbers are used twice in a dialogue, so they give no "
            "order of its turns"
        )
        return [replace(row, turn=None) for row in rows]
    return rows


def check_counts(clips: Sequence[Clip], corpus: Corpus) -> None:
    """Note the known counts, and warn if all sessions are present with other counts."""
    known = ", ".join(f"{letter} {count}" for letter, count in FULL.items())
    corpus.notes.append(f"a full copy has {sum(FULL.values())} clips: {known}")
    sessions = sorted({clip.part("session") for clip in clips})
    if len(sessions) < N_SESSIONS:
        corpus.notes.append(f"a part of the corpus: sessions {', '.join(sessions)}")
        return
    counts = Counter(clip.label for clip in clips)
    if wrong := [f"{k} {counts[k]}, not {n}" for k, n in FULL.items() if counts[k] != n]:
        note = f"this copy differs from the full one: {'; '.join(wrong)}"
        corpus.notes.append(note)
        logger.warning("%s", note)


def check_activation(rows: Sequence[Utterance], corpus: Corpus) -> None:
    """Warn if anger is rated calmer than sadness: the scale is then inverted."""
    ratings = {
        label: [
            row.arousal for row in rows if row.extra["label"] == label and row.arousal is not None
        ]
        for label in "AS"
    }
    if not all(ratings.values()):
        return
    angry, sad = (fmean(ratings[label]) for label in "AS")
    if angry < sad:
        note = (
            f"angry clips have less arousal than sad ones (mean {angry:.3f} and {sad:.3f}): the "
            "activation looks inverted; compare with the release, and see --invert-activation"
        )
        corpus.notes.append(note)
        logger.warning("%s", note)


# -- Label file: each clip's consensus, and below it the workers' votes ----------------------------
# UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.000000; V:3.400000; D:3.200000 ; N:4.200000;
#     WORKER01; Neutral; Neutral,Other(bored); A:3.000000; V:3.000000; D:3.000000; N:4.000000;
#
# First the class, then ratings by the letter before the colon: activation, valence, dominance,
# naturalness, 1-5, NaN where nobody rated. The workers' second field is their class; what else they
# ticked or typed is not used. Repeated workers' lines are counted once.

LABEL_FILES = ("Evalution.txt", "Evaluation.txt")  # the release's spelling first
LABELS = {
    "N": "neutral",
    "S": "sad",
    "A": "angry",
    "H": "happy",
    "O": "other",
    "X": "no_agreement",
}
_VOTES = {"neutral": "N", "sad": "S", "angry": "A", "happy": "H", "other": "O"}
_CLASS_OF_VOTE = {LABELS[letter]: LABELS[letter] for letter in FOUR}  # others are `OTHER`
_RATING = re.compile(r"([AVDN])\s*:\s*(\S+)")
_AXES = {"A": "arousal", "V": "valence", "D": "dominance", "N": "naturalness"}
NAME = re.compile(
    r"(?:UTD|MSP)-IMPROV-(?P<scene>S(?P<sentence>\d\d)(?P<target>[AHNS]))"
    r"-(?P<speaker>(?P<sex>[FM])(?P<session>\d\d))-(?P<scenario>[PRST])-(?P<pair>[FM]{2})(?P<turn>\d+)"
)


@dataclass
class Clip:
    """A clip of the label file; `ratings` are on the corpus's own scale."""

    name: str  # MSP-IMPROV-..., as its recording is called
    label: str
    ratings: dict[str, float]
    line: int
    votes: dict[str, str] = field(default_factory=dict)  # worker -> letter
    workers_ratings: dict[str, dict[str, float]] = field(default_factory=dict)  # worker -> by axis
    unread: list[int] = field(default_factory=list)  # rows below it that cannot be read

    def part(self, name: str) -> str:
        """Return a part of the name: scene, sentence, target, speaker, sex, session, scenario..."""
        match = NAME.fullmatch(self.name)
        assert match, self.name  # checked by read_clips
        return match[name]

    def agreement_is_unknown(self) -> bool:
        """Return whether there is a label, and a worker's line that cannot be read."""
        return self.label != "X" and bool(self.unread)

    def agreement(self) -> float | None:
        """Return the share of workers who chose the label.

        None without a label, or if a worker's line cannot be read.
        """
        if not self.votes or self.label == "X" or self.agreement_is_unknown():
            return None
        return Counter(self.votes.values())[self.label] / len(self.votes)


@dataclass
class Evaluations:
    """The content of the label file."""

    clips: list[Clip] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    odd_lines: list[int] = field(default_factory=list)  # workers' lines that cannot be read


def read_clips(path: Path) -> Evaluations:
    """Read the label file. A consensus line that cannot be read is a fault."""
    evaluations = Evaluations()
    clip: Clip | None = None
    for row, line in enumerate(read_lines(path), start=1):
        fields = [part.strip() for part in line.split(";")]
        if fields[0].lower().endswith(".avi"):
            try:
                clip = _parse_clip(fields, row)
            except ValueError as error:
                clip = None
                fault = Fault(str(path), row, str(error), "compare with the release", "row-invalid")
                evaluations.faults.append(fault)
                continue
            evaluations.clips.append(clip)
        elif line.strip():
            vote = _VOTES.get(fields[1].lower()) if len(fields) > 2 else None
            if clip and vote:
                clip.votes.setdefault(fields[0], vote)
                clip.workers_ratings.setdefault(fields[0], _axes_of(fields[2:]))
            else:
                evaluations.odd_lines.append(row)
                if clip:
                    clip.unread.append(row)
    return evaluations


def _parse_clip(fields: list[str], row: int) -> Clip:
    name = fields[0][: -len(".avi")]
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no clip's name such as UTD-IMPROV-S01A-F01-P-FM01")
    label = fields[1] if len(fields) > 1 else ""
    if label not in LABELS:
        raise ValueError(f"the class is {label!r}, none of {', '.join(LABELS)}")
    ratings = {}
    for letter, value in filter(None, map(_rating, fields[2:])):
        ratings[letter] = float(value)
    if missing := [letter for letter in "AVD" if letter not in ratings]:
        raise ValueError(f"no rating {missing[0]}:")
    known = {_AXES[letter]: x for letter, x in ratings.items() if not math.isnan(x)}
    return Clip(f"MSP{name[3:]}", label, known, row)


def _axes_of(fields: Sequence[str]) -> dict[str, float]:
    """Return a worker's ratings of valence, arousal and dominance; those that are numbers."""
    rated = {}
    for letter, value in filter(None, map(_rating, fields)):
        try:
            rated[_AXES[letter]] = parse_number(value)
        except ValueError:
            continue
    return {axis: rated[axis] for axis in AXES if axis in rated}


def _rating(field_: str) -> tuple[str, str] | None:
    match = _RATING.fullmatch(field_)
    return (match[1], match[2]) if match else None
