"""IEMOCAP: ten actors in five dyadic sessions, scripted and improvised (Busso et al. 2008).

Official layout (`IEMOCAP_full_release`), in each of Session1 ... Session5:
  dialog/EmoEvaluation/{dialogue}.txt    labels and votes
  dialog/transcriptions/{dialogue}.txt   words
  sentences/wav/{dialogue}/{turn}.wav
Ids are those of the turns. Ses01F_impro01_M003 is spoken by the man of session 1, Ses01_M: the
letter before the number is the speaker; the F in Ses01F is who wore the markers. All rated turns
(10,039 in a full copy) are rows, since they have valence, arousal and dominance; `emotion` is empty
if the class map lacks the label, which the column `label` keeps. `votes` has the classes that the
outside evaluators chose, with `other` for those that the class map lacks; the spread of their
ratings is in valence_sd, arousal_sd and dominance_sd. Class maps:
  4    neutral, sad, angry, happy with excited (5,531 turns)
  5    these and frustrated
  6    these, excited apart from happy
  all  every label there is
There is no official split: the manifest is `all`, with files of folds beside it.
Not used: video, motion capture, forced alignments, dialog/wav, files of single evaluators.
"""

from __future__ import annotations

import argparse
import logging
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.corpora.annotators import describe_ratings, note_votes, votes_cell
from data_prep.corpora.recordings import (
    NO_TRANSCRIPT,
    agreement_note,
    join_audio,
    leave_out_audio,
    read_lines,
    scale_axes,
)
from data_prep.engines import Workers
from data_prep.errors import Fault, ManifestError, raise_faults
from data_prep.files.listing import visible
from data_prep.folds.dev_set import GENDER
from data_prep.folds.file import write_corpus_with_folds
from data_prep.folds.protocols import FoldOptions
from data_prep.folds.records import ALL
from data_prep.manifest.audio_root import to_record
from data_prep.manifest.cells import normalize_text
from data_prep.manifest.out_of_scale import REFUSE, VadScale, add_out_of_scale
from data_prep.messages import first_few
from data_prep.schema import AXES, Corpus, DroppedRow, Utterance

# The three-letter labels; xxx: the evaluators did not agree.
LABELS = {
    "neu": "neutral",
    "sad": "sad",
    "ang": "angry",
    "hap": "happy",
    "exc": "excited",
    "fru": "frustrated",
    "fea": "fearful",
    "sur": "surprised",
    "dis": "disgusted",
    "oth": "other",
}
NO_AGREEMENT = "xxx"
# The words of the C lines, by their beginnings.
_WORDS = {
    "neutral": "neu",
    "sad": "sad",
    "ang": "ang",
    "hap": "hap",
    "exc": "exc",
    "fru": "fru",
    "fear": "fea",
    "sur": "sur",
    "dis": "dis",
    "other": "oth",
}

