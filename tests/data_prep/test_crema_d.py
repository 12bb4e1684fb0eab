from collections.abc import Callable
from pathlib import Path

import pytest
from codes import raises

from data_prep.commands.prepare import main
from data_prep.commands.validate import validate
from data_prep.corpora.crema_d import VOTES, prepare_crema_d
from data_prep.schema import Corpus, Utterance, read_corpus, read_manifest

HEADER = '"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote"'
ROWS = [
    f'"{presentation}{clip:05d}",{votes},"{actor}_{name}",9,0.5,"{letter}"'
    for presentation, votes, letter in (
        (1, "6,0,0,1,2,0", "A"),
        (2, "0,0,0,9,0,0", "H"),
    )
    for clip, (actor, name) in enumerate(
        ((1000 + actor, name) for actor in range(1, 6) for name in ("DFA_ANG_XX", "IEO_SAD_HI")),
        start=1,
    )
]
TIE = '"100011",3,0,0,0,3,0,"1001_WSI_NEU_XX",6,0.5,"A:N"'
NAMES = [row.split('"')[3] for row in ROWS[:10]]


@pytest.fixture
def corpus_dir(tmp_path: Path, write_sound: Callable[..., Path]) -> Path:
    """Five actors with two clips each, and a third of the first that is a tie."""
    root = tmp_path / "CREMA-D"
    write_votes(root, *ROWS, TIE)
    actors = [f"{actor},30,{sex},Asian,Not Hispanic" for actor, sex in ((1001, "Male"),)]
    (root / "VideoDemographics.csv").write_text(
        "\n".join(["ActorID,Age,Sex,Race,Ethnicity", *actors]) + "\n"
    )
    for name in (*NAMES, "1001_WSI_NEU_XX", "1001_TAI_FEA_XX"):
        write_sound(root / "AudioWAV" / f"{name}.wav", 1600)
    return root


def write_votes(root: Path, *rows: str) -> None:
    (root / VOTES).parent.mkdir(parents=True, exist_ok=True)
    (root / VOTES).write_text("\n".join([HEADER, *rows]) + "\n")


def rows_of(out: Path) -> dict[str, Utterance]:
    return {row.id: row for row in read_manifest(out / "all.tsv")}


def note(corpus: Corpus, what: str) -> str:
    (found,) = (note for note in corpus.notes if what in note)
    return found


def test_votes_for_the_voice_and_their_majority(corpus_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main("crema_d", [str(corpus_dir), str(out)]) == 0
    rows = rows_of(out)
    assert len(rows) == 11
    assert rows["1001_IEO_SAD_HI"] == Utterance(
        "1001_IEO_SAD_HI",
        audio="AudioWAV/1001_IEO_SAD_HI.wav",
        n_samples=1600,
        text="It's eleven o'clock",
        speaker="actor_1001",
        emotion="angry",  # as most heard it
        votes="angry:6 neutral:2 happy:1",
        extra={"intended": "sad", "intensity": "high", "gender": "male"},
    )
    tie = rows["1001_WSI_NEU_XX"]
    assert (tie.emotion, tie.votes) == (None, "neutral:3 angry:3")
    corpus = read_corpus(out)
    assert note(corpus, "no votes").endswith(": 1001_TAI_FEA_XX")
    assert note(corpus, "presentation").endswith("10 rows of others are not read")
    assert (out / "folds" / "leave_speaker_group_out.json").is_file()
    assert validate(out, corpus_dir) == []


def test_intended_emotions_and_votes_for_the_face(corpus_dir: Path, tmp_path: Path) -> None:
    prepare_crema_d(corpus_dir, tmp_path / "a", labels="intended", text_only=True)
    assert rows_of(tmp_path / "a")["1001_IEO_SAD_HI"].emotion == "sad"
    assert rows_of(tmp_path / "a")["1001_WSI_NEU_XX"].emotion == "neutral"
    prepare_crema_d(corpus_dir, tmp_path / "b", presentation="face", text_only=True)
    assert {row.votes for row in rows_of(tmp_path / "b").values()} == {"happy:9"}


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ('"100012",3,0,0,0,few,0,"1001_WSI_NEU_XX",6,0.5,"A"', "row-invalid"),
        ('"100012",3,0,0,0,1,0,"1001_WSI_ODD_XX",6,0.5,"A"', "row-invalid"),
        ('"one",3,0,0,0,1,0,"1001_WSI_NEU_XX",6,0.5,"A"', "row-invalid"),
    ],
)
def test_rows_that_cannot_be_read_are_refused(
    corpus_dir: Path, tmp_path: Path, row: str, code: str
) -> None:
    write_votes(corpus_dir, *ROWS, row)
    with raises(code):
        prepare_crema_d(corpus_dir, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_layout_is_refused(tmp_path: Path) -> None:
    with raises("corpus-layout"):
        prepare_crema_d(tmp_path, tmp_path / "out")


def test_a_repeated_clip_is_listed(corpus_dir: Path, tmp_path: Path) -> None:
    write_votes(corpus_dir, *ROWS, ROWS[0])
    corpus = prepare_crema_d(corpus_dir, tmp_path / "out", text_only=True)
    (dropped,) = (row for row in corpus.dropped if row.what == "row")
    assert dropped.reason == "row 22 repeats the clip of row 2"
