"""Small copies of IEMOCAP, MSP-Improv and MSP-Podcast in their official layouts."""

from collections.abc import Callable
from pathlib import Path

from data_prep.corpora.msp_podcast import COLUMNS

WriteSound = Callable[..., Path]


# -- IEMOCAP: 25 rated turns in 11 dialogues of five sessions --------------------------------------

IEMOCAP_HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]"
# dialogue -> (turn, start, label, bracket); Session1 holds what is odd in the release.
IEMOCAP_DIALOGUES = {
    "Ses01F_impro01": [
        ("M000", 7.5712, "hap", "4.0000, 3.0000, 2.0000"),
        ("F000", 6.2901, "neu", "2.5000, 2.5000, 2.5000"),
        ("F001", 9.5000, "xxx", "3.0000, 1.0000, 5.0000"),
        ("M001", 12.0000, "exc", "5.0000, 4.5000, 3.0000"),
        ("FXX0", 15.0000, "fru", "2.0000, 4.0000, 4.0000"),
    ],
    **{
        f"Ses0{session}{who}_script01_1": [
            ("F000", 1.0, "ang", "1.0000, 5.0000, 4.0000"),
            ("M000", 2.0, "sad", "2.0000, 1.0000, 2.0000"),
        ]
        for session in range(1, 6)
        for who in "FM"
    },
}
IEMOCAP_VOTES = """C-E2:\tHappiness;\t()
C-E3:\tHappiness; Excited;\t(smiling; at last)
C-E4:\tNeutral state;\t()
C-M1:\tExcited;\t()
A-E3:\tval 4; act 3; dom  2;\t()
A-M1:\tval ; act ; dom  ;\t()
"""


def write_iemocap(root: Path, write_sound: WriteSound) -> Path:
    """Write `IEMOCAP_full_release`, and return it."""
    for dialogue, turns in IEMOCAP_DIALOGUES.items():
        session = root / f"Session{dialogue[4]}"
        labels, words = [IEMOCAP_HEADER, ""], []
        for turn, start, label, vad in turns:
            labels += [f"[{start:.4f} - {start + 1:.4f}]\t{dialogue}_{turn}\t{label}\t[{vad}]"]
            labels += [IEMOCAP_VOTES if label == "hap" else ""]
            words += [f"{dialogue}_{turn} [{start:08.4f}-{start + 1:08.4f}]: Say {turn}."]
            wav = session / "sentences" / "wav" / dialogue / f"{dialogue}_{turn}.wav"
            write_sound(wav, 1600)
        write(iemocap_labels(root, dialogue), "\n".join(labels))
        write(iemocap_words(root, dialogue), "\n".join(words) + "\n")
    return root


def iemocap_labels(root: Path, dialogue: str = "Ses01F_impro01") -> Path:
    return root / f"Session{dialogue[4]}/dialog/EmoEvaluation/{dialogue}.txt"


def iemocap_words(root: Path, dialogue: str = "Ses01F_impro01") -> Path:
    return root / f"Session{dialogue[4]}/dialog/transcriptions/{dialogue}.txt"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def change(path: Path, old: str, new: str) -> None:
    """Replace a text that is in the file."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


# -- MSP-Improv: ten clips of three sessions at 48 kHz, each with its transcript -------------------

# clip -> (class, A, V, D); the first has workers' lines, one of them twice
IMPROV_CLIPS = {
    "S01A-F01-S-FM01": ("A", "4.5", "1.5", "4.0"),
    "S01A-M01-S-FM02": ("S", "2.0", "2.0", "NaN"),
    "S01H-F01-P-FM01": ("X", "3.0", "3.0", "3.0"),
    "S01H-M01-P-FM02": ("O", "3.0", "3.0", "NaN"),
    **{
        f"S02N-{sex}0{session}-R-{sex}{sex}01": ("N" if sex == "F" else "H", "3.0", "4.0", "3.0")
        for session in (1, 2, 3)
        for sex in "FM"
    },
}
IMPROV_VOTES = """ MSPW01; Angry; Angry,Frustrated; A:5.000000; V:1.000000; D:4.000000; N:4.000000;
 MSPW02; Angry; Other(upset; a bit); A:4.000000; V:2.000000; D:4.000000; N:NaN;
 MSPW03; Neutral; Neutral; A:4.500000; V:1.500000; D:4.000000; N:4.000000;
 MSPW01; Angry; Angry,Frustrated; A:5.000000; V:1.000000; D:4.000000; N:4.000000;
"""
IMPROV_TEXTS = "Human_transcriptions/All_human_transcriptions"


def improv_line(clip: str, label: str, a: str, v: str, d: str) -> str:
    return f"UTD-IMPROV-{clip}.avi; {label}; A:{a}; V:{v}; D:{d} ; N:4.200000;\n"


def write_msp_improv(root: Path, write_sound: WriteSound) -> Path:
    """Write the release, and return its folder."""
    (root / IMPROV_TEXTS).mkdir(parents=True)
    blocks = []
    for clip, values in IMPROV_CLIPS.items():
        blocks.append(improv_line(clip, *values) + (IMPROV_VOTES if not blocks else ""))
        scene, speaker, scenario, _ = clip.split("-")
        folder = root / "Audio" / f"session{int(speaker[1:])}" / scene / scenario
        write_sound(folder / f"MSP-IMPROV-{clip}.wav", 4800, 48_000)
        (root / IMPROV_TEXTS / f"MSP-IMPROV-{clip}.txt").write_text(f"How can I\n not {clip}\n")
    (root / "Evalution.txt").write_text("\n".join(blocks))
    return root


# -- MSP-Podcast: seven rows, with a transcript each but for test3, and one more of test3 ----------

PODCAST_ROWS = [
    "MSP-PODCAST_0001_0008.wav,N,2.2,4.0,2.5,30,Male,Train",
    "MSP-PODCAST_0001_0009.wav,A,7.0,1.0,5.5,30,Male,Train",
    "MSP-PODCAST_0002_0001_0001.wav,C,4.0,4.0,4.0,Unknown,Unknown,Train",
    "MSP-PODCAST_0003_0001.wav,H,4.0,5.5,4.0,41,Female,Development",
    "MSP-PODCAST_0004_0001.wav,X,4.0,4.0,4.0,42,Female,Test1",
    "MSP-PODCAST_0005_0001.wav,O,4.0,4.0,4.0,Unknown,Female,Test2",
    "MSP-PODCAST_test3_0002.wav,N,4.0,4.0,4.0,30,Male,Test3",
]


def write_msp_podcast(root: Path, write_sound: WriteSound) -> Path:
    """Write the release, and return its folder."""
    write_podcast_table(root, *PODCAST_ROWS)
    (root / "Transcripts").mkdir()
    for row in PODCAST_ROWS:
        name = row.split(".wav")[0]
        write_sound(root / "Audios" / f"{name}.wav", 1600)
        if "test3" not in name:
            (root / "Transcripts" / f"{name}.txt").write_text(f"so {name[-4:]}\n")
    write_sound(root / "Audios" / "MSP-PODCAST_test3_0001.wav", 3200)
    return root


def write_podcast_table(root: Path, *rows: str, header: str = ",".join(COLUMNS)) -> None:
    (root / "Labels").mkdir(parents=True, exist_ok=True)
    (root / "Labels" / "labels_consensus.csv").write_text("\n".join([header, *rows]) + "\n")
