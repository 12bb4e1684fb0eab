"""Timelines of the page: files that are saved, shades, names of recordings, and languages."""

import csv
import io
import itertools
import re
from pathlib import Path

import pytest
from headless_browser import new_page

from data_prep.segmentation.formats import read_segmentation
from emo_fairseq.serving.app import STATIC

LONG_NAME = (
    "<img src=x onerror=alert(1)> " + "very_long_" * 18 + "\u202egpj.\u05e9\u05dc\u05d5\u05dd.wav"
)


@pytest.fixture(scope="module")
def long_page(browser, port, open_page, hum, encode):
    """Return the page with the timeline of 24 s of a recording with a hard name."""
    with open_page(browser, port) as page:
        file = {"name": LONG_NAME, "mimeType": "audio/wav", "buffer": encode(hum(24))}
        page.locator("#file").set_input_files(file)
        page.locator("#timeline-part").wait_for()
        page.locator("#status", has_text="Done").wait_for()
        yield page


def saved(page, button):
    with page.expect_download() as download:
        page.locator(button).click()
    name = download.value.suggested_filename
    return name, Path(download.value.path()).read_text(encoding="utf-8")


def test_a_name_is_text_and_fits_the_page(long_page):
    name = long_page.locator("#sound-file")
    plain = LONG_NAME.replace("\u202e", "")  # after which it would seem to be a .jpg
    assert name.get_attribute("title") == plain
    assert name.inner_text() == f"{plain[:50]}…{plain[-20:]}"
    assert name.evaluate("(e) => e.tagName") == "BDI"  # its direction is its own
    assert long_page.locator("#sound img").count() == 0
    assert long_page.evaluate("document.documentElement.scrollWidth") <= 375
    remove = long_page.locator("#remove").bounding_box()
    assert remove["x"] + remove["width"] <= 375
    assert remove["width"] > 40


def test_a_timeline_is_saved_as_a_table(long_page, predictor):
    name, content = saved(long_page, "#timeline-csv")
    assert len(name) <= 100
    assert not set(name) & set('<>"/\\:|?*\u202e')
    rows = list(csv.DictReader(io.StringIO(content)))
    assert list(rows[0]) == [
        *("recording", "start", "end", "emotion", "confidence"),
        *(f"probability_{label}" for label in predictor.labels),
    ]
    assert {row["recording"] for row in rows} == {LONG_NAME}
    assert [float(row["start"]) for row in rows] == [2.0 * n for n in range(11)]
    for row in rows:
        values = {label: float(row[f"probability_{label}"]) for label in predictor.labels}
        assert sum(values.values()) == pytest.approx(1, abs=1e-4)
        assert row["emotion"] == max(values, key=values.get)
        assert float(row["confidence"]) == max(values.values())


def test_a_timeline_is_saved_as_a_textgrid(long_page, tmp_path):
    _, table = saved(long_page, "#timeline-csv")
    _, content = saved(long_page, "#timeline-textgrid")
    (tmp_path / "a.TextGrid").write_text(content, encoding="utf-8")
    turns = read_segmentation(tmp_path / "a.TextGrid", kind="textgrid").turns
    times = [(float(turn.start), float(turn.end)) for turn in turns]
    assert times[0][0] == 0
    assert times[-1][1] == 24
    assert all(one[1] == other[0] for one, other in itertools.pairwise(times))
    for row in csv.DictReader(io.StringIO(table)):
        start = float(row["start"])
        (turn,) = [turn for turn in turns if turn.start <= start < turn.end]
        assert turn.text == row["emotion"]


def test_names_of_emotions_are_shown_in_a_language_and_saved_as_they_are(long_page, predictor):
    shown = long_page.locator("#prediction .bars th")
    own = shown.all_inner_texts()[: len(predictor.labels)]
    assert own == list(predictor.labels)
    before = saved(long_page, "#timeline-csv"), saved(long_page, "#timeline-textgrid")
    long_page.get_by_label("Names of emotions").select_option("de")
    german = shown.all_inner_texts()[: len(predictor.labels)]
    assert german != own
    assert set(german) <= {"Ärger", "Freude", "Trauer", "neutral", "Angst", "Ekel", "Überraschung"}
    assert any(name in long_page.locator(".runs").inner_text() for name in german)
    assert (saved(long_page, "#timeline-csv"), saved(long_page, "#timeline-textgrid")) == before
    long_page.get_by_label("Names of emotions").select_option("")
    assert shown.all_inner_texts()[: len(predictor.labels)] == own


def test_unknown_labels_keep_their_names(page):
    names = page.evaluate(
        """import("/static/labels.js").then(({ setLanguage, shown }) => {
            setLanguage("de");
            return ["happy", "ANG", "class_7", "constructor", "__proto__", "toString"].map(shown);
        })"""
    )
    assert names == ["Freude", "Ärger", "class 7", "constructor", "  proto  ", "toString"]


def test_a_textgrid_of_numbers_has_a_tier_for_each(page, tmp_path):
    content = page.evaluate(
        """import("/static/timeline_files.js").then(({ timelineToTextGrid }) => timelineToTextGrid({
            seconds: 5, segments: [[0, 4, 0.25], [1, 5, 0.75]].map(([start, end, valence]) => ({
                start, end, label: null, probabilities: {}, values: { valence, 'a"b': 1 } })) }))"""
    )
    assert re.findall(r'name = "(.*)"', content) == ["valence", 'a""b']
    assert re.findall(r'text = "(.*)"', content) == ["0.25", "0.75", "1"]
    assert re.findall(r"xmax = (\S+)", content) == ["5", "5", "1", "5", "5", "5"]


def luminance(color):
    """WCAG 2's relative luminance of #rrggbb."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_on_the_shades_are_legible(scheme):
    """WCAG 2, level AA: 4.5 to 1; and each shade differs from the next."""
    light, _, dark = (STATIC / "style.css").read_text().partition("prefers-color-scheme: dark")
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", {"light": light, "dark": dark}[scheme]))
    shades = [colors[f"heat-{step}"] for step in range(6)]
    for step, shade in enumerate(shades):
        text = colors["on-weak-heat" if step < 4 else "on-strong-heat"]
        assert contrast(text, shade) >= 4.5, step
    assert all(contrast(one, other) >= 1.2 for one, other in itertools.pairwise(shades))


def test_the_description_of_the_api_is_shown(browser, port):
    page = new_page(browser, 390)
    problems, asked = [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"http://127.0.0.1:{port}/docs")
    page.get_by_role("heading", name="POST /api/predict").wait_for()
    assert page.locator("#schema-Prediction").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert problems == []
    assert all(url.startswith(f"http://127.0.0.1:{port}/") for url in asked)
    page.close()


def test_a_server_with_tokens_asks_the_page_for_one(browser, serve):
    token = "0123456789abcdef+/"
    with serve(options={"tokens": [token]}) as port:
        page = new_page(browser)
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_label("This server needs a token").fill("wrong-token-0000")
        page.get_by_role("button", name="Continue").click()
        page.locator("#token-problem", has_text="none of this server").wait_for()
        page.get_by_label("This server needs a token").fill(token)
        page.keyboard.press("Enter")
        page.locator("#recognize:enabled").wait_for()
        page.get_by_label("Text").fill("a day")
        page.keyboard.press("Control+Enter")
        page.locator("#status", has_text="Done").wait_for()
        assert page.locator("#prediction .label").count() == 1
        page.close()
