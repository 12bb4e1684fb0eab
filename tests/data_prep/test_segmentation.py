"""Readers and writers of segmentations, on files written after the formats' specifications."""

import json
import time
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import av
import pytest
from codes import raises
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.errors import CodedError
from data_prep.segmentation.formats import FORMATS, read_segmentation, write_turns
from data_prep.segmentation.turn import Segmentation, Turn, check_turns

RTTM = """;; a comment
SPKR-INFO meeting 1 <NA> <NA> <NA> unknown Anna <NA> <NA>
SPEAKER meeting 1 0.50 1.250 <NA> <NA> Anna <NA> <NA>
SPEAKER meeting 1 1.5 2 <NA> <NA> Ben 0.9
SPEAKER other 1 0 2 <NA> <NA> Carl <NA> <NA>
NON-SPEECH meeting 1 3 1 noise <NA> <NA> <NA> <NA>
"""
LONG_TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 4
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "Anna"
        xmin = 0
        xmax = 4
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.50
            text = ""
        intervals [2]:
            xmin = 0.50
            xmax = 1.75 ! a comment with 7 and "words"
            text = "she said ""no"" 3 times"
        intervals [3]:
            xmin = 1.75
            xmax = 4
            text = ""
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 4
        points: size = 1
        points [1]:
            number = 2
            mark = "x"
    item [3]:
        class = "IntervalTier"
        name = "Ben"
        xmin = 0
        xmax = 4
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = ""
        intervals [2]:
            xmin = 1.5
            xmax = 3.5
            text = "größer"
"""
SHORT_TEXTGRID = """File type = "ooTextFile"
"TextGrid"

0
4
<exists>
3
"IntervalTier"
"Anna"
0
4
3
0
0.50
""
0.50
1.75
"she said ""no"" 3 times"
1.75
4
""
"TextTier"
"clicks"
0
4
1
2
"x"
"IntervalTier"
"Ben"
0
4
2
0
1.5
""
1.5
3.5
"größer"
"""
SRT_CUE = "00:00:01,500 --> 00:00:03,000\nhello\n"
EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///meeting.wav" MIME_TYPE="audio/x-wav"/>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/>
    <TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1750"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="1500"/>
    <TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="3500"/>
    <TIME_SLOT TIME_SLOT_ID="ts5"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="default-lt" PARTICIPANT="Anna" TIER_ID="A">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
      <ANNOTATION_VALUE>fish &amp; chips</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="Ben">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
      <ANNOTATION_VALUE></ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts4" TIME_SLOT_REF2="ts5">
      <ANNOTATION_VALUE>?</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="tr" PARENT_REF="A" PARTICIPANT="Anna" TIER_ID="A-de">
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a4" ANNOTATION_REF="a1">
      <ANNOTATION_VALUE>Fisch</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
  </TIER>
</ANNOTATION_DOCUMENT>
"""
SRT = """1
00:00:00,500 --> 00:00:01,750
<i>fish</i> &
chips

2
00:00:01,500 --> 00:00:03,500 X1:40
[SPEAKER_01]: {\\an8}so: no

"""
VTT = """WEBVTT - a title
Kind: captions

NOTE not spoken
2 lines

STYLE
::cue { color: red }

intro
00:00.500 --> 00:01.750 align:start
<v.loud Anna>fish &amp; <i>chips</i></v>

01:00:01.500 --> 01:00:03.500
- <v Ben>yes <00:02.000>I do</v>
<v Anna>no</v>
"""
WHISPER = {
    "text": " Hi. No",
    "segments": [
        {"id": 0, "start": 0.5, "end": 1.75, "text": " Hi.", "speaker": "A", "avg_logprob": -1.0},
        {"start": 2, "end": 3.1, "text": "No", "words": [{"word": "No", "speaker": "B"}]},
        {"start": 3.1, "end": 3.1, "text": ""},
        {"start": 4, "end": 5, "words": [{"speaker": "A"}, {"speaker": "B"}, {"word": "x"}]},
    ],
}


