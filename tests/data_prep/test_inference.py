"""What is inferred of a table, what is not, and what is printed of it."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from data_prep.commands.table import main
from data_prep.manifest.audio_root import audio_root
from data_prep.schema import Utterance, read_corpus, read_manifest

WriteSound = Callable[..., Path]
GERMAN = [
    "Datei;Emotion;Sprecher;Valenz;Notiz",
    *(f"s{n % 5}/{n}.wav;{('Glück', 'Ärger')[n % 2]};s{n % 5};{1 + n % 4},5;a" for n in range(20)),
]


@pytest.fixture
def clips(tmp_path: Path, write_sound: WriteSound) -> Path:
    """Twenty clips of five speakers, each in the speaker's folder, below `clips`."""
    for number in range(20):
        write_sound(tmp_path / "clips" / f"s{number % 5}" / f"{number}.wav")
    return tmp_path


def write(folder: Path, rows: Sequence[str], name: str = "labels.csv", **how: str) -> Path:
    path = folder / name
    path.write_bytes("\r\n".join([*rows, ""]).encode(how.get("encoding", "utf-8")))
    return path


def rows_of(out: Path) -> list[Utterance]:
    return [row for s in read_corpus(out).splits for row in read_manifest(out / f"{s}.tsv")]


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) in (1, 2)
    return capsys.readouterr().err.partition("error: ")[2].strip()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16", "utf-16-le"])