_FOUR = {"neu": "neutral", "sad": "sad", "ang": "angry", "hap": "happy", "exc": "happy"}
CLASSES: dict[str, Mapping[str, str]] = {
    "4": _FOUR,
    "5": {**_FOUR, "fru": "frustrated"},
    "6": {label: LABELS[label] for label in ("neu", "sad", "ang", "hap", "exc", "fru")},
    "all": LABELS,
}
SCALE = (1.0, 5.0)
PROTOCOLS = (
    "leave_one_session_out",
    "leave_one_session_out_dialogues",
    "leave_one_speaker_out",
    "seed_sessions",
)
LICENSE = "IEMOCAP release form of USC SAIL: for research, on request, not to be passed on"
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
    out_of_scale: str = REFUSE,
    seed: int = 1,
    force: bool = False,
    workers: Workers = None,
    progress: bool = False,
) -> Corpus:
    """Write IEMOCAP's data dir, of one split `all`, and its folds.

    Args:
        corpus_dir: `IEMOCAP_full_release`; `audio` paths start from it.
        out_dir: data dir to write.
        classes: a key of `CLASSES`.
        keep_sounds: keep sound notes such as [LAUGHTER] in the text.
        text_only: prepare no recordings.
        out_of_scale: one of `OUT_OF_SCALE`.
        seed: of the dev sets that are drawn.
        force: replace folds that differ from those to be written.
        workers: an engine, or a number of threads, which decode audio.
        progress: show bars.

    Raises:
        ValueError: another layout, or lines that cannot be read; nothing is written then.
    """
    corpus_dir, out_dir = Path(corpus_dir), Path(out_dir)
    corpus = Corpus(
        "iemocap",
        labels={"emotion": tuple(dict.fromkeys(CLASSES[classes].values()))},
        vad={"source_scale": list(SCALE), "mapping": "(x - 1) / 4"},
        protocol="no official split: leave one session or one speaker out, see folds/",
        license=LICENSE,
        citation=CITATION,
    )
    turns = read_all_turns(corpus_dir, ALL, corpus)
    ids = {turn.id for turn in turns}
    texts = read_all_texts(corpus_dir, ids, corpus, keep_sounds=keep_sounds)
    scale = VadScale(*SCALE, out_of_scale)
    rows = make_rows(turns, texts, CLASSES[classes], scale, ALL, corpus)
    note_unlabeled(rows, classes, corpus)
    note_votes(rows, corpus)
    splits: dict[str, list[Utterance]] = {ALL: rows}
    if text_only:
        splits = leave_out_audio(splits, corpus)
    else:
        note_spare_recordings(corpus_dir, rows, corpus)
        corpus.data_raw = to_record(corpus_dir)
        splits = join_audio(splits, corpus_dir, out_dir, corpus, workers=workers, progress=progress)
    options = FoldOptions(seed=seed)
    write_corpus_with_folds(out_dir, corpus, splits[ALL], PROTOCOLS, options, force=force)
    return corpus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `prepare_iemocap`."""
    add = parser.add_argument
    add("--classes", choices=CLASSES, default="4", help="class map (default: %(default)s)")
    drop = "remove sound notes such as [LAUGHTER] from texts"
    add("--drop-sound-notes", dest="keep_sounds", action="store_false", help=drop)
    add("--text-only", action="store_true", help="prepare no recordings")
    add_out_of_scale(parser)
    add("--seed", type=int, default=1, help="of the folds' dev sets (default: %(default)s)")
    add("--force", action="store_true", help="replace existing folds that differ")


# -- From files to rows; what is missing or odd is noted in the card -------------------------------


def read_all_turns(corpus_dir: Path, split: str, corpus: Corpus) -> list[Turn]:
    """Read all turns by dialogue, in order of time; a repeated one is listed as dropped."""
    paths = visible(corpus_dir.glob("Session[1-5]/dialog/EmoEvaluation/Ses*.txt"))
    if not paths:
        problem = "no Session1 ... Session5 with dialog/EmoEvaluation/Ses*.txt"
        remedy = "name IEMOCAP_full_release"
        raise ManifestError(Fault(str(corpus_dir), None, problem, remedy, "corpus-layout"))
    evaluations = Evaluations()
    for path in paths:
        session = f"Session{path.stem[3:5].lstrip('0')}"
        if path.parts[-4] != session:
            problem, remedy = f"by its name it belongs to {session}", "move it there"
            fault = Fault(str(path), None, problem, remedy, "file-misplaced")
            evaluations.faults.append(fault)
        read_turns(path, evaluations)
    raise_faults(evaluations.faults)
    if odd := evaluations.odd_lines:
        corpus.notes.append(f"{len(odd)} evaluators' lines cannot be read: {first_few(odd)}")
    check_counts([(turn.part("session"), turn.label) for turn in evaluations.turns], corpus)
    first: dict[str, Turn] = {}
    for turn in evaluations.turns:
        if first.setdefault(turn.id, turn) is not turn:
            reason = f"row {turn.line} repeats the turn of row {first[turn.id].line}"
            corpus.dropped.append(DroppedRow(split, turn.id, reason))
    if unknown := [turn.id for turn in first.values() if turn.agreement_is_unknown()]:
        corpus.notes.append(agreement_note(unknown))
    return sorted(first.values(), key=lambda t: (t.part("dialogue"), t.start, t.end, t.id))


def read_all_texts(
    corpus_dir: Path, turns: Collection[str], corpus: Corpus, *, keep_sounds: bool
) -> dict[str, str]:
    """Read {turn: text}; other lines of the transcriptions are counted in the card."""
    transcripts = Transcripts()
    for path in visible(corpus_dir.glob("Session[1-5]/dialog/transcriptions/Ses*.txt")):
        read_transcript(path, turns, transcripts, keep_sounds=keep_sounds)
    sounds = "kept" if keep_sounds else "cut out"
    notes = {
        "transcribed lines without a label line are no utterances: "
        + first_few(transcripts.unrated): len(transcripts.unrated),
        "transcribed lines name no turn and are not used": transcripts.comments,
        "turns are transcribed twice, the first is used: " + first_few(transcripts.repeated): len(
            transcripts.repeated
        ),
        f"texts hold notes of sounds such as [LAUGHTER], {sounds}": transcripts.sound_rows,
        "texts held marks of the forced alignment, cut out": transcripts.aligner_rows,
    }
    corpus.notes += [f"{count} {note}" for note, count in notes.items() if count]
    return transcripts.texts


def make_rows(
    turns: Sequence[Turn],
    texts: Mapping[str, str],
    classes: Mapping[str, str],
    scale: VadScale,
    split: str,
    corpus: Corpus,
) -> list[Utterance]:
    """Make rows in the order of `turns`; a missing text or bad VAD is listed, the row kept.

    Raises CodedError for VAD outside `scale` that is refused.
    """
    rows = []
    n_turns: Counter[str] = Counter()  # of each dialogue, so far
    for turn in turns:
        vad, left_out = scale_axes(turn.id, turn.vad, scale)
        corpus.dropped += [DroppedRow(split, turn.id, why, axis) for axis, why in left_out.items()]
        if not texts.get(turn.id):
            reason = "the transcript is blank" if turn.id in texts else NO_TRANSCRIPT
            corpus.dropped.append(DroppedRow(split, turn.id, reason, "text"))
        dialogue, session = turn.part("dialogue"), turn.part("session")
        rows.append(
            Utterance(
                id=turn.id,
                audio=f"Session{int(session[3:])}/sentences/wav/{dialogue}/{turn.id}.wav",
                text=texts.get(turn.id) or None,
                speaker=f"{session}_{turn.part('speaker')}",
                session=session,
                dialogue=dialogue,
                turn=n_turns[dialogue],
                emotion=classes.get(turn.label),
                valence=vad.get("valence"),
                arousal=vad.get("arousal"),
                dominance=vad.get("dominance"),
                votes=votes_cell(turn.outside_votes(), classes),
                **describe_ratings(turn.outside_ratings(), SCALE),
                extra=_extra(turn),
            )
        )
        n_turns[dialogue] += 1
    scale.list_outside(corpus, split)
    return rows


def _extra(turn: Turn) -> dict[str, str]:
    """Return the further columns: label, evaluators, and times in the dialogue."""
    agreement = turn.agreement()
    extra = {
        "label": turn.label,
        GENDER: {"F": "female", "M": "male"}[turn.part("speaker")],
        "evaluators": str(sum(who.startswith("E") for who in turn.votes)),
        "agreement": "" if agreement is None else f"{agreement:.3f}",
        "evaluator_votes": "; ".join(f"{who} {' '.join(vote)}" for who, vote in turn.votes.items()),
        "ratings": " | ".join(f"{who} {rating}" for who, rating in turn.ratings.items()),
        "turn_start": f"{turn.start:.4f}",
        "turn_end": f"{turn.end:.4f}",
    }
    return {name: value for name, value in extra.items() if value}


def note_unlabeled(rows: Sequence[Utterance], classes: str, corpus: Corpus) -> None:
    """Note how many rows have no label in the class map, by their label in the release."""
    others = Counter(row.extra["label"] for row in rows if row.emotion is None)
    if others:
        counts = ", ".join(f"{label} {count}" for label, count in others.most_common())
        corpus.notes.append(
            f"{others.total()} rows have no label in the {classes}-class map, and keep their VAD: "
            f"{counts} ({NO_AGREEMENT}: the evaluators did not agree)"
        )


def note_spare_recordings(corpus_dir: Path, rows: Sequence[Utterance], corpus: Corpus) -> None:
    """Note the recordings without a label line."""
    known = {row.id for row in rows}
    wavs = visible(corpus_dir.glob("Session[1-5]/sentences/wav/*/*.wav"))
    if spare := [path.stem for path in wavs if path.stem not in known]:
        corpus.notes.append(f"{len(spare)} recordings have no label line: {first_few(spare)}")


# -- EmoEvaluation: the label and the votes of each turn -------------------------------------------
#
#     % [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]
#
#     [6.2901 - 8.2357] Ses01F_impro01_F000  neu  [2.5000, 2.5000, 2.5000]
#     C-E2:  Neutral;  ()
#     C-F1:  Neutral;  (curious)
#     A-E3:  val 3; act 2; dom  2;  ()
#
# Fields are separated by tabs. E are outside evaluators, whose majority decides the label; F and M
# are the actors themselves, who rated later and are not counted. `C` lines name classes, several
# where an evaluator could not choose; `A` lines rate the axes, and may be blank. Text in ( ) is a
# comment, which is not used.

_AXIS_OF = {axis[0].upper(): axis for axis in AXES}  # V, A, D

_TURN = re.compile(
    r"\[\s*(?P<start>[\d.]+)\s*-\s*(?P<end>[\d.]+)\s*\]\s+(?P<id>\S+)\s+(?P<label>\w+)\s+"
    r"\[(?P<vad>[^\]]*)\]\s*"
)
TURN_ID = re.compile(r"(?P<dialogue>(?P<session>Ses\d\d)[FM]_\w+)_(?P<speaker>[FM])(?:XX)?\d+")
_HEADER_AXES = re.compile(r"\[\s*(\w)\s*,\s*(\w)\s*,\s*(\w)\s*\]\s*$")
_VOTE = re.compile(r"(?P<kind>[CA])-(?P<who>[EFM]\d*):\s*(?P<what>[^(]*?)\s*(?:\(.*)?")


@dataclass
class Turn:
    """A label line and the evaluators' lines below it; `vad` is on the corpus's own scale."""

    id: str
    start: float
    end: float
    label: str
    vad: Mapping[str, float]
    line: int
    votes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # evaluator -> labels
    unread: set[str] = field(default_factory=set)  # evaluators whose class is blank or unknown
    ratings: dict[str, str] = field(default_factory=dict)  # evaluator -> "val 3; act 2; dom 2"

    def part(self, name: str) -> str:
        """Return the "dialogue", "session" or "speaker" (F or M) of the id."""
        match = TURN_ID.fullmatch(self.id)
        assert match, self.id  # checked by read_turns
        return match[name]

    def outside_votes(self) -> list[tuple[str, ...]]:
        """Return the labels that each outside evaluator chose."""
        return [vote for who, vote in self.votes.items() if _is_outside(who)]

    def outside_ratings(self) -> list[dict[str, float]]:
        """Return the ratings of each outside evaluator, by axis; those that were given."""
        return [_rated(text) for who, text in self.ratings.items() if _is_outside(who)]

    def agreement_is_unknown(self) -> bool:
        """Return whether there is a label, and an outside evaluator whose class is unknown."""
        return self.label != NO_AGREEMENT and any(map(_is_outside, self.unread))

    def agreement(self) -> float | None:
        """Return the share of outside evaluators who chose the label.

        None without a label, or if the class of one of them is blank or unknown.
        """
        votes = self.outside_votes()
        if not votes or self.label == NO_AGREEMENT or self.agreement_is_unknown():
            return None
        return sum(self.label in vote for vote in votes) / len(votes)


@dataclass
class Evaluations:
    """The turns of EmoEvaluation files, and what could not be read."""

    turns: list[Turn] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    odd_lines: list[str] = field(default_factory=list)  # "file: row N" of unreadable lines


def read_turns(path: Path, evaluations: Evaluations) -> None:
    """Add a file's turns to `evaluations`; the header names the axes in the brackets."""
    axes: tuple[str, ...] = AXES
    turn: Turn | None = None
    for row, line in enumerate(map(str.strip, read_lines(path)), start=1):
        try:
            if line.startswith("%"):
                axes = _axes_of(line) or axes
            elif line.startswith("["):
                turn = _parse_turn(line, path.stem, axes, row)
                evaluations.turns.append(turn)
            elif line and not (turn and _add_vote(turn, line)):
                evaluations.odd_lines.append(f"{path.name}: row {row}")
        except ValueError as error:
            fault = Fault(str(path), row, str(error), "compare with the release", "row-invalid")
            evaluations.faults.append(fault)