def read(folder: Path, name: str, content: str | bytes, **more: object) -> Segmentation:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_segmentation(file, **more)  # type: ignore[arg-type]


def values(found: Segmentation) -> list[tuple[str, str, str | None, str | None]]:
    return [(str(t.start), str(t.end), t.speaker, t.text) for t in found.turns]


def test_rttm(tmp_path: Path) -> None:
    found = read(tmp_path, "a.rttm", RTTM, recording="meeting.wav")
    assert values(found) == [("0.50", "1.750", "Anna", None), ("1.5", "3.5", "Ben", None)]
    assert [turn.where for turn in found.turns] == ["line 3", "line 4"]
    expected = {"lines of SPKR-INFO": 1, "lines of NON-SPEECH": 1, "turns of other recordings": 1}
    assert found.skipped == expected
    with raises("recording-unknown"):
        read(tmp_path, "a.rttm", RTTM, recording="third.wav")
    with raises("recording-unknown"):
        read(tmp_path, "a.rttm", RTTM)
    only = read(tmp_path, "a.rttm", RTTM.split("SPEAKER other")[0], recording="third.wav")
    assert len(only.turns) == 2
    assert "'meeting'" in only.notes[0]


def test_turns_on_several_channels_of_rttm(tmp_path: Path) -> None:
    lines = "SPEAKER call 1 0 2 <NA> <NA> A\nSPEAKER call 2 1 2 <NA> <NA> B\n"
    found = read(tmp_path, "call.rttm", lines, recording="call.wav")
    assert [turn.channel for turn in found.turns] == [1, 2]
    assert found.notes == ["channels 1, 2, each with its turns"]
    written = write_turns(found.turns, "rttm", recording="call.wav")
    assert [line.split()[2] for line in written.splitlines()] == ["1", "2"]
    alone = read(tmp_path, "call.rttm", lines.replace("call 2", "call 1"), recording="call.wav")
    assert [turn.channel for turn in alone.turns] == [None, None]
    with raises("channel-invalid") as error:  # counted from 0, which no recording has
        read(tmp_path, "call.rttm", lines.replace("call 1", "call 0"), recording="call.wav")
    assert "line 1: the channel is '0', beside '2'" in str(error.value)


def test_turns_on_several_channels_of_a_table(tmp_path: Path) -> None:
    table = "start,end,channel\n0,2,1\n1,2,2.0\n1,3,\n"
    found = read(tmp_path, "call.csv", table)
    assert [turn.channel for turn in found.turns] == [1, 2, None]
    assert "channels 1, 2, each with its turns" in found.notes
    written = write_turns(found.turns, "csv", recording="call.wav")
    assert [line.split(",")[-1] for line in written.splitlines()] == ["channel", "1", "2", ""]
    alone = read(tmp_path, "call.csv", table.replace("2.0", "1"))
    assert [turn.channel for turn in alone.turns] == [None, None, None]
    with raises("channel-invalid"):
        read(tmp_path, "call.csv", table.replace("2.0", "left"))


def test_names_of_rttm_hold_no_blanks(tmp_path: Path) -> None:
    # Two speakers, who would both be Ann.
    line = "SPEAKER call 1 {} 1 <NA> <NA> {}\n"
    for end in ("", " <NA>", " <NA> <NA>"):
        lines = line.format(0, f"Ann Smith{end}") + line.format(2, f"Ann Miller{end}")
        with raises("rttm-invalid") as error:
            read(tmp_path, "call.rttm", lines)
        assert "'Smith'; write _ for the blanks in names" in str(error.value)
    found = read(tmp_path, "call.rttm", line.format(0, "Ann\xa0Smith 0.9 <NA>"))
    assert found.turns[0].speaker == "Ann\xa0Smith"


def test_two_forms_of_a_letter_are_one_speaker(tmp_path: Path) -> None:
    found = read(tmp_path, "t.csv", "start,end,speaker\n0,1,Jos\xe9\n1,2,Jose\u0301\n")
    assert {turn.speaker for turn in found.turns} == {"Jos\xe9"}


