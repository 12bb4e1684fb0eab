"""The page of a conversation in a real browser, opened from disk: ``NAME.conversation.html``."""

import base64
import io
import json
import re
from importlib.resources import files

import numpy as np
import pytest
import soundfile
from headless_browser import PATIENCE_MS, new_page

from emo_fairseq.cli.analyze.page import render_page

HOSTILE = "</script><script>window.broken = 1</script>\" ' <b>&amp;"
LABELS = ["angry", "happy", "neutral"]
AXES = ["valence", "arousal"]
SECONDS = 6.0


def turn(number, speaker, label, shift=None, **more):
    """A turn of one second, from its number on."""
    rest = [other for other in LABELS if other != label]
    probabilities = {} if label is None else {label: 0.6, rest[0]: 0.3, rest[1]: 0.1}
    return {
        "start": float(number),
        "end": number + 1.0,
        "speaker": speaker,
        "text": f"text {number}",
        "label": label,
        "probabilities": probabilities,
        "values": {} if label is None else {"valence": 0.25, "arousal": 0.75},
        "confidence": None if label is None else 0.6,
        "shift": shift,
        "truncations": [],
        "warnings": [],
        "error": None if label else "too short [audio-too-short]",
        **more,
    }


def document(turns, **more):
    return {
        "recording": "call.wav",
        "seconds": SECONDS,
        "labels": LABELS,
        "axes": AXES,
        "skipped": {"speech of less than 0.25 s": 2},
        "notes": ["2 speakers"],
        "turns": turns,
        **more,
    }


TURNS = [
    turn(0, "Anna", "happy"),
    turn(1, "Ben", "neutral"),
    turn(2, "Anna", "angry", shift=True, text=HOSTILE),
    turn(3, HOSTILE, None),
    turn(4, "Anna", "angry", shift=False, warnings=["digital silence: every sample is 0"]),
]


@pytest.fixture(scope="module")
def sound():
    content = io.BytesIO()
    time = np.arange(int(SECONDS * 16_000)) / 16_000
    soundfile.write(content, 0.1 * np.sin(2 * np.pi * 300 * time), 16_000, format="OGG")
    return content.getvalue()


@pytest.fixture
def open_page(browser, tmp_path):
    """Open a page from disk; afterwards its console has no errors, and it has loaded no other."""
    complaints, requests, pages = [], [], []

    def open_(conversation, width=375, **more):
        path = tmp_path / "call.conversation.html"
        path.write_text(render_page(conversation, **more), encoding="utf-8")
        page = new_page(browser, width)
        pages.append(page)
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.locator(".conversation-summary").filter(has_text="call.wav").wait_for()
        return page

    yield open_
    for page in pages:
        page.close()
    assert complaints == []
    folder = tmp_path.as_uri()
    assert [url for url in requests if not url.startswith((folder, "blob:"))] == []