def _axes_of(header: str) -> tuple[str, ...]:
    match = _HEADER_AXES.search(header)
    letters = [letter.upper() for letter in match.groups()] if match else []
    if match and sorted(letters) != sorted(_AXIS_OF):
        raise ValueError(f"the header's bracket is {', '.join(letters)}, not V, A and D")
    return tuple(_AXIS_OF[letter] for letter in letters)


def _parse_turn(line: str, dialogue: str, axes: tuple[str, ...], row: int) -> Turn:
    match = _TURN.fullmatch(line)
    if not match:
        raise ValueError("no label line: [start - end], turn, emotion, [V, A, D]")
    if match["label"] not in {*LABELS, NO_AGREEMENT}:
        raise ValueError(f"emotion is {match['label']!r}, none of {', '.join(LABELS)}, xxx")
    name = TURN_ID.fullmatch(match["id"])
    if not name or name["dialogue"] != dialogue:
        raise ValueError(f"turn {match['id']!r} is none of the dialogue {dialogue}")
    values = [float(value.strip() or "nan") for value in match["vad"].split(",")]
    if len(values) != len(axes):
        raise ValueError(f"[{match['vad']}] are not {len(axes)} numbers")
    return Turn(
        id=match["id"],
        start=float(match["start"]),
        end=float(match["end"]),
        label=match["label"],
        vad=dict(zip(axes, values, strict=True)),
        line=row,
    )