def test_text_after_a_voice_is_of_nobody(tmp_path: Path) -> None:
    cue = "WEBVTT\n\n00:00.000 --> 00:02.000\n<v Ann>Good <i>day</i></v> (music) <v Ben>Hi</v>\n"
    times = ("0.000", "2.000")
    expected = [(*times, "Ann", "Good day"), (*times, None, "(music)"), (*times, "Ben", "Hi")]
    assert values(read(tmp_path, "a.vtt", cue)) == expected


TWO_MICROPHONES = "file,start,end\nx/mic.wav,0,1\ny/mic.wav,1,3\n"


def test_turns_of_two_recordings_of_one_name(tmp_path: Path) -> None:
    by_path = read(tmp_path, "t.csv", TWO_MICROPHONES, recording="in/y/mic.wav")
    assert values(by_path) == [("1", "3", None, None)]
    assert by_path.skipped == {"turns of other recordings": 1}
    for recording in ("mic.wav", "z/mic.wav", "mic.flac"):
        with raises("recording-ambiguous") as error:
            read(tmp_path, "t.csv", TWO_MICROPHONES, recording=recording)
        assert "x/mic.wav and y/mic.wav" in str(error.value)
    suffixes = TWO_MICROPHONES.replace("y/mic.wav", "mic.wav")
    assert len(read(tmp_path, "t.csv", suffixes, recording="mic.wav").turns) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("text", [LONG_TEXTGRID, SHORT_TEXTGRID])
def test_textgrid(tmp_path: Path, text: str, encoding: str) -> None:
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    content = mark + text.replace("\n", "\r\n").encode(encoding)
    found = read(tmp_path, "a.TextGrid", content)
    assert values(found) == [
        ("0.50", "1.75", "Anna", 'she said "no" 3 times'),
        ("1.5", "3.5", "Ben", "größer"),
    ]
    assert found.skipped == {"empty intervals": 3, "points of point tiers": 1}
    line = 1 + text[: text.index("she said")].count("\n")
    assert found.turns[0].where == f"line {line} (tier 'Anna', interval 2)"
    ben = read(tmp_path, "a.TextGrid", content, tiers=["Ben"])
    assert [turn.speaker for turn in ben.turns] == ["Ben"]
    assert ben.skipped["intervals of tier 'Anna'"] == 3
    with raises("tier-missing") as error:
        read(tmp_path, "a.TextGrid", content, tiers=["clicks"])
    assert "'Anna', 'Ben'" in str(error.value)


def test_eaf(tmp_path: Path) -> None:
    found = read(tmp_path, "a.eaf", EAF)
    anna = ("0.500", "1.750", "Anna", "fish & chips")
    assert values(found) == [anna, ("1.500", "3.500", "Ben", None)]
    assert found.turns[0].where == "line 14 (annotation 'a1')"
    expected = {"annotations of tier 'A-de'": 1, "annotations without times of their own": 1}
    assert found.skipped == expected
    german = read(tmp_path, "a.eaf", EAF, tiers=["A-de"])
    assert values(german) == [("0.500", "1.750", "Anna", "Fisch")]
    with raises("eaf-invalid") as error:
        read(tmp_path, "a.eaf", EAF.replace('"a1">', '"a4">'), tiers=["A-de"])
    assert "without end" in str(error.value)
    same = read(tmp_path, "b.eaf", EAF.replace('"UTF-8"', '"UTF-16"').encode("utf-16"))
    assert values(same) == values(found)


def test_a_textgrid_of_a_part_is_noted(tmp_path: Path) -> None:
    """Praat keeps the times of the whole recording where a part is cut out so."""
    of_part = LONG_TEXTGRID.replace("\nxmin = 0\n", "\nxmin = 0.25\n")
    found = read(tmp_path, "a.TextGrid", of_part)
    assert "its times begin at 0.25 s, not at 0 s: it is of a part of a recording" in found.notes
    assert not any("begin" in note for note in read(tmp_path, "b.TextGrid", LONG_TEXTGRID).notes)


