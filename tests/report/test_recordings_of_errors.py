"""The recordings of the worst errors on the page: inside of it, linked, or why there are none."""

import base64
import io
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
from codes import raises
from report_cases import label_rows, write_predictions

from data_prep.schema import Corpus, Utterance, write_corpus
from emo_fairseq.report import __main__ as command
from emo_fairseq.report.recordings import INLINE, MAX_SECONDS, Clip, Recordings

RATE = 22_050
N_ROWS = 60


def tone(seconds: float, hertz: float) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def write_data(folder: Path, data_raw: Path) -> Path:
    """Rows that are half-second segments of one recording, each with a pitch of its own."""
    (data_raw / "deep & low").mkdir(parents=True)
    sound = np.concatenate([tone(0.5, 200 + 20 * number) for number in range(N_ROWS)])
    soundfile.write(data_raw / "deep & low" / "a.wav", sound, RATE)
    rows = [
        Utterance(
            f"u{number:03d}",
            audio="deep & low/a.wav",
            n_samples=8000,
            start=number / 2,
            end=(number + 1) / 2,
            emotion=("happy", "sad", "angry")[number % 3],
        )
        for number in range(N_ROWS)
    ]
    labels = {"emotion": ("happy", "sad", "angry", "neutral")}
    corpus = Corpus("small", labels=labels, protocol="one split", data_raw=str(data_raw))
    write_corpus(folder, corpus, {"test": rows})
    return folder


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "PageOf":
    empty = {"png": b"", "svg": b"<svg></svg>"}
    monkeypatch.setattr("emo_fairseq.report.folder.render", lambda draw, size: empty)
    return PageOf(tmp_path, monkeypatch)


class PageOf:
    """Writes the report of a small data dir."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self._patch = root, patch
        self.data = write_data(root / "data", root / "raw")
        self.predictions = write_predictions(root / "p.tsv", label_rows(N_ROWS))
        self.output = root / "report"

    def write(self, *options: str | Path, data: bool = True) -> str:
        words = [self.predictions, "--output", self.output, "--resamples", "20", *options]
        words += ["--data", self.data] if data else []
        self._patch.setattr(sys, "argv", ["report", *map(str, words)])
        command.main()
        return (self.output / "report.html").read_text()

    def not_drawn(self) -> str:
        return (self.output / "not_drawn.txt").read_text()


def test_the_segment_of_each_error_is_inside_of_the_page(page: PageOf) -> None:
    text = page.write()
    sounds = re.findall(
        r'src="data:audio/flac;base64,([^"]+)" aria-label="recording of (\w+)"', text
    )
    assert len(sounds) == text.count("<audio ") > 5
    for content, name in sounds:
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
        assert (rate, samples.shape) == (16_000, (8000,))
        pitch = np.abs(np.fft.rfft(samples)).argmax() * 2  # bins of 2 Hz
        assert pitch == pytest.approx(200 + 20 * int(name[1:]), abs=2)
    assert f"This page contains {len(sounds)} recordings of the corpus" in text
    assert "media-src data:" in text


def test_links_lead_from_the_page_to_the_segment(page: PageOf) -> None:
    text = page.write("--audio", "link")
    assert "<audio" not in text
    links = re.findall(r'<a href="([^"#]+)#t=([\d.]+),([\d.]+)">', text)
    assert links
    for path, start, end in links:
        assert (page.output / unquote(path)).resolve() == page.root / "raw" / "deep & low" / "a.wav"
        assert float(end) - float(start) == 0.5
    assert "This page contains" not in text


def test_files_that_are_gone_are_named_and_counted(page: PageOf) -> None:
    (page.root / "raw" / "deep & low" / "a.wav").unlink()
    for mode in ("inline", "link"):
        text = page.write("--audio", mode)
        assert "<audio" not in text
        counted = re.search(r"(\d+) of \1 recordings cannot be played: see Not drawn", text)
        assert counted
        lines = [x for x in page.not_drawn().splitlines() if x.startswith("recording of u")]
        assert len(lines) == (int(counted[1]) if mode == "inline" else 1)  # by the sentence
        assert all("a.wav" in line and "no such file" in line for line in lines)


def test_without_recordings_the_page_states_why(page: PageOf) -> None:
    assert "<audio" not in page.write("--audio", "none")
    assert "recordings of the worst errors: --audio none\n" in page.not_drawn()
    page.write(data=False)
    assert "recordings of the worst errors: no --data: no audio\n" in page.not_drawn()
    (page.root / "raw").rename(page.root / "moved")
    page.write()
    assert f"the recordings of {page.data} were in {page.root / 'raw'}" in page.not_drawn()
    assert "<audio" in page.write("--data-raw", page.root / "moved")


def test_options_that_have_no_effect_are_refused(page: PageOf) -> None:
    with raises("report-audio-without-data"):
        page.write("--audio", "link", data=False)
    with raises("data-raw-no-folder"):
        page.write("--data-raw", page.root / "nowhere")


def test_recordings_that_the_page_has_no_room_for_are_counted(
    page: PageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emo_fairseq.report.recordings.MAX_BYTES", 20_000)
    text = page.write()
    n_missing, n = map(int, re.findall(r"(\d+) of (\d+) recordings cannot be played", text)[0])
    assert 0 < text.count("<audio ") == n - n_missing < n
    (line,) = (line for line in page.not_drawn().splitlines() if line.startswith("recording of"))
    assert line.endswith(
        f"and {n_missing - 3} more: the page has 0.02 MB of recordings already; --audio link"
    )


def test_long_recordings_are_cut_and_their_bytes_bounded(tmp_path: Path) -> None:
    seconds = MAX_SECONDS + 1
    soundfile.write(tmp_path / "long.wav", tone(seconds, 300.0), RATE)
    row = Utterance("a", audio="long.wav", n_samples=seconds * 16_000)
    (clip,) = Recordings(INLINE, tmp_path).clips([row])
    assert isinstance(clip, Clip)
    assert clip.label == f"first {MAX_SECONDS} s of {seconds:.1f} s"
    content = base64.b64decode(clip.url.partition(",")[2])
    assert soundfile.info(io.BytesIO(content)).frames == MAX_SECONDS * 16_000
    bounded = Recordings(INLINE, tmp_path, max_bytes=2 * len(content))
    clips = list(bounded.clips([row, None, row, row]))
    assert [isinstance(clip, Clip) for clip in clips] == [True, False, True, False]
    assert bounded.n_clips == 2
    assert bounded.n_bytes == 2 * len(content)
    assert str(clips[3]).startswith("the page has")