def _add_vote(turn: Turn, line: str) -> bool:
    match = _VOTE.fullmatch(line)
    if not match:
        return False
    if match["kind"] == "A":
        turn.ratings[match["who"]] = " ".join(match["what"].split()).rstrip(";")
        return True
    labels = tuple(_labels(match["what"]))
    if not labels or None in labels:
        turn.unread.add(match["who"])
        return not labels and not _is_outside(match["who"])  # an actor may have rated nothing
    turn.votes[match["who"]] = tuple(label for label in labels if label)
    return True


def _rated(text: str) -> dict[str, float]:
    """Parse the ratings of an `A` line.

    >>> _rated("val 3; act 2; dom")
    {'valence': 3.0, 'arousal': 2.0}
    """
    rated = re.findall(r"(val|act|dom)\s+(\d+(?:\.\d+)?)", text.lower())
    return {_AXIS_OF[name[0].upper()]: float(value) for name, value in rated}


def _is_outside(who: str) -> bool:
    return who.startswith("E")


def _labels(words: str) -> Iterator[str | None]:
    for word in filter(None, (part.strip().lower() for part in words.split(";"))):
        yield next((label for start, label in _WORDS.items() if word.startswith(start)), None)


# -- Transcriptions: `Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.` -------------------------
# Lines of overlapping or unrated speech (`Ses03F_impro06_FXX0`) and comments without a turn
# (`M: [LAUGHTER]`) are no utterances of the corpus; they are counted. Marks of the forced alignment
# (`<s>`, `<sil>`, `++LAUGHTER++`, `THE(2)`) are removed; sound notes of the transcribers such as
# `[LAUGHTER]` are kept unless --drop-sound-notes is given.