def test_the_medium_of_an_elan_file_is_compared(tmp_path: Path) -> None:
    named = EAF.replace("MEDIA_URL=", 'MEDIA_URL="file:///x/gr%C3%BCn.mp4" RELATIVE_MEDIA_URL=')
    assert named != EAF
    note = "its medium is 'grün.mp4', not 'b.wav'"
    assert note in read(tmp_path, "a.eaf", named, recording="b.wav").notes
    assert not any(
        "medium" in n for n in read(tmp_path, "a.eaf", named, recording="grün.wav").notes
    )
    assert not any("medium" in n for n in read(tmp_path, "a.eaf", named).notes)


def test_subtitles(tmp_path: Path) -> None:
    assert values(read(tmp_path, "a.srt", SRT)) == [
        ("0.500", "1.750", None, "fish & chips"),
        ("1.500", "3.500", "SPEAKER_01", "so: no"),
    ]
    found = read(tmp_path, "a.vtt", VTT.replace("\n", "\r\n"))
    assert values(found) == [
        ("0.500", "1.750", "Anna", "fish & chips"),
        ("3601.500", "3603.500", None, "-"),
        ("3601.500", "3603.500", "Ben", "yes I do"),
        ("3601.500", "3603.500", "Anna", "no"),
    ]
    assert found.skipped == {"NOTE blocks": 1, "STYLE blocks": 1}
    assert [turn.where for turn in found.turns] == ["line 11", "line 14", "line 14", "line 14"]


def test_lines_of_blanks_within_the_text_of_a_cue(tmp_path: Path) -> None:
    """As recognized subtitles of videos have them; between cues they are empty lines."""
    text = "WEBVTT\n\n00:00.000 --> 00:01.000\n \nhello<00:00.500><c> you</c>\n\n"
    text += "00:01.000 --> 00:02.000\nhello you\n \n\n00:02.000 --> 00:03.000\nsoon\n \n"
    text += "4\n00:03.000 --> 00:04.000\nnow\n\t\n00:04.000 --> 00:05.000\n "
    expected = ["hello you", "hello you", "soon", "now", None]
    assert [turn.text for turn in read(tmp_path, "a.vtt", text).turns] == expected
    text = text.removeprefix("WEBVTT\n\n").replace("<00:00.500><c>", "").replace("</c>", "")
    assert [turn.text for turn in read(tmp_path, "a.srt", text).turns] == expected


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_cues_of_no_length_are_counted(tmp_path: Path, kind: str) -> None:
    text = "WEBVTT\n\n" * (kind == "vtt") + "00:01.000 --> 00:02.000\nyes\n\n"
    found = read(tmp_path, f"a.{kind}", f"{text}00:02.000 --> 00:02.000\nyes\n\n")
    assert [turn.text for turn in found.turns] == ["yes"]
    assert found.skipped == {"cues of no length": 1}


def test_turns_of_no_file_are_named_by_their_start() -> None:
    with pytest.raises(CodedError, match=r"^call: the turn at 2 s: the end 1 is not after"):
        check_turns(Path("call"), [Turn(Decimal(2), Decimal(1))])


def test_whisper(tmp_path: Path) -> None:
    expected = [("0.5", "1.75", "A", "Hi."), ("2", "3.1", "B", "No"), ("4", "5", None, None)]
    for content in (WHISPER, WHISPER["segments"]):
        found = read(tmp_path, "a.json", json.dumps(content))
        assert values(found) == expected
        assert found.skipped == {"segments of no length": 1}
    assert found.turns[2].where == "segments[3]"


def test_table(tmp_path: Path) -> None:
    text = (
        "file,start,end,speaker,text\nd/a.wav,0.50,00:00:01.75,A,hi\nd/a.wav,2,3,,\nb.wav,0,1,,\n"
    )
    found = read(tmp_path, "a.csv", text, recording="a.wav")
    assert values(found) == [("0.50", "1.75", "A", "hi"), ("2", "3", None, None)]
    assert found.skipped == {"turns of other recordings": 1}
    assert values(read(tmp_path, "a.csv", "start,end\n0,0 days 00:00:01.5\n"))[0][:2] == (
        "0",
        "1.5",
    )


