"""The live part of the page in a real browser, whose microphone plays a file."""

import csv
import io
import json

import numpy as np
import pytest
from loudness import Loudness

SPEECH = [(0.4, 0.9), (1.3, 2.0), (2.4, 2.8)]  # seconds of the file
LENGTH = 3.2


@pytest.fixture(scope="module")
def browser(launch, hum, encode, tmp_path_factory):
    rate = 48_000  # of Chromium's microphones
    samples = np.zeros(round(LENGTH * rate), np.float32)
    for start, end in SPEECH:
        part = slice(round(start * rate), round(end * rate))
        samples[part] = hum(LENGTH, rate)[part]
    file = tmp_path_factory.mktemp("microphone") / "speech.wav"
    file.write_bytes(encode(samples, rate))
    with launch(f"--use-file-for-fake-audio-capture={file}%noloop") as browser:
        yield browser


@pytest.fixture(scope="module")
def port(browser, serve):
    with serve(make_voice=Loudness) as port:
        yield port


def turns(page):
    return page.locator("#live-view .conversation-turns > li")


def saved(page, name):
    with page.expect_download() as download:
        page.get_by_role("button", name=name).locator("visible=true").click()
    return download.value.path().read_text(encoding="utf-8")


def test_turns_are_shown_while_one_speaks_and_are_saved(page, predictor, tmp_path):
    page.get_by_role("button", name="Live").click()
    page.get_by_role("button", name="Stop").wait_for()
    while page.locator("#live-level").evaluate("meter => meter.value") < 0.5:
        page.wait_for_timeout(50)
    turns(page).nth(2).wait_for()
    assert "%" in page.locator("#live-latest").inner_text()
    page.get_by_role("button", name="Stop").click()
    page.locator("#live-status", has_text="Stopped at 0:0").wait_for()
    assert page.locator("#live-level").evaluate("meter => meter.value") == 0
    assert turns(page).count() == 3
    assert page.locator("#live-view svg .conversation-turn").count() == 3
    assert page.evaluate("document.documentElement.scrollWidth") <= 375

    document = json.loads(saved(page, "Save as JSON"))
    assert document["labels"] == list(predictor.labels)
    assert document["axes"] == ["valence", "arousal", "dominance"]
    lengths = [turn["end"] - turn["start"] for turn in document["turns"]]
    assert lengths == pytest.approx([end - start for start, end in SPEECH], abs=0.05)
    gaps = np.diff([turn["start"] for turn in document["turns"]])
    assert gaps == pytest.approx(np.diff([start for start, _ in SPEECH]), abs=0.05)
    rows = list(csv.DictReader(io.StringIO(saved(page, "Save as CSV"))))
    assert [row["emotion"] for row in rows] == [turn["label"] for turn in document["turns"]]
    assert float(rows[1]["start"]) == pytest.approx(document["turns"][1]["start"], abs=1e-3)
    assert [float(rows[2][f"prediction_{axis}"]) for axis in document["axes"]] == pytest.approx(
        list(document["turns"][2]["values"].values()), rel=1e-5
    )


def begin_with_sockets(page):
    """Begin a conversation, with its connections in ``sockets``, and wait for a turn."""
    page.evaluate(
        """() => {
            const Native = WebSocket;
            window.sockets = [];
            window.WebSocket = class extends Native {
                constructor(...all) { super(...all); window.sockets.push(this); }
            };
            window.WebSocket.OPEN = Native.OPEN;
        }"""
    )
    page.get_by_role("button", name="Live").click()
    turns(page).nth(0).wait_for()


def test_stop_ends_a_conversation_whose_connection_is_just_being_closed(page):
    begin_with_sockets(page)
    page.evaluate("sockets[0].close(3000); document.getElementById('live-button').click()")
    page.locator("#live-status", has_text="Stopped at").wait_for()
    assert page.evaluate("sockets.length") == 1


def test_a_lost_connection_is_made_again(page):
    begin_with_sockets(page)
    page.evaluate("sockets[0].close(3000)")  # as a lost one: no code of a client that leaves
    page.locator("#live-status", has_text="connecting again").wait_for()
    turns(page).nth(1).wait_for()
    assert page.evaluate("sockets.length") == 2
    page.get_by_role("button", name="Stop").click()
    page.locator("#live-status", has_text="Stopped at").wait_for()
    assert not page.locator("#live-problem").is_visible()


def test_a_refused_microphone_is_said(page):
    refuse = "() => Promise.reject(new DOMException('', name))"
    sentences = {
        "NotAllowedError": "The microphone is not allowed; allow it in the browser.",
        "NotFoundError": "There is no microphone.",
        "NotReadableError": "another program may be using it",
    }
    for name, sentence in sentences.items():
        page.evaluate(f"(name) => {{ navigator.mediaDevices.getUserMedia = {refuse} }}", name)
        page.get_by_role("button", name="Live").click()
        page.locator("#live-problem", has_text=sentence).wait_for()
    assert page.get_by_role("button", name="Live").is_visible()


def test_the_resampler_keeps_speech_and_removes_what_would_alias(page):
    found = page.evaluate(
        """async () => {
            const { Resampler } = await import("/static/resampler.js");
            const tone = (hertz, rate) => Float32Array.from(
                { length: rate }, (_, n) => Math.sin((2 * Math.PI * hertz * n) / rate));
            const rms = (values) => Math.sqrt(
                values.reduce((sum, x) => sum + x * x, 0) / values.length);
            const HERTZ = [100, 1000, 3000, 7000, 9000, 12000], result = {};
            for (const rate of [44100, 48000, 8000])
                for (const hertz of HERTZ.filter((f) => 2 * f < rate)) {
                    const resampler = new Resampler(rate, 16000), input = tone(hertz, rate);
                    const made = [];
                    for (let n = 0; n < input.length; n += 128)
                        made.push(...resampler.push(input.subarray(n, n + 128)));
                    const expected = tone(hertz, 16000), inner = made.slice(200, -200);
                    const error = inner.map((x, n) => x - expected[n + 200]);
                    result[`${rate} ${hertz}`] = [made.length, rms(inner), rms(error)];
                }
            return result;
        }"""
    )
    for name, (length, level, error) in found.items():
        hertz = int(name.split()[1])
        assert 15_900 <= length <= 16_000, name
        if hertz < 7000:
            assert error < 0.01, name
        elif hertz > 8000:
            assert level < 0.01, name
