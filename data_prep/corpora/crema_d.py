"""CREMA-D: 91 actors say twelve sentences in six emotions, judged by a crowd (Cao et al. 2014).

Official layout:
  AudioWAV/1001_DFA_ANG_XX.wav         actor, sentence, intended emotion, intensity
  VideoDemographics.csv                age, sex, race and ethnicity of the actors
  processedResults/tabulatedVotes.csv  votes for each clip, as sound, as video, and as both
`votes` has those of one presentation: of the voice alone, unless --presentation names another. The
emotion is the majority of these votes; a tie is no agreement. --labels intended takes the emotion
that the actor was to show; the column `intended` has it in any case.
The twelve sentences occur in every emotion, so their text is independent of it.
There is no official split: the manifest is `all`, with folds that leave groups of actors out.
Not used: the videos, levels of intensity, response times.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from data_prep.corpora.annotators import note_votes
from data_prep.corpora.recordings import join_audio, leave_out_audio
from data_prep.engines import Workers
from data_prep.errors import Fault, ManifestError, raise_faults
from data_prep.files.listing import visible
from data_prep.folds.dev_set import GENDER
from data_prep.folds.file import write_corpus_with_folds
from data_prep.folds.protocols import FoldOptions
from data_prep.folds.records import ALL
from data_prep.manifest.audio_root import to_record
from data_prep.manifest.votes import format_votes, majority
from data_prep.messages import first_few
from data_prep.schema import Corpus, DroppedRow, Utterance
from data_prep.tables.reader import read_table
from data_prep.tables.table import TableFormat

VOTES = "processedResults/tabulatedVotes.csv"
ACTORS = "VideoDemographics.csv"
AUDIO = "AudioWAV"
PRESENTATIONS = {"voice": 1, "face": 2, "both": 3}  # the hundred thousands of a row's number
MAJORITY, INTENDED = LABELS = ("majority", "intended")
EMOTIONS = {  # by the letters of the votes and of the names
    "N": ("NEU", "neutral"),
    "H": ("HAP", "happy"),
    "S": ("SAD", "sad"),
    "A": ("ANG", "angry"),
    "F": ("FEA", "fear"),
    "D": ("DIS", "disgust"),
}
INTENSITIES = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified", "X": "unspecified"}
SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
PROTOCOL = "leave_speaker_group_out"
LICENSE = "Open Database License; its content: Database Contents License"
CITATION = (
    "Cao, Cooper, Keutmann, Gur, Nenkova, Verma (2014). CREMA-D: Crowd-sourced Emotional "
    "Multimodal Actors Dataset. IEEE Transactions on Affective Computing 5(4)."
)

_BY_CODE = dict(EMOTIONS.values())
_NAME = re.compile(r"(?P<actor>\d{4})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<level>\w+)")
_FORMAT = TableFormat(keeps_index=True)
_ROW_NUMBERS = 100_000  # row number = this x presentation + clip


def prepare_crema_d(
    corpus_dir: str | Path,
    out_dir: str | Path,
    *,
    presentation: str = "voice",
    labels: str = MAJORITY,
    text_only: bool = False,
    seed: int = 1,
    force: bool = False,
    workers: Workers = None,
    progress: bool = False,
) -> Corpus:
    """Write CREMA-D's data dir, of one split `all`, and its folds.

    Args:
        corpus_dir: folder of AudioWAV and processedResults; `audio` paths start from it.
        out_dir: data dir to write.
        presentation: a key of `PRESENTATIONS`, whose votes are read.
        labels: one of `LABELS`.
        text_only: prepare no recordings.
        seed: of the dev sets that are drawn.
        force: replace folds that differ from those to be written.
        workers: an engine, or a number of threads, which decode audio.
        progress: show bars.

    Raises:
        ValueError: another layout, or rows that cannot be read; nothing is written then.
    """
    corpus_dir, out_dir = Path(corpus_dir), Path(out_dir)
    corpus = Corpus(
        "crema_d",
        labels={"emotion": tuple(_BY_CODE.values())},
        protocol="no official split: leave groups of actors out, see folds/",
        license=LICENSE,
        citation=CITATION,
    )
    genders = _read_genders(corpus_dir / ACTORS)
    rows = read_votes(corpus_dir, corpus, genders, presentation, labels)
    note_votes(rows, corpus)
    splits = {ALL: rows}
    if text_only:
        splits = leave_out_audio(splits, corpus)
    else:
        known = {row.id for row in rows}
        wavs = visible((corpus_dir / AUDIO).glob("*.wav"))
        if spare := [path.stem for path in wavs if path.stem not in known]:
            corpus.notes.append(f"{len(spare)} recordings have no votes: {first_few(spare)}")
        corpus.data_raw = to_record(corpus_dir)
        splits = join_audio(splits, corpus_dir, out_dir, corpus, workers=workers, progress=progress)
    options = FoldOptions(seed=seed)
    write_corpus_with_folds(out_dir, corpus, splits[ALL], [PROTOCOL], options, force=force)
    return corpus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `prepare_crema_d`."""
    add = parser.add_argument
    of = "votes for the voice, the face, or both (default: %(default)s)"
    add("--presentation", choices=PRESENTATIONS, default="voice", help=of)
    label = "the emotion of a row: majority of the votes, or intended (default: %(default)s)"
    add("--labels", choices=LABELS, default=MAJORITY, help=label)
    add("--text-only", action="store_true", help="prepare no recordings")
    add("--seed", type=int, default=1, help="of the folds' dev sets (default: %(default)s)")
    add("--force", action="store_true", help="replace existing folds that differ")