def wait_for(page, condition):
    """Wait until it holds; the page's policy forbids playwright's own way, which evaluates text."""
    for _ in range(PATIENCE_MS // 20):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    raise AssertionError(condition)


def scrolls_sideways(page):
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


@pytest.mark.parametrize("width", [375, pytest.param(1200, marks=pytest.mark.extended)])
def test_what_is_shown(open_page, width):
    page = open_page(document(TURNS), width)
    assert not scrolls_sideways(page)
    assert page.locator(".conversation-summary").inner_text() == (
        "call.wav · 5 turns · 3 speakers · 0:05 of speech in 0:06 · 1 emotion shift · "
        "1 turn without a prediction"
    )
    notes = page.locator(".conversation-notes li").all_inner_texts()
    assert notes == ["2 speakers", "speech of less than 0.25 s: 2"]
    items = page.locator(".conversation-turns > li")
    assert items.count() == len(TURNS)
    third = items.nth(2).text_content()  # inner_text is empty where nothing is in view
    for part in ("Anna", HOSTILE, "angry", "60 %", "valence 0.25", "emotion shift"):
        assert part in third
    assert items.nth(3).locator(".conversation-speaker").text_content() == HOSTILE
    assert "No prediction: too short [audio-too-short]" in items.nth(3).text_content()
    assert page.evaluate("window.broken") is None
    marks = page.locator(".conversation-turn")
    assert marks.count() == len(TURNS)
    assert page.locator(".conversation-shift").count() == 1
    tops = [marks.nth(n).locator("rect").first.get_attribute("y") for n in range(5)]
    assert len(set(tops)) == 3  # a lane for each speaker
    assert tops[0] == tops[2] == tops[4]
    colors = {TURNS[n]["label"]: marks.nth(n).get_attribute("style") for n in range(5) if n != 3}
    assert len(set(colors.values())) == 3
    assert "#d55e00" in colors["angry"]
    assert page.locator(".conversation-bar").count() == len(AXES) * 3
    shares = page.locator(".conversation-shares tbody tr")
    assert [row.split()[0] for row in shares.all_inner_texts()][:3] == ["all", "Anna", "Ben"]
    assert "angry 67 %, happy 33 %" in shares.nth(1).inner_text()
    assert page.locator("audio").is_hidden()


def test_a_turn_is_played_to_its_end(open_page, sound):
    page = open_page(document(TURNS), sound=sound, media_type="audio/ogg")
    wait_for(page, "document.querySelector('audio').readyState > 0")
    page.locator(".conversation-turn").nth(1).click()
    wait_for(page, "document.querySelector('audio').currentTime > 1.1")
    current = page.locator(".conversation-turns > .conversation-current")
    assert current.locator(".conversation-text").text_content() == "text 1"
    wait_for(page, "document.querySelector('audio').paused")
    ended = page.evaluate("document.querySelector('audio').currentTime")
    assert 1.9 < ended < 2.6
    page.locator(".conversation-time").nth(4).click()
    wait_for(page, "document.querySelector('audio').currentTime >= 4")


def test_it_is_used_by_keyboard(open_page, sound):
    page = open_page(document(TURNS), sound=sound, media_type="audio/ogg")
    wait_for(page, "document.querySelector('audio').readyState > 0")
    drawing = page.locator(".conversation-scroller")
    drawing.press("Home")
    drawing.press("ArrowRight")
    status = page.locator(".conversation-status")
    assert status.inner_text().startswith("0:01 to 0:02, Ben, neutral 60 %")
    drawing.press("Enter")
    wait_for(page, "!document.querySelector('audio').paused")
    drawing.press("Enter")
    wait_for(page, "document.querySelector('audio').paused")
    assert page.locator(".conversation-time[tabindex='0']").count() == 1
    page.locator(".conversation-time[tabindex='0']").press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == "0:02–0:03"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.textContent") == "0:04–0:05"


def test_a_turn_that_ends_after_the_recording(open_page):
    page = open_page(document([turn(0, "Anna", "happy"), turn(7, "Ben", None)]))
    assert (
        f"0:02 of speech in 0:0{SECONDS:g} ·" in page.locator(".conversation-summary").inner_text()
    )


def test_a_thousand_turns_and_zoom(open_page):
    turns = [turn(n, "AB"[n % 2], LABELS[n % 3], shift=True) for n in range(1000)]
    page = open_page(document(turns, seconds=1000.0), 1200)
    assert page.locator(".conversation-turns > li").count() == 1000
    assert page.locator(".conversation-turn text").count() == 0  # no room
    before = page.locator(".conversation-scroller svg").evaluate("svg => svg.clientWidth")
    for _ in range(4):
        page.get_by_role("button", name="Show less of the recording").click()
    after = page.locator(".conversation-scroller svg").evaluate("svg => svg.clientWidth")
    assert after == pytest.approx(16 * before, rel=0.01)
    assert page.locator(".conversation-turn text").first.text_content() in ("a", "angry", "h")
    assert not scrolls_sideways(page)
    drawing = page.locator(".conversation-scroller")
    drawing.press("End")
    assert drawing.evaluate("box => box.scrollLeft + box.clientWidth") > 0.99 * after


@pytest.fixture
def bare_page(browser):
    """A page with an element, and ``renderConversation`` as a global function."""
    page = new_page(browser, 800)
    page.set_content("<main></main>")
    script = (files("emo_fairseq") / "serving/static/conversation.js").read_text("utf-8")
    script += "window.draw = (conversation) => renderConversation("
    page.add_script_tag(
        type="module", content=f"{script}document.querySelector('main'), conversation);"
    )
    wait_for(page, "typeof window.draw === 'function'")
    yield page
    page.close()


def test_drawing_again_keeps_what_is_selected(bare_page):
    bare_page.evaluate("conversation => void draw(conversation)", document(TURNS[:2]))
    bare_page.locator(".conversation-time").nth(1).click()
    first = bare_page.locator(".conversation-turns > li").first.element_handle()
    bare_page.evaluate("conversation => void draw(conversation)", document(TURNS))
    assert bare_page.locator(".conversation-turns > li").count() == len(TURNS)
    assert first.evaluate("item => item.isConnected")
    selected = bare_page.locator(".conversation-turns > .conversation-selected")
    assert selected.locator(".conversation-text").text_content() == "text 1"
    bare_page.evaluate("conversation => draw(conversation).destroy()", document(TURNS))
    assert bare_page.locator("main *").count() == 0


def test_a_warning_of_every_turn_is_shown_once(open_page):
    turns = [turn(n, "Anna", "angry", warnings=["without text", f"of {n}"]) for n in range(3)]
    page = open_page(document(turns, notes=[], skipped={}))
    assert page.locator(".conversation-notes li").all_inner_texts() == ["every turn: without text"]
    text = page.locator(".conversation-turns > li").nth(1).text_content()
    assert "of 1" in text
    assert "without text" not in text


def test_nobody_speaks(open_page):
    page = open_page(document([], notes=["no speech was found"], skipped={}))
    assert page.locator(".conversation-summary").inner_text() == "call.wav: no speech in 0:06"


def test_a_recording_that_is_linked(open_page, tmp_path, sound):
    (tmp_path / "a call.ogg").write_bytes(sound)
    page = open_page(document(TURNS), link="a%20call.ogg")
    wait_for(page, "document.querySelector('audio').duration > 5")


# -- without a browser -----------------------------------------------------------------------------


def test_the_page_contains_its_document_and_nothing_of_others():
    conversation = document(TURNS, recording=f"{HOSTILE}.wav")
    html = render_page(conversation, sound=b"\x00\xff", media_type="audio/mpeg")
    assert "<script>window" not in html
    assert html.count("</script>") == 4
    content = re.search(r'id="document">(.*?)</script>', html, re.DOTALL)
    assert json.loads(content[1]) == conversation
    samples = re.search(r'id="samples">(.*?)</script>', html)
    assert base64.b64decode(samples[1]) == b"\x00\xff"
    assert not re.search(r"https?://(?!www\.w3\.org)", html)
    assert "unsafe" not in html.partition("<title>")[0]
