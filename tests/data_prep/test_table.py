import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from data_prep.commands.hf_table import main as main_of_published
from data_prep.commands.table import main
from data_prep.commands.validate import validate
from data_prep.schema import Utterance, read_corpus, read_manifest

HEADER = "utt,wav,words,who,part,label,val"
TABLE = [
    "u1,one.wav,Hello there,ann,train,exc,1",
    "u2,two.wav,,bob,dev,sad,5",
    'u3,,"Well, ""no""",cat,test,happy,3',
]
SPOKEN = ["--name", "mine", "--column", "id=utt", "--column", "text=words"]
TEXT = [*SPOKEN, "--column", "audio="]
UNLABELED = [*TEXT, "--column", "emotion="]
SPLIT = ["--split-column", "part", "--split-map", "dev=valid"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_table(tmp_path / "mine.csv", TABLE)


def write_table(path: Path, rows: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def splits_of(out: Path) -> dict[str, list[Utterance]]:
    return {split: read_manifest(out / f"{split}.tsv") for split in read_corpus(out).splits}


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a run that must fail says, after "error: "."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) in (1, 2)
    _, error, message = capsys.readouterr().err.partition("error: ")  # after any progress bar
    assert error
    return message.strip()


def test_columns_and_values_are_mapped(
    table: Path,
    tmp_path: Path,
    write_sound: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_sound(tmp_path / "sound" / "one.wav", 4800, 48_000, channels=2)
    write_sound(tmp_path / "sound" / "two.wav", 1600)
    out = tmp_path / "out"
    columns = ["audio=wav", "speaker=who", "emotion=label", "valence=val"]
    arguments = [str(table), str(out), *SPOKEN, *SPLIT]
    arguments += [word for column in columns for word in ("--column", column)]
    arguments += ["--vad-scale", "1", "5", "--label-map", "exc=happy", "--label-order", "sad,happy"]
    arguments += ["--data-raw", str(tmp_path / "sound"), "--extra", "part", "--disjoint", "speaker"]
    assert main([*arguments, "--license", "CC0", "--citation", "Me"]) == 0
    assert f"train with: emotion-recognize train {out}\n" in capsys.readouterr().out
    assert read_corpus(out).data_raw == str(tmp_path / "sound")
    assert splits_of(out) == {
        "train": [
            Utterance(
                "u1",
                audio="one.wav",
                n_samples=1600,
                text="Hello there",
                speaker="ann",
                emotion="happy",
                valence=0.0,
                extra={"part": "train"},
            )
        ],
        "valid": [
            Utterance(
                "u2",
                audio="two.wav",
                n_samples=1600,
                speaker="bob",
                emotion="sad",
                valence=1.0,
                extra={"part": "dev"},
            )
        ],
        "test": [
            Utterance(
                "u3",
                text='Well, "no"',
                speaker="cat",
                emotion="happy",
                valence=0.5,
                extra={"part": "test"},
            )
        ],
    }
    corpus = read_corpus(out)
    assert corpus.labels == {"emotion": ("sad", "happy")}
    assert corpus.vad == {"source_scale": [1.0, 5.0], "mapping": "(x - 1) / 4"}
    assert (corpus.disjoint, corpus.license, corpus.citation) == (("speaker",), "CC0", "Me")
    assert validate(out) == []


def test_labels_without_an_order_are_sorted_and_said_so(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([str(table), str(out), *TEXT, *SPLIT, "--column", "emotion=label"]) == 0
    assert read_corpus(out).labels["emotion"] == ("exc", "happy", "sad")
    assert "no order was given for emotion: its labels are sorted" in capsys.readouterr().out


def test_rows_without_text_or_audio_are_dropped_and_listed(table: Path, tmp_path: Path) -> None:
    assert main([str(table), str(tmp_path / "out"), *TEXT, *SPLIT]) == 0
    assert list(splits_of(tmp_path / "out")) == ["train", "test"]
    (dropped,) = read_corpus(tmp_path / "out").dropped
    assert (dropped.split, dropped.id, dropped.reason) == (
        "valid",
        "u2",
        "neither text, audio nor video",
    )


def test_labels_can_be_dropped_and_values_called_missing(tmp_path: Path) -> None:
    rows = ["u1,,a,x,train,sad,NA", "u2,,b,x,train,xxx,2", "u3,,NA,x,train,sad,3"]
    table = write_table(tmp_path / "mine.csv", rows)
    out = tmp_path / "out"
    arguments = [str(table), str(out), *TEXT, *SPLIT, "--column", "emotion=label"]
    arguments += ["--column", "arousal=val", "--vad-scale", "0", "4", "--missing", "NA"]
    assert main([*arguments, "--drop-label", "xxx"]) == 0
    assert splits_of(out) == {"train": [Utterance("u1", text="a", emotion="sad")]}
    assert [(d.id, d.reason) for d in read_corpus(out).dropped] == [
        ("u2", "--drop-label xxx"),
        ("u3", "neither text, audio nor video"),
    ]


def test_one_table_a_split(tmp_path: Path) -> None:
    tables = []
    for split in ("train", "valid", "test"):
        path = write_table(tmp_path / f"{split}.tsv", [f"{split}1\thi"], header="utt\twords")
        tables.append(f"{split}={path}")
    assert main([*tables, str(tmp_path / "out"), *TEXT]) == 0
    assert {s: [r.id for r in rows] for s, rows in splits_of(tmp_path / "out").items()} == {
        "train": ["train1"],
        "valid": ["valid1"],
        "test": ["test1"],
    }


def test_text_is_cleaned_only_when_asked(tmp_path: Path) -> None:
    table = write_table(tmp_path / "mine.csv", ["u1,,don\u2019t,x,train,,"])
    assert main([str(table), str(tmp_path / "a"), *TEXT, *SPLIT]) == 0
    assert splits_of(tmp_path / "a")["train"][0].text == "don\u2019t"
    assert main([str(table), str(tmp_path / "b"), *TEXT, *SPLIT, "--normalize-text"]) == 0
    assert splits_of(tmp_path / "b")["train"][0].text == "don't"


def test_split_by_speaker_keeps_speakers_whole_and_repeats_with_its_seed(tmp_path: Path) -> None:
    rows = [f"u{n},,hi,speaker{n % 20},,," for n in range(200)]
    table = write_table(tmp_path / "mine.csv", rows)

    def draw(out: str, seed: str) -> dict[str, list[Utterance]]:
        arguments = [*TEXT, "--column", "speaker=who", "--split-by", "speaker", "--seed", seed]
        assert main([str(table), str(tmp_path / out), *arguments]) == 0
        assert validate(tmp_path / out) == []
        return splits_of(tmp_path / out)

    first = draw("a", "1")
    assert {split: len(rows) for split, rows in first.items()} == {
        "train": 140,
        "valid": 20,
        "test": 40,
    }
    speakers = {split: {r.speaker for r in rows} for split, rows in first.items()}
    assert len(set.union(*speakers.values())) == sum(map(len, speakers.values())) == 20
    assert draw("b", "1") == first
    assert draw("c", "2") != first
    assert read_corpus(tmp_path / "a").disjoint == ("speaker",)


def test_split_by_row_says_which_speakers_are_shared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(tmp_path / "mine.csv", [f"u{n},,hi,ann,,," for n in range(10)])
    arguments = [*TEXT, "--column", "speaker=who", "--split-by", "row", "--valid-fraction", "0"]
    assert main([str(table), str(tmp_path / "out"), *arguments]) == 0
    assert {s: len(rows) for s, rows in splits_of(tmp_path / "out").items()} == {
        "train": 8,
        "test": 2,
    }
    assert "note: 1 speakers are in more than one split" in capsys.readouterr().out


def test_groups_that_are_too_coarse_are_reported_with_the_shares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    table = write_table(tmp_path / "mine.csv", [f"u{n},,hi,{'abcde'[n % 5]},,," for n in range(50)])
    arguments = [*TEXT, "--column", "session=who", "--split-by", "session"]
    assert main([str(table), str(tmp_path / "out"), *arguments]) == 0
    counts = {split: len(rows) for split, rows in splits_of(tmp_path / "out").items()}
    assert counts == {"train": 30, "valid": 10, "test": 10}
    sentence = (
        "5 sessions are too coarse for the requested shares: "
        "train 60% (of 70%), test 20% (of 20%), valid 20% (of 10%)"
    )
    assert f"note: {sentence}" in capsys.readouterr().out
    assert f"--split-by session: {sentence}" in caplog.text


@pytest.mark.parametrize("prepare", [main, main_of_published])
def test_one_table_of_all_rows_is_one_split(
    prepare: Callable[[list[str]], int],
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert prepare([f"all={table}", str(out), *TEXT]) == 0
    assert f"make folds with: python -m data_prep.folds {out} " in capsys.readouterr().out
    assert [row.id for row in splits_of(out)["all"]] == ["u1", "u3"]
    assert list(read_corpus(out).splits) == ["all"]
    assert validate(out) == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--column", "text=", "--column", "audio="], "field-not-mapped"),
        ([*TEXT[2:], "--column", "mood=label"], "field-unknown"),
        ([*TEXT[2:], "--column", "n_samples=val"], "field-unknown"),
        ([*TEXT[2:], "--column", "label"], "option-malformed"),
        ([*TEXT[2:], "--column", "id=val"], "option-malformed"),
        ([*TEXT[2:], "--column", "valence=val"], "vad-scale-missing"),
        ([*TEXT[2:], "--vad-scale", "5", "1"], "vad-scale-invalid"),
        ([*SPOKEN[2:], "--column", "audio=wav"], "data-raw-missing"),
        ([*UNLABELED[2:], "--label-order", "a,b"], "field-not-mapped"),
        ([*UNLABELED[2:], "--sentiment-map", "a=b"], "field-not-mapped"),
        ([*UNLABELED[2:], "--drop-label", "a"], "field-not-mapped"),
        ([*TEXT[2:], "--disjoint", "speaker"], "field-not-mapped"),
        ([*TEXT[2:], "--split-by", "row"], "splits-ambiguous"),
    ],
)
def test_nothing_is_guessed(
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: str,
) -> None:
    arguments = [table, tmp_path / "out", "--name", "mine", *SPLIT, *options]
    assert refusal(capsys, *arguments).endswith(f"[{code}]")
    assert not (tmp_path / "out").exists()


def test_splits_must_be_known_one_way(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert "[splits-unknown]" in refusal(capsys, table, f"test={table}", out, *TEXT)
    assert "[splits-ambiguous]" in refusal(capsys, f"all={table}", f"test={table}", out, *TEXT)
    assert "[splits-ambiguous]" in refusal(capsys, f"all={table}", out, *TEXT, *SPLIT)
    assert "[splits-ambiguous]" in refusal(capsys, f"train={table}", out, *TEXT, *SPLIT)
    assert "[option-malformed]" in refusal(capsys, table, table, out, *TEXT, *SPLIT)
    by_speaker = [table, out, *TEXT, "--split-by", "speaker"]
    assert "[field-not-mapped]" in refusal(capsys, *by_speaker)
    few = [*by_speaker, "--column", "speaker=who", "--test-fraction", "0.9"]
    assert "[share-out-of-range]" in refusal(capsys, *few)


def test_an_absent_column_lists_those_there_are(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refusal(capsys, table, tmp_path / "out", *TEXT, *SPLIT, "--column", "turn=number")
    assert message.startswith(f"{table}: row 1: no column number; ")
    assert message.endswith("utt, wav, words, who, part, label, val [column-missing]")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("u1,,x,ann,train,sad,1", "row 5: id 'u1' was used in {table}, row 2; give every row"),
        (",,x,ann,train,sad,1", "row 5: no id; give every row its own id"),
        ("u4,,x,ann,eval,sad,1", "1 rows are of the split 'eval': which one is it?"),
        ("u4,,x,ann,,sad,1", "row 5: split is '', none of train, valid, test"),
        ("u4,,x,ann,train,fear,1", "row 5: unknown emotion 'fear', none of sad, happy; add it"),
        ("u4,,x,ann,train,sad,nan", "'nan' in valence (1 rows) is no number"),
        ("u4,,x,ann,train,sad,3_5", "row 5: valence is '3_5', not a number 1 to 5"),
        ("u4,,x,ann,train,sad,5.1", "row 5: valence is '5.1', not a number 1 to 5; correct it"),
        ("u4,,x,ann,train,sad,NA", "'NA' in valence (1 rows) is no number"),
        ("u4,,x,ann,train,sad", "row 5: 6 fields where the header has 7"),
        ("u4,,x,cat,train,sad,1", "speaker 'cat' is in train and test; keep the splits apart"),
    ],
)
def test_a_bad_row_is_named_and_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, message: str
) -> None:
    table = write_table(tmp_path / "mine.csv", [*TABLE, row])
    arguments = [table, tmp_path / "out", *TEXT, *SPLIT, "--disjoint", "speaker"]
    for column in ("speaker=who", "emotion=label", "valence=val"):
        arguments += ["--column", column]
    arguments += ["--vad-scale", "1", "5", "--label-map", "exc=happy", "--label-order", "sad,happy"]
    assert message.format(table=table) in refusal(capsys, *arguments)
    assert not (tmp_path / "out").exists()


def test_ratings_outside_the_scale_are_clipped_or_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(tmp_path / "mine.csv", ["u1,,hi,,train,,5.5", "u2,,hi,,train,,0.5"])
    out = tmp_path / "out"
    arguments = [str(table), str(out), *TEXT, *SPLIT, "--column", "valence=val"]
    arguments += ["--vad-scale", "1", "5"]
    assert "--out-of-scale" in refusal(capsys, *arguments)
    assert main([*arguments, "--out-of-scale", "clip"]) == 0
    assert [row.valence for row in splits_of(out)["train"]] == [1.0, 0.0]
    assert "2 ratings" in capsys.readouterr().out
    assert main([*arguments, "--out-of-scale", "drop-axis"]) == 0
    assert [row.valence for row in splits_of(out)["train"]] == [None, None]
    assert [(d.id, d.what) for d in read_corpus(out).dropped] == [
        ("u1", "valence"),
        ("u2", "valence"),
    ]


def test_rows_may_name_their_corpus(tmp_path: Path) -> None:
    table = write_table(tmp_path / "mine.csv", ["u1,,hi,calls,train,,"])
    out = tmp_path / "out"
    assert main([str(table), str(out), *TEXT, *SPLIT, "--column", "corpus=who"]) == 0
    assert splits_of(out) == {"train": [Utterance("u1", text="hi", corpus="calls")]}
    assert read_corpus(out).splits["train"]["corpus"] == {"calls": 1}


def test_a_speaker_that_is_a_decimal_in_another_table_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """pandas writes 12 as 12.0 where a speaker is missing: one speaker would be in two splits."""
    train = write_table(tmp_path / "train.csv", ["u1,,hi,12,,,", "u2,,ho,7,,,"])
    test = write_table(tmp_path / "test.csv", ["u3,,hi,12.0,,,", "u4,,ho,,,,"])
    words = [f"train={train}", f"test={test}", str(tmp_path / "out"), *TEXT]
    assert main([*words, "--column", "speaker=who"]) == 1
    message = capsys.readouterr().err
    assert "test.csv: row 2: speaker 12.0 looks like 12 of" in message
    assert "[name-decimal]" in message


def test_a_speaker_whose_letters_are_composed_in_some_rows_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """File names of macOS are decomposed: splits by speaker would put one in two of them."""
    table = write_table(tmp_path / "mine.csv", ["u1,,hi,Zo\xeb,train,,", "u2,,ho,Zoe\u0308,test,,"])
    out = tmp_path / "out"
    assert main([str(table), str(out), *TEXT, *SPLIT, "--column", "speaker=who"]) == 1
    assert "mine.csv: row 3: speaker Zoe\u0308 is that of" in (message := capsys.readouterr().err)
    assert "[name-composed]" in message
    assert not out.exists()


def test_speakers_that_look_alike_are_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = write_table(tmp_path / "mine.csv", ["u1,,hi,Bob,train,,", "u2,,ho,bob,test,,"])
    out = tmp_path / "out"
    assert main([str(table), str(out), *TEXT, *SPLIT, "--column", "speaker=who"]) == 0
    note = "speakers that look alike are taken for different ones: 'Bob'='bob'"
    assert note in read_corpus(out).notes
    assert note in caplog.text


def test_turns_and_scores_are_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = [*TEXT, *SPLIT, "--column", "turn=who", "--column", "sentiment_score=val"]
    table = write_table(tmp_path / "mine.csv", ["u1,,hi,4,train,,-2.5"])
    assert main([str(table), str(tmp_path / "out"), *columns]) == 0
    assert splits_of(tmp_path / "out") == {
        "train": [Utterance("u1", text="hi", turn=4, sentiment_score=-2.5)]
    }
    write_table(table, ["u1,,hi,4.0,train,,-2.5", "u2,,ho,,train,,"])  # as pandas writes a gap
    assert main([str(table), str(tmp_path / "other"), *columns]) == 0
    assert [row.turn for row in splits_of(tmp_path / "other")["train"]] == [4, None]
    write_table(table, ["u1,,hi,4.5,train,,-3.5"])
    message = refusal(capsys, table, tmp_path / "out", *columns)
    assert "row 2: turn is '4.5', not a whole number from 0 up" in message
    assert "row 2: sentiment_score is '-3.5', not a number from -3 to 3" in message


def test_labels_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_table(tmp_path / "mine.csv", ["u1,,hi,ann,train,sad,"])
    arguments = [str(table), str(tmp_path / "out"), *TEXT, *SPLIT]
    order = ["--column", "emotion=label", "--label-order", "sad,glad"]
    assert main([*arguments, *order]) == 0
    assert read_corpus(tmp_path / "out").labels["emotion"] == ("sad", "glad")
    assert "emotion labels that no row has: glad" in capsys.readouterr().out
    message = refusal(capsys, *arguments, "--column", "sentiment=val")
    assert "[labels-missing]" in message


def test_a_table_without_a_usable_row_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(tmp_path / "mine.csv", ["u1,,,ann,train,,"])
    message = refusal(capsys, table, tmp_path / "out", *TEXT, *SPLIT)
    assert message == f"{table}: no row can be used [rows-missing]"
    by_speaker = [*TEXT, "--column", "speaker=val", "--split-by", "speaker"]
    write_table(table, ["u1,,hi,ann,train,,"])
    message = refusal(capsys, table, tmp_path / "out", *by_speaker)
    assert "[unit-missing]" in message


def test_a_doubled_column_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_table(tmp_path / "mine.csv", ["u1,hi,ho,train"], "utt,words,words,part")
    message = refusal(capsys, table, tmp_path / "out", *TEXT, *SPLIT)
    assert message.endswith("[column-repeated]")
    assert "words" in message


def test_bad_audio_stops_the_run_unless_told_to_drop_it(
    table: Path,
    tmp_path: Path,
    write_sound: Callable[..., Path],
    cut: Callable[[Path], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    cut(write_sound(tmp_path / "sound" / "one.wav"))
    out = tmp_path / "out"
    arguments = [table, out, *SPOKEN, *SPLIT, "--column", "audio=wav"]
    arguments += ["--data-raw", tmp_path / "sound"]
    message = refusal(capsys, *arguments)
    assert f"{table}: row 2: audio {tmp_path}/sound/one.wav: truncated" in message
    assert f"{table}: row 3: audio {tmp_path}/sound/two.wav: there is no such file" in message
    assert "2 faults" in message
    arguments.append("--drop-bad-audio")
    assert "[recordings-missing]" in refusal(capsys, *arguments)
    write_sound(tmp_path / "sound" / "one.wav")
    assert main([*map(str, arguments)]) == 0
    assert [(d.id, d.what) for d in read_corpus(out).dropped] == [("u2", "audio"), ("u2", "row")]
    assert [row.id for rows in splits_of(out).values() for row in rows] == ["u1", "u3"]
    assert validate(out, tmp_path / "sound") == []


def test_dropped_audio_has_the_split_that_is_drawn(
    tmp_path: Path, write_sound: Callable[..., Path]
) -> None:
    rows = [f"u{n},{n}.wav,hi,,,sad," for n in range(9)]
    for n in range(6):
        write_sound(tmp_path / "sound" / f"{n}.wav")
    out = tmp_path / "out"
    arguments = [write_table(tmp_path / "mine.csv", rows), out, *SPOKEN, "--column", "audio=wav"]
    arguments += ["--data-raw", tmp_path / "sound", "--drop-bad-audio", "--split-by", "row"]
    assert main([*map(str, arguments)]) == 0
    split_of = {row.id: split for split, rows in splits_of(out).items() for row in rows}
    dropped = {row.id: row.split for row in read_corpus(out).dropped}
    assert dropped == {name: split_of[name] for name in ("u6", "u7", "u8")}


def test_absolute_audio_paths_are_made_relative_or_refused(
    tmp_path: Path, write_sound: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    sound = write_sound(tmp_path / "sound" / "deep" / "one.wav")
    table = write_table(tmp_path / "mine.csv", [f"u1,{sound},x,ann,train,,"])
    arguments = [table, tmp_path / "out", *SPOKEN, *SPLIT, "--column", "audio=wav", "--data-raw"]
    assert main([*map(str, arguments), str(tmp_path / "sound")]) == 0
    assert splits_of(tmp_path / "out")["train"][0].audio == "deep/one.wav"
    assert "[path-outside]" in refusal(capsys, *arguments, tmp_path / "elsewhere")


def test_other_delimiters_and_encodings_are_found_or_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "mine.txt"
    table.write_bytes("utt;words;part\nu1;caf\u00e9;train\n".encode("latin-1"))
    arguments = [str(table), str(tmp_path / "out"), *TEXT, "--split-column", "part"]
    expected = [Utterance("u1", text="caf\u00e9")]
    assert main(arguments) == 0
    assert "encoding cp1252, since it is no UTF-8" in capsys.readouterr().out
    assert splits_of(tmp_path / "out")["train"] == expected
    assert "[delimiter-absent]" in refusal(capsys, *arguments, "--delimiter", ",")
    assert "[encoding-invalid]" in refusal(capsys, *arguments, "--encoding", "ascii")
    assert main([*arguments, "--delimiter", ";", "--encoding", "latin-1"]) == 0
    assert splits_of(tmp_path / "out")["train"] == expected


def test_quotes_can_be_read_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_table(tmp_path / "t.tsv", ['u1\t"Yes" and "no"'], "utt\twords")
    arguments = [f"train={table}", str(tmp_path / "out"), *TEXT]
    said = refusal(capsys, *arguments)
    assert "row 2: " in said
    assert said.endswith("--no-quotes [quote-invalid]")
    assert main([*arguments, "--no-quotes"]) == 0
    assert splits_of(tmp_path / "out")["train"] == [Utterance("u1", text='"Yes" and "no"')]


def test_help_explains_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert "Never inferred" in shown
    assert "--column FIELD=COLUMN" in shown
    assert "sentiment_score" in shown


def test_recordings_with_the_same_bytes_in_two_splits_are_noted(
    tmp_path: Path, write_sound: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    splits = ("train", "valid", "test")
    for n in range(6):
        write_sound(tmp_path / f"{n}.wav", 1600 + n)
    shutil.copy(tmp_path / "0.wav", tmp_path / "5.wav")
    rows = [f"{n}.wav,{('sad', 'glad')[n % 2]},{splits[n // 2]}" for n in range(6)]
    (tmp_path / "t.csv").write_text("\n".join(["wav,emotion,split", *rows]))
    assert main([str(tmp_path / "t.csv"), str(tmp_path / "out")]) == 0
    note = "1 sounds in more than one split: train/0 = test/5"
    assert note in read_corpus(tmp_path / "out").notes
    assert note in caplog.text