def read_votes(
    corpus_dir: Path,
    corpus: Corpus,
    genders: Mapping[str, str],
    presentation: str,
    labels: str,
) -> list[Utterance]:
    """Read the rows of one presentation; a repeated clip is listed in the card."""
    path = corpus_dir / VOTES
    if not path.is_file():
        remedy = f"name the folder with {AUDIO}/ and processedResults/"
        raise ManifestError(Fault(str(corpus_dir), None, f"no {VOTES}", remedy, "corpus-layout"))
    rows: list[Utterance] = []
    first: dict[str, int] = {}
    faults = []
    others: Counter[str] = Counter()
    for line, cells in read_table(path, ("", *EMOTIONS, "fileName"), _FORMAT):
        try:
            number = int(cells[""])  # the column without a name
            if number // _ROW_NUMBERS != PRESENTATIONS[presentation]:
                others[presentation] += 1
                continue
            row = _utterance(cells, genders, labels)
        except ValueError as error:
            faults.append(
                Fault(str(path), line, str(error), "compare with the release", "row-invalid")
            )
            continue
        if first.setdefault(row.id, line) != line:
            reason = f"row {line} repeats the clip of row {first[row.id]}"
            corpus.dropped.append(DroppedRow(ALL, row.id, reason))
            continue
        rows.append(row)
    raise_faults(faults)
    if not rows:
        problem = f"no row of the presentation {presentation}"
        remedy = "compare with the release: rows are numbered from 100000 for the voice"
        raise ManifestError(Fault(str(path), None, problem, remedy, "rows-missing"))
    n_others = others.total()
    corpus.notes.append(
        f"votes are of the presentation {presentation}; {n_others} rows of others are not read"
    )
    return rows


def _utterance(cells: Mapping[str, str], genders: Mapping[str, str], labels: str) -> Utterance:
    """Return the row of a clip. Raises ValueError for a cell that cannot be read."""
    name = _NAME.fullmatch(cells["fileName"].strip().removesuffix(".wav"))
    if not name or name["emotion"] not in _BY_CODE or name["sentence"] not in SENTENCES:
        raise ValueError(f"fileName is {cells['fileName']!r}, not like 1001_DFA_ANG_XX")
    votes = {emotion: _count(letter, cells[letter]) for letter, (_, emotion) in EMOTIONS.items()}
    given = any(votes.values())
    intended = _BY_CODE[name["emotion"]]
    label = intended if labels == INTENDED else majority(votes) if given else None
    gender = genders.get(name["actor"])
    return Utterance(
        id=name.string,
        audio=f"{AUDIO}/{name.string}.wav",
        text=SENTENCES[name["sentence"]],
        speaker=f"actor_{name['actor']}",
        emotion=label,
        votes=format_votes(votes),
        extra={
            "intended": intended,
            "intensity": INTENSITIES.get(name["level"], name["level"].lower()),
            **({GENDER: gender} if gender else {}),
        },
    )


def _count(letter: str, value: str) -> float:
    value = value.strip()
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"{letter} is {value!r}, no number of votes")
    return float(value)


def _read_genders(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    rows = read_table(path, ("ActorID", "Sex"))
    return {row["ActorID"].strip(): row["Sex"].strip().lower() for _, row in rows}