def test_a_german_table_needs_its_scale_alone(
    clips: Path, encoding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = write(clips, GERMAN, encoding=encoding), clips / "out"
    assert main([str(table), str(out), "--vad-scale", "1", "5"]) == 0
    printed = capsys.readouterr().out
    for line in ("delimiter semicolon", "decimal comma", f"audio in {clips / 'clips'}"):
        assert line in printed
    assert "not used: Notiz" in printed
    rows = {row.id: row for row in rows_of(out)}
    assert rows["6"].audio == "s1/6.wav"
    assert (rows["6"].speaker, rows["6"].emotion) == ("s1", "Glück")
    assert rows["6"].valence == pytest.approx((3.5 - 1) / 4)
    corpus = read_corpus(out)
    assert corpus.name == "labels"
    assert corpus.labels["emotion"] == ("Glück", "Ärger")
    assert corpus.disjoint == ("speaker",)
    assert set(corpus.splits) == {"train", "valid", "test"}
    assert audio_root(out) == clips / "clips"


def test_axes_of_an_unknown_scale_are_left_out_beside_a_label(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = write(clips, GERMAN), clips / "out"
    assert main([str(table), str(out)]) == 0
    assert "the scale is not known of valence from 1.5 to 4.5" in capsys.readouterr().out
    assert {row.valence for row in rows_of(out)} == {None}
    assert any("--vad-scale LOW HIGH" in note for note in read_corpus(out).notes)


def test_everything_that_is_missing_is_listed_at_once_with_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["file,label,valence,split"]
    rows += ["a.wav,Happy,1,train", "b.wav,happy,NA,dev", "c.wav,sad,2,eval", "d.wav,happy,4,test"]
    table, out = write(tmp_path, rows), tmp_path / "out"
    message = refused(capsys, table, out, "--column", "valence=valence")
    lines = message.splitlines()
    assert lines[0].endswith("5 things are not known")
    command = shlex.split(lines[-1].partition(": ")[2].removesuffix(" [several-missing]"))
    assert command[:5] == ["python", "-m", "data_prep.table", str(table), str(out)]
    assert command[5:] == [
        *("--column", "valence=valence", "--missing", "NA", "--vad-scale", "LOW", "HIGH"),
        *("--label-map", "Happy=happy", "--data-raw", "FOLDER", "--split-map", "eval=SPLIT"),
    ]
    assert not out.exists()


def test_the_command_that_is_printed_works(
    tmp_path: Path, write_sound: WriteSound, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["file,label,part", *(f"{n}.wav,{'Sad' if n else 'sad'},train" for n in range(4))]
    table, out = write(tmp_path, rows), tmp_path / "out"
    for number in range(4):
        for folder in ("one", "two"):
            write_sound(tmp_path / folder / f"{number}.wav")
    message = refused(capsys, table, out)
    assert "in 2 folders" in message
    command = message.splitlines()[-1].partition(": ")[2].rpartition(" [")[0]
    words = shlex.split(command.replace("FOLDER", str(tmp_path / "two")))[3:]
    assert main(words) == 0
    assert {row.emotion for row in rows_of(out)} == {"Sad"}
    assert audio_root(out) == tmp_path / "two"


def test_a_field_can_be_given_or_left_out(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, out = write(clips, GERMAN), clips / "out"
    words = ["--column", "emotion=Notiz", "--column", "speaker=", "--column", "valence="]
    assert main([str(table), str(out), *words]) == 0
    assert "warning: splits drawn by row" in capsys.readouterr().out
    assert {(row.speaker, row.emotion, row.valence) for row in rows_of(out)} == {(None, "a", None)}


def test_labels_alike_can_be_kept_apart(tmp_path: Path) -> None:
    rows = ["text,emotion", *(f"some words {n},{('sad', 'Sad')[n % 2]}" for n in range(20))]
    table, out = write(tmp_path, rows), tmp_path / "out"
    assert main([str(table), str(out), "--label-map", "Sad=Sad"]) == 0
    assert read_corpus(out).labels["emotion"] == ("Sad", "sad")


def test_a_word_for_a_missing_label_is_a_decision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ("sad", "glad", "n/a", "glad")
    rows = ["text,emotion", *(f"some words {n},{labels[n % 4]}" for n in range(20))]
    table, out = write(tmp_path, rows), tmp_path / "out"
    assert refused(capsys, table, out).endswith("--missing n/a [label-missing-word]")
    assert main([str(table), str(out), "--missing", "n/a"]) == 0
    assert read_corpus(out).labels["emotion"] == ("glad", "sad")
    assert main([str(table), str(out), "--label-map", "n/a=n/a"]) == 0
    assert read_corpus(out).labels["emotion"] == ("glad", "n/a", "sad")


def test_two_columns_of_one_meaning_are_a_decision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["text,label,class", *(f"some words {n},sad,glad" for n in range(9))]
    table, out = write(tmp_path, rows), tmp_path / "out"
    message = refused(capsys, table, out)
    assert message.startswith(f"{table}: label and class could each be the emotion")
    assert message.endswith("--column emotion=COLUMN [column-ambiguous]")


def test_two_delimiters_that_fit_alike_are_a_decision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write(tmp_path, ["x,y;z", "1 a b,5;2", "3 c d,7;4"], "t.txt")
    message = refused(capsys, table, tmp_path / "out")
    assert "comma and semicolon could each delimit the cells" in message


def test_a_comma_of_thousands_is_a_decision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["text;valence", "a b c;1,500", "d e f;2,000"]
    table, out = write(tmp_path, rows), tmp_path / "out"
    message = refused(capsys, table, out, "--vad-scale", "1", "5")
    assert message.endswith("--decimal COMMA_OR_POINT [decimal-unknown]")
    words = [str(table), str(out), "--vad-scale", "1", "5", "--decimal", "comma"]
    assert main([*words, "--test-fraction", "0", "--valid-fraction", "0.5"]) == 0
    assert sorted(row.valence for row in rows_of(out)) == [0.125, 0.25]


def test_a_table_without_header(tmp_path: Path, write_sound: WriteSound) -> None:
    for number in range(6):
        write_sound(tmp_path / f"{number}.wav")
    labels = ("angry", "happy")
    table = write(tmp_path, [f"{n}.wav,{labels[n % 2]}" for n in range(6)])
    assert main([str(table), str(tmp_path / "out")]) == 0
    rows = {row.id: row.emotion for row in rows_of(tmp_path / "out")}
    assert rows == {str(n): labels[n % 2] for n in range(6)}


def test_ids_of_equal_names_have_their_folders(tmp_path: Path, write_sound: WriteSound) -> None:
    names = [f"{folder}/{n}.wav" for folder in "ab" for n in range(3)]
    for name in names:
        write_sound(tmp_path / name)
    table = write(tmp_path, ["path,emotion", *(f"{name},sad" for name in names)])
    assert main([str(table), str(tmp_path / "out")]) == 0
    ids = {row.id for row in rows_of(tmp_path / "out")}
    assert ids == {name.removesuffix(".wav") for name in names}


def test_times_of_shared_recordings_are_read(tmp_path: Path, write_sound: WriteSound) -> None:
    write_sound(tmp_path / "long.wav", 48_000)
    rows = [f"long.wav,{n / 2},{n / 2 + 0.5},sad" for n in range(6)]
    table = write(tmp_path, ["wav,start,end,emotion", *rows])
    assert main([str(table), str(tmp_path / "out")]) == 0
    assert {(row.id, row.start, row.end) for row in rows_of(tmp_path / "out")} == {
        (f"long_{500 * n}_{500 * n + 500}", n / 2, n / 2 + 0.5) for n in range(6)
    }


def test_times_beside_files_of_their_own_are_not(
    tmp_path: Path, write_sound: WriteSound, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(6):
        write_sound(tmp_path / f"{number}.wav")
    table = write(tmp_path, ["wav,start,end,emotion", *(f"{n}.wav,9,9.5,sad" for n in range(6))])
    assert main([str(table), str(tmp_path / "out")]) == 0
    assert "not used: start, end" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".wav", ""])
def test_bare_names_may_be_spread_over_folders(clips: Path, suffix: str) -> None:
    rows = [f"{n}{suffix},{('sad', 'glad')[n % 2]}" for n in range(20)]
    table, out = write(clips, ["wav,emotion", *rows]), clips / "out"
    assert main([str(table), str(out)]) == (0 if suffix else 1)
    if suffix:
        assert {row.audio for row in rows_of(out)} == {f"s{n % 5}/{n}.wav" for n in range(20)}


def test_folders_behind_links_are_searched(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "link").symlink_to(clips / "clips")
    (clips / "clips" / "circle").symlink_to(tmp_path / "work")
    rows = [f"{n}.wav,{('sad', 'glad')[n % 2]}" for n in range(20)]
    table, out = write(tmp_path / "work", ["wav,emotion", *rows]), tmp_path / "out"
    assert main([str(table), str(out)]) == 0
    assert {row.audio for row in rows_of(out)} == {f"s{n % 5}/{n}.wav" for n in range(20)}


def test_paths_of_windows_are_read(clips: Path) -> None:
    rows = [f"s{n % 5}\\{n}.wav,{('sad', 'glad')[n % 2]}" for n in range(20)]
    table, out = write(clips, ["wav,emotion", *rows]), clips / "out"
    assert main([str(table), str(out)]) == 0
    assert {row.audio for row in rows_of(out)} == {f"s{n % 5}/{n}.wav" for n in range(20)}


def test_files_that_are_not_there_are_counted(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clips / "clips" / "s0" / "5.wav").unlink()
    rows = [f"clips/s{n % 5}/{n}.wav,{('sad', 'glad')[n % 2]}" for n in range(20)]
    table, out = write(clips, ["wav,emotion", *rows]), clips / "out"
    message = refused(capsys, table, out)
    assert "1 of 20 audio files are not in" in message
    assert message.endswith("--drop-bad-audio [recordings-missing]")
    assert main([str(table), str(out), "--drop-bad-audio"]) == 0
    assert len(rows_of(out)) == 19


def test_numbers_of_utterances_in_dialogues_are_turns(tmp_path: Path) -> None:
    labels = ("sad", "glad")
    rows = [f"so many words {n},{labels[n % 2]},d{n // 3},{n % 3}" for n in range(12)]
    table = write(tmp_path, ["Utterance,Emotion,Dialogue_ID,Utterance_ID", *rows])
    assert main([str(table), str(tmp_path / "out")]) == 0
    made = {(row.dialogue, row.turn) for row in rows_of(tmp_path / "out")}
    assert made == {(f"d{n // 3}", n % 3) for n in range(12)}
    assert read_corpus(tmp_path / "out").disjoint == ("dialogue",)


@pytest.mark.parametrize("name", ["Split_Set", "data_split", "DatasetSplit"])
def test_a_column_of_splits_by_other_names_is_one(tmp_path: Path, name: str) -> None:
    splits = ("Train", "Train", "Development", "Test")
    rows = [f"text,emotion,{name}", *(f"words {n},sad,{splits[n % 4]}" for n in range(20))]
    assert main([str(write(tmp_path, rows)), str(tmp_path / "out")]) == 0
    counts = {split: about["rows"] for split, about in read_corpus(tmp_path / "out").splits.items()}
    assert counts == {"train": 10, "valid": 5, "test": 5}


def test_splits_without_valid_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        f"so many words {n},{('sad', 'glad')[n % 2]},{('train', 'test')[n > 5]}" for n in range(9)
    ]
    table = write(tmp_path, ["text,emotion,split", *rows])
    assert main([str(table), str(tmp_path / "out")]) == 0
    assert "warning: no row is of the split valid" in capsys.readouterr().out
    words = ["--column", "split=", "--split-by", "row"]
    assert main([str(table), str(tmp_path / "out"), *words]) == 0
    assert "valid" in read_corpus(tmp_path / "out").splits


def test_a_table_of_too_few_rows_names_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write(tmp_path, ["text,emotion", "so many words,sad", "no such words,glad"])
    message = refused(capsys, table, tmp_path / "out")
    assert message.startswith(f"{table}: ")
    assert message.endswith("[groups-too-few]")


def test_a_mistake_in_what_was_given_comes_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write(tmp_path, ["file,valence", "a.wav,1", "b.wav,2"])
    assert "[field-unknown]" in refused(capsys, table, tmp_path / "out", "--column", "mood=file")
    assert "[column-missing]" in refused(capsys, table, tmp_path / "out", "--column", "text=x")


def test_rows_none_of_which_fits_the_header_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write(tmp_path, ["text,valence,speaker", *(f"some words,1,{n},s{n}" for n in range(9))])
    message = refused(capsys, table, tmp_path / "out")
    assert "4 fields where the header has 3" in message
    assert message.endswith("[row-width]")


def test_labels_in_two_ways_to_write_an_umlaut_are_a_decision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ("\u00c4rger", "A\u0308rger")
    rows = ["text,emotion", *(f"some words {n},{labels[n % 2]}" for n in range(9))]
    assert refused(capsys, write(tmp_path, rows), tmp_path / "out").endswith("[labels-alike]")


def test_a_number_and_its_decimal_are_a_decision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """pandas writes the labels of a part with a gap as decimals: two classes of one meaning."""
    codes = ["0", "1", "1.0"]
    rows = ["text,emotion", *(f"some words {n},{codes[n % 3]}" for n in range(9))]
    message = refused(
        capsys, write(tmp_path, rows), tmp_path / "out", "--column", "emotion=emotion"
    )
    assert "are one number" in message
    assert message.endswith("[labels-alike]")


def test_speakers_may_be_whole_numbers_written_as_decimals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """pandas writes the numbers of a column with an empty cell so; splits must be by speaker."""
    rows = [f"some words {n},{('sad', 'glad')[n % 2]},{n % 4 + 1}.0" for n in range(40)]
    table = write(tmp_path, ["text,emotion,speaker", *rows])
    assert main([str(table), str(tmp_path / "out")]) == 0
    assert "splits drawn by speaker: 4 speakers" in capsys.readouterr().out


def test_too_few_speakers_for_splits_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        "text,emotion,speaker",
        *(f"some words {n},{('sad', 'glad')[n % 2]},me" for n in range(9)),
    ]
    assert main([str(write(tmp_path, rows)), str(tmp_path / "out")]) == 0
    expected = "splits drawn by row, since the rows have 1 speaker alone, fewer than 3"
    assert expected in capsys.readouterr().out


def test_a_row_without_the_speaker_by_whom_splits_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["text,emotion,speaker"] + [f"so {n},sad,{n % 4}" for n in range(8)] + ["hey,glad,"]
    assert main([str(write(tmp_path, rows)), str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err
    assert "splits are drawn; fill it in, or draw them by row; run: python -m" in message


def test_speakers_and_texts_that_may_be_none_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{'some words' if n else 'NaN'} {n},sad,{('a', 'b', 'N/A')[n % 3]}" for n in range(9)]
    rows[0] = "NaN,sad,a"
    table = write(tmp_path, ["text,emotion,speaker", *rows])
    assert main([str(table), str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "warning: 'NaN' (1 rows) is read as a text; if it means that there is none" in printed
    assert "warning: 'N/A' (3 rows) is read as a speaker" in printed


def test_a_recording_of_two_rows_is_named(
    tmp_path: Path, write_sound: WriteSound, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sound(tmp_path / "a.wav")
    rows = ["file,emotion,split", "a.wav,sad,train", "a.wav,glad,test"]
    message = refused(capsys, write(tmp_path, rows), tmp_path / "out")
    assert "audio a.wav is that of" in message or "audio 'a.wav' is that of" in message
    assert "remove one of them, or give every row its own id in a column id" in message


def test_an_empty_split_has_a_remedy_that_acts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    splits = ("train", "train", "test", "valid", "")
    rows = ["text,emotion,split", *(f"some words {n},sad,{splits[n % 5]}" for n in range(10))]
    message = refused(capsys, write(tmp_path, rows), tmp_path / "out")
    assert "fill it in, or remove the row" in message
    assert "--split-map" not in message


def test_a_delimiter_that_the_header_lacks_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["text,emotion", *(f"some words {n},{('sad', 'glad')[n % 2]}" for n in range(9))]
    message = refused(capsys, write(tmp_path, rows), tmp_path / "out", "--delimiter", ";")
    assert "the first row holds no semicolon and may be delimited by comma" in message
    assert message.endswith("leave out --delimiter [delimiter-absent]")


def test_files_that_are_not_there_are_counted_in_a_folder_below(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clips / "clips" / "s0" / "5.wav").unlink()
    rows = [f"s{n % 5}/{n}.wav,{('sad', 'glad')[n % 2]}" for n in range(20)]
    message = refused(capsys, write(clips, ["wav,emotion", *rows]), clips / "out")
    assert "1 of 20 audio files are not in" in message
    assert message.endswith("--drop-bad-audio [recordings-missing]")


def test_numbers_in_place_of_labels_are_hinted_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"so it is {n},{1 + n % 3},{n / 10},p{n}" for n in range(12)]
    table = write(tmp_path, ["text,emotion,sentiment,speaker", *rows])
    words = [str(table), str(tmp_path / "out")]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "emotion column emotion holds numbers, 1, 2, 3," in printed
    assert "--label-map 1=NAME --label-map 2=NAME --label-map 3=NAME" in printed
    assert "not used: sentiment" in printed
    assert "sentiment_score=sentiment" in printed
    names = ["--label-map", "1=sad", "--label-map", "2=glad", "--label-map", "3=calm"]
    assert main([*words, *names, "--column", "sentiment_score=sentiment"]) == 0
    assert "holds numbers" not in capsys.readouterr().out
    assert read_corpus(tmp_path / "out").labels["emotion"] == ("calm", "glad", "sad")


def test_a_column_of_splits_with_numbers_is_asked_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of MSP-Podcast; to draw other splits would be to test on rows of its train set."""
    splits = ["Train"] * 14 + ["Development"] * 3 + ["Test1"] * 3
    rows = [f"some words {n},{('sad', 'happy')[n % 2]},{split}" for n, split in enumerate(splits)]
    table = write(tmp_path, ["Transcript,EmoClass,Split_Set", *rows])
    message = refused(capsys, table, tmp_path / "out")
    assert "3 rows are of the split 'Test1': which one is it?" in message
    assert main([str(table), str(tmp_path / "out"), "--split-map", "Test1=test"]) == 0
    assert len(read_manifest(tmp_path / "out" / "test.tsv")) == 3


@pytest.mark.parametrize("name", ["split", "Split_Set", "part_of_it"])
def test_numbered_splits_are_asked_about_also_where_most_rows_have_them(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    splits = ["Train"] * 4 + ["Test1"] * 8 + ["Test2"] * 8
    rows = [f"some words {n},{('sad', 'happy')[n % 2]},{split}" for n, split in enumerate(splits)]
    message = refused(capsys, write(tmp_path, [f"text,emotion,{name}", *rows]), tmp_path / "out")
    assert "8 rows are of the split 'Test1'" in message
