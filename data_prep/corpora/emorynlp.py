"""EmoryNLP: Friends scenes, an emotion of the Feeling Wheel per utterance (Zahiri and Choi 2018).

Layout: `emorynlp_{train,dev,test}_final.csv` with the columns below, as MELD's authors publish it;
whole episodes make up a split. Ids are season, episode, scene and utterance, as the corpus's own:
`s01_e02_c01_u003`; a scene is a dialogue, and the numbers of its utterances have gaps. Speakers
are a list, joined by " & "; "#ALL#" is the corpus's own word for everyone at once. There is no
audio.
Not used: Start_Time and End_Time, of the episode.
"""

from __future__ import annotations

import ast
from pathlib import Path

from data_prep.errors import Fault, raise_faults
from data_prep.manifest.cells import normalize_text
from data_prep.schema import Corpus, DroppedRow, Utterance, shared_values, write_corpus
from data_prep.tables.reader import read_table
from data_prep.tables.table import TableFormat

SPLIT_OF = {"train": "train", "dev": "valid", "test": "test"}
EMOTIONS = ("Neutral", "Joyful", "Peaceful", "Powerful", "Scared", "Mad", "Sad")
COLUMNS = ("Utterance", "Speaker", "Emotion", "Scene_ID", "Utterance_ID", "Season", "Episode")
LICENSE = "that of the release, emorynlp/emotion-detection"
CITATION = (
    "Zahiri, Choi (2018). Emotion Detection on TV Show Transcripts with Sequence-based "
    "Convolutional Neural Networks. AAAI Workshop on Affective Content Analysis."
)


def prepare_emorynlp(corpus_dir: str | Path, out_dir: str | Path) -> Corpus:
    """Write EmoryNLP's data dir; repeated rows and rows without text are dropped and listed."""
    corpus = Corpus(
        "emorynlp",
        labels={"emotion": EMOTIONS},
        protocol="official train/dev/test, dev as valid; episodes apart, actors shared by design",
        license=LICENSE,
        citation=CITATION,
    )
    splits = {}
    for official, split in SPLIT_OF.items():
        path = Path(corpus_dir) / f"emorynlp_{official}_final.csv"
        splits[split] = _read_split(path, split, corpus)
    if shared := shared_values(splits, "dialogue"):
        corpus.notes.append(f"{len(shared)} scenes are in more than one split")
    else:
        corpus.disjoint = ("dialogue",)
    write_corpus(out_dir, corpus, splits)
    return corpus


def _read_split(path: Path, split: str, corpus: Corpus) -> list[Utterance]:
    utterances: dict[str, Utterance] = {}
    faults = []
    for line, row in read_table(path, COLUMNS, TableFormat(legacy_bytes=True)):
        try:
            utterance = _utterance(row)
        except ValueError as error:
            remedy = "compare with the official CSV"
            faults.append(Fault(str(path), line, str(error), remedy, "row-invalid"))
            continue
        reason = "no text" if utterance.text is None else None
        if utterance.id in utterances:
            reason = f"row {line} repeats the scene and utterance number of an earlier row"
        if reason:
            corpus.dropped.append(DroppedRow(split, utterance.id, reason))
        else:
            utterances[utterance.id] = utterance
    raise_faults(faults)
    return list(utterances.values())


def _utterance(row: dict[str, str]) -> Utterance:
    if row["Emotion"] not in EMOTIONS:
        raise ValueError(f"Emotion is {row['Emotion']!r}, none of {', '.join(EMOTIONS)}")
    for key in ("Scene_ID", "Utterance_ID", "Season", "Episode"):
        if not (row[key].isascii() and row[key].isdigit()):
            raise ValueError(f"{key} is {row[key]!r}, no number")
    session = f"s{int(row['Season']):02d}_e{int(row['Episode']):02d}"
    dialogue = f"{session}_c{int(row['Scene_ID']):02d}"
    turn = int(row["Utterance_ID"])
    return Utterance(
        id=f"{dialogue}_u{turn:03d}",
        text=normalize_text(row["Utterance"]) or None,
        speaker=parse_speakers(row["Speaker"]),
        session=session,
        dialogue=dialogue,
        turn=turn,
        emotion=row["Emotion"],
    )


def parse_speakers(value: str) -> str | None:
    """Join the names of a list as in the CSV; None if empty. Raises ValueError for other text.

    >>> parse_speakers("['Chandler Bing', 'Joey Tribbiani']")
    'Chandler Bing & Joey Tribbiani'
    """
    try:
        names = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"Speaker is {value!r}, no list such as ['Monica Geller']")
    return " & ".join(normalize_text(name) for name in names) or None