def test_a_german_table(tmp_path: Path) -> None:
    text = "start;end;speaker;text\n0,5;1,25;Jörg;ja, gut\n2;3;;\n"
    found = read(tmp_path, "a.csv", text.encode("cp1252"))
    assert values(found) == [("0.5", "1.25", "Jörg", "ja, gut"), ("2", "3", None, None)]
    assert any("semicolon" in note for note in found.notes)


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("a.rttm", "", "turns-missing", "tier"),
        ("a.rttm", "SPEAKER a 1 0 -1 x x A\n", "time-invalid", "line 1"),
        ("a.rttm", "\nSPEAKER a 1 -0.5 1 x x A\n", "time-invalid", "negative"),
        ("a.rttm", "SPEAKER a 1 nan 1 x x A\n", "time-invalid", "nan"),
        ("a.rttm", "SPEAKER a 1 1e99 1 x x A\n", "time-invalid", "1e99"),
        ("a.rttm", "SPEAKER a 1 0 0 x x A\n", "turn-times-invalid", "line 1"),
        ("a.rttm", "SPEAKER a 1 0 1\n", "rttm-invalid", "5 fields"),
        ("a.rttm", "hello there\n", "rttm-invalid", "'hello'"),
        ("a.rttm", "SPEAKER a 1 0 2 x x A\nSPEAKER a 1 1 2 x x A\n", "turns-overlap", "line 2"),
        ("a.rttm", b"SPEAKER a 1 0 2 x x \xe4\n", "encoding-invalid", "line 1"),
        ("a.rttm", "SPEAKER a 1 0 2 x x \0\n", "encoding-invalid", "NUL"),
        ("a.TextGrid", "ooBinaryFile", "textgrid-invalid", "type of file"),
        ("a.TextGrid", LONG_TEXTGRID[:500], "textgrid-invalid", "ends before"),
        ("a.TextGrid", LONG_TEXTGRID.replace("größer", 'x"'), "textgrid-invalid", "closed"),
        ("a.TextGrid", LONG_TEXTGRID.replace("= 1.75", "= -1.75"), "time-invalid", "line 21"),
        ("a.eaf", EAF.replace("?>", "?><!DOCTYPE x>", 1), "eaf-invalid", "document type"),
        ("a.eaf", EAF[:900], "eaf-invalid", "no XML"),
        ("a.eaf", "<html/>", "eaf-invalid", "html"),
        ("a.eaf", EAF.replace('REF2="ts2"', 'REF2="ts9"'), "eaf-invalid", "ts9"),
        ("a.eaf", EAF.replace("milliseconds", "PAL-frames"), "eaf-invalid", "frames"),
        ("a.eaf", EAF.replace("MEDIA_URL", 'TIME_ORIGIN="40" MEDIA_URL'), "eaf-invalid", "40 ms"),
        ("a.srt", "1\nhello\n", "cue-invalid", "line 2"),
        ("a.srt", "1\n00:00:61,500 --> 00:01:03,500\nx\n", "time-invalid", "line 2"),
        ("a.srt", f"1\n{SRT_CUE}2\n{SRT_CUE}", "cue-invalid", "line 5"),
        ("a.vtt", f"WEBVTT\n\n{SRT_CUE}{SRT_CUE}", "cue-invalid", "line 5"),
        ("a.srt", "00:00:02,000 --> 00:00:01,000\nx\n", "turn-times-invalid", "line 1"),
        ("a.vtt", "00:01.000 --> 00:02.000\nx\n", "vtt-invalid", "WEBVTT"),
        ("a.vtt", "WEBVTT\n00:01.000 --> 00:02.000\nx\n", "vtt-invalid", "empty line"),
        ("a.vtt", "WEBVTT\n\nid\nx\n", "cue-invalid", "line 4"),
        ("a.json", '{"text": "x"}', "document-invalid", "a.json: segments is missing; give JSON"),
        ("a.json", '{"segments": [{"start": -1, "end": 1}]}', "time-invalid", "segments[0]"),
        ("a.csv", "start,end_ms\n1,2\n", "times-unit", "end_ms"),
        ("a.csv", "start,stop\n1,2\n", "column-missing", "'end'"),
        ("a.csv", "start,end\n1,2\n1,x\n", "time-invalid", "row 3"),
        ("a.ctm", "a 1 0 1 x", "segmentation-unknown", ".rttm"),
    ],
)
def test_errors_name_file_and_line(
    tmp_path: Path, name: str, content: str | bytes, code: str, words: str
) -> None:
    with raises(code) as error:
        read(tmp_path, name, content)
    assert str(error.value).startswith(str(tmp_path / name))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c SYSTEM "/etc/passwd">]>'
    text = EAF.replace("?>", f"?>{bomb}", 1).replace("chips", "&c;")
    with raises("eaf-invalid"):
        read(tmp_path, "a.eaf", text)