_LINE = re.compile(r"(?P<id>Ses\w+)\s*(?:\[[^\]]*\])?\s*:\s*(?P<text>.*)")
_ALIGNER = re.compile(r"</?s>|<sil>|\+\+\w+\+\+|(?<=\w)\(\d\)", re.IGNORECASE)
_SOUND = re.compile(r"\[\s*[A-Z][A-Z _-]*\]")


@dataclass
class Transcripts:
    """Texts of turns, and counts of other lines."""

    texts: dict[str, str] = field(default_factory=dict)
    unrated: list[str] = field(default_factory=list)  # ids without a label line
    comments: int = 0  # lines without a turn
    repeated: list[str] = field(default_factory=list)  # ids with a second, different text
    aligner_rows: int = 0
    sound_rows: int = 0


def read_transcript(
    path: Path, turns: Collection[str], transcripts: Transcripts, *, keep_sounds: bool
) -> None:
    """Add the texts of a dialogue's `turns` to `transcripts`; of two texts the first is used."""
    for line in read_lines(path):
        match = _LINE.fullmatch(line.strip())
        if not match:
            transcripts.comments += bool(line.strip())
        elif match["id"] not in turns:
            transcripts.unrated.append(match["id"])
        else:
            text = _clean(match["text"], transcripts, keep_sounds)
            if transcripts.texts.setdefault(match["id"], text) != text:
                transcripts.repeated.append(match["id"])