def test_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_prep.segmentation.request.MAX_BYTES", 100)
    for name, text in (("a.rttm", RTTM), ("a.eaf", EAF)):
        with raises("segmentation-too-large"):
            read(tmp_path, name, text)


# -- what is written -------------------------------------------------------------------------------


def plain(text: str | None, without: str = "") -> str | None:
    """A text on one line, without some characters."""
    kept = "".join(character for character in text or "" if character not in without)
    return " ".join(kept.split()) or None


WORDS = st.text(st.sampled_from("ab éß\"'&<>-:,;"), max_size=12).map(plain)


@st.composite
def turns_of(draw: st.DrawFn) -> list[Turn]:
    """Turns in milliseconds; those of one speaker do not overlap, those of nobody may."""
    turns = []
    for speaker in draw(st.sets(st.sampled_from(["A", "B_2", None]), min_size=1)):
        lengths = draw(st.lists(st.integers(1, 3000), min_size=2, max_size=8))
        times = [Decimal(sum(lengths[: n + 1])) / 1000 for n in range(len(lengths))]
        step = draw(st.sampled_from([1, 2]))
        for start, end in list(pairwise(times))[::step]:
            text = draw(WORDS)
            late = draw(st.integers(0, 2)) if speaker is None else 0
            turns.append(Turn(start, end + late, speaker, text))
    return sorted(turns, key=lambda turn: (turn.start, turn.end))


def facts(turns: list[Turn], has_text: bool = True) -> list[tuple[object, ...]]:
    rows = [(t.start, t.end, t.speaker or "", (t.text or "") if has_text else "") for t in turns]
    return sorted(rows)


@pytest.mark.parametrize("kind", [name for name, known in FORMATS.items() if known.write])
@settings(max_examples=40, deadline=None)
@given(turns=turns_of())
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, kind: str, turns: list[Turn]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    if kind == "srt":  # which has no escapes: what looks like a mark of layout is one
        turns = [Turn(t.start, t.end, t.speaker, t.text and t.text.replace("<", "")) for t in turns]
        turns = [Turn(t.start, t.end, t.speaker, (t.text or "").strip() or None) for t in turns]
        turns = [
            Turn(t.start, t.end, t.speaker, t.text and " ".join(t.text.split())) for t in turns
        ]
    for labels in (None, ["joy"] * len(turns)):
        text = write_turns(turns, kind, recording="a b.wav", labels=labels)
        if labels and kind in ("srt", "vtt"):
            assert text.count("joy]") == len(turns)
            continue
        found = read(folder, f"x{FORMATS[kind].suffix}", text, recording="a b.wav")
        has_text = kind != "rttm"
        assert facts(list(found.turns), has_text) == facts(turns, has_text)
        assert labels is None or "joy" in text