def _clean(text: str, transcripts: Transcripts, keep_sounds: bool) -> str:
    words = _ALIGNER.sub(" ", text)
    transcripts.aligner_rows += words != text
    without_sounds = _SOUND.sub(" ", words)
    transcripts.sound_rows += without_sounds != words
    return normalize_text(words if keep_sounds else without_sounds)


# -- Counts of a full copy -------------------------------------------------------------------------

FULL = {
    "neu": 1708,
    "sad": 1084,
    "ang": 1103,
    "hap": 595,
    "exc": 1041,
    "fru": 1849,
    "fea": 40,
    "sur": 107,
    "dis": 2,
    "oth": 3,
    "xxx": 2507,
}
# Turns of neutral, sad, angry, happy and excited.
FOUR_CLASS = {"Ses01": 1085, "Ses02": 1023, "Ses03": 1151, "Ses04": 1031, "Ses05": 1241}

logger = logging.getLogger(__name__)


def check_counts(turns: Sequence[tuple[str, str]], corpus: Corpus) -> None:
    """Note the known counts, and warn if all sessions are present with other counts.

    Args:
        turns: (session, label) of every label line.
        corpus: whose notes are added to.
    """
    sessions = ", ".join(f"{session} {count}" for session, count in FOUR_CLASS.items())
    corpus.notes.append(
        f"a full copy has {sum(FULL.values())} turns; in 4 classes {sum(FOUR_CLASS.values())}: "
        f"{sessions}"
    )
    sessions_found = sorted({session for session, _ in turns})
    if sessions_found != sorted(FOUR_CLASS):
        corpus.notes.append(f"a part of the corpus: {', '.join(sessions_found)}")
        return
    labels = Counter(label for _, label in turns)
    four = Counter(session for session, label in turns if label in CLASSES["4"])
    wrong = [
        f"{key} {counts[key]}, not {n}"
        for known, counts in ((FULL, labels), (FOUR_CLASS, four))
        for key, n in known.items()
        if counts[key] != n
    ]
    if wrong:
        note = f"this copy differs from the full one: {'; '.join(wrong)}"
        corpus.notes.append(note)
        logger.warning("%s", note)