def test_labels_stand_beside_the_turns() -> None:
    turns = [
        Turn(Decimal("0.5"), Decimal(1), "Anna", "so"),
        Turn(Decimal(1), Decimal(2), None, None),
    ]
    labels = ["joy", None]

    def text(kind: str) -> str:
        return write_turns(turns, kind, recording="a.wav", labels=labels)

    assert text("rttm").splitlines()[0] == "SPEAKER a 1 0.5 0.5 <NA> joy Anna <NA> <NA>"
    assert "00:00:00,500 --> 00:00:01,000\n[Anna]: [joy] so\n" in text("srt")
    assert "00:00:00.500 --> 00:00:01.000\n<v Anna>[joy] so\n" in text("vtt")
    assert text("csv") == "start,end,speaker,text,label\n0.5,1,Anna,so,joy\n1,2,,,\n"
    assert text("textgrid").count('"joy"') == 1
    assert 'name = "Anna (emotion)"' in text("textgrid")
    assert 'PARENT_REF="Anna" TIER_ID="Anna (emotion)"' in text("eaf")
    with raises("format-unknown"):
        text("whisper")


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_ffmpeg_reads_the_same_cues(tmp_path: Path, kind: str) -> None:
    turns = [
        Turn(Decimal("0.5"), Decimal("1.75"), None, "fish"),
        Turn(Decimal("3601.234"), Decimal(3602), None, "chips"),
    ]
    file = tmp_path / f"a.{kind}"
    file.write_text(write_turns(turns, kind, recording="a.wav"))
    with av.open(str(file)) as container:
        packets = [packet for packet in container.demux() if packet.size]
    cues = [
        (p.pts * p.time_base, (p.pts + p.duration) * p.time_base, bytes(p).decode().strip())
        for p in packets
    ]
    assert cues == [(turn.start, turn.end, turn.text) for turn in turns]


@pytest.mark.parametrize("kind", [name for name, known in FORMATS.items() if known.write])
def test_many_turns_are_read_quickly(tmp_path: Path, kind: str) -> None:
    n = 10_000
    turns = [
        Turn(Decimal(2 * k), Decimal(2 * k + 1), f"s{k % 3}", "some words here") for k in range(n)
    ]
    text = write_turns(turns, kind, recording="a.wav")
    start = time.process_time()
    found = read(tmp_path, f"a{FORMATS[kind].suffix}", text)
    assert len(found.turns) == n
    assert time.process_time() - start < 1  # 100,000 take 0.3 to 1.5 s


def test_turns_without_speaker_may_overlap(tmp_path: Path) -> None:
    turns = [Turn(Decimal(0), Decimal(2)), Turn(Decimal(1), Decimal(3))]
    assert check_turns(tmp_path, turns) == (turns, {})


def test_overlaps_within_the_rounding_of_times_are_cut(tmp_path: Path) -> None:
    times = [(0, 1.004, "A"), (1, 1.5, "A"), (1.49, 2, "A"), (1.2, 3, "B"), (2, 2.5, "A")]
    lines = [f"SPEAKER a 1 {x} {round(y - x, 4)} x x {who}" for x, y, who in times]
    found = read(tmp_path, "a.rttm", "\n".join(lines))
    ends = [(str(turn.start), str(turn.end)) for turn in found.turns if turn.speaker == "A"]
    assert ends == [("0", "1"), ("1", "1.49"), ("1.49", "2.00"), ("2", "2.5")]
    assert found.skipped == {
        "ends of turns (at most 0.01 s) within the next turn of their speaker": 2
    }


def test_a_turn_that_is_shorter_than_the_overlap_hides_no_later_one(tmp_path: Path) -> None:
    turns = [
        Turn(Decimal(start), Decimal(end), "A")
        for start, end in (("0", "1.004"), ("1", "1.003"), ("1.002", "2"))
    ]
    ordered, cut = check_turns(tmp_path, turns)
    assert [(str(turn.start), str(turn.end)) for turn in ordered] == [
        ("0", "1"),
        ("1", "1.002"),
        ("1.002", "2"),
    ]
    assert list(cut.values()) == [2]


def test_all_overlaps_are_counted(tmp_path: Path) -> None:
    """A turn within a longer one does not hide the next one within it."""
    lines = [f"SPEAKER a 1 {start} {seconds} x x A" for start, seconds in ((0, 9), (1, 1), (3, 1))]
    with pytest.raises(CodedError, match=r"ends at 9 s \(the first of 2 overlaps\); cut one"):
        read(tmp_path, "a.rttm", "\n".join(lines))
