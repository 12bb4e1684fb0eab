"""The page in a real browser: input, predictions, explanations and errors."""

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_prep.segmentation.turn import Turn
from emo_fairseq.cli.analyze.rows import as_csv, columns_of


@pytest.fixture
def recording(tmp_path, hum, encode) -> Path:
    (tmp_path / "recording.wav").write_bytes(encode(hum(2)))
    return tmp_path / "recording.wav"


def numbers(page):
    """Return the values beside the bars, in percent or as they are."""
    return [
        float(text.rstrip(" %")) for text in page.locator("#prediction .number").all_inner_texts()
    ]


def test_a_dropped_file_is_predicted_and_explained(page, finished, recording, predictor):
    page.evaluate(
        """(bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "dropped.wav"));
            document.getElementById("drop").dispatchEvent(
                new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: data }));
        }""",
        list(recording.read_bytes()),
    )
    finished()
    expected = predictor.predict(recording)
    assert page.locator(".headline .label").inner_text() == expected.label
    shown = [*expected.probabilities.values(), *expected.auxiliary["vad"].values()]
    percents = [round(100 * p, 1) for p in expected.probabilities.values()]
    axes = [round(value, 2) for value in expected.auxiliary["vad"].values()]
    headline, *bars = numbers(page)
    assert headline == max(percents)
    assert bars == pytest.approx([*percents, *axes], abs=0.051)
    assert len(bars) == len(shown)
    assert page.locator(".plane svg .point").count() == 1
    page.locator("#segments rect").first.wait_for()
    assert page.locator("#segments rect").count() == 8  # 2 s in quarters
    assert page.locator("#wave path").count() == 1
    assert not page.locator("#timeline-part").is_visible()

    page.get_by_label("Text").fill("what a <b>lovely</b> day")
    page.get_by_role("button", name="Recognize").click()
    page.locator("#explanation-part .word").first.wait_for()
    finished()
    assert page.locator(".word").all_inner_texts() == ["what", "a", "<b>lovely</b>", "day"]
    assert "the text and the speech" in page.locator("#prediction").inner_text()
    both = predictor.predict(recording, "what a <b>lovely</b> day")
    assert numbers(page)[0] == pytest.approx(100 * max(both.probabilities.values()), abs=0.051)


def test_errors_are_shown_as_sentences(page, finished, tmp_path, recording):
    page.get_by_role("button", name="Recognize").click()
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text() == "There is nothing to recognize yet."
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF" + bytes(400))
    page.get_by_label("Text").fill("a day")
    page.get_by_role("button", name="Recognize").click()
    finished()
    assert page.locator(".headline").count() == 1
    page.locator("#file").set_input_files(broken)
    page.get_by_role("alert").filter(has_text="not an audio file that can be read").wait_for()
    assert page.locator(".headline").count() == 0  # the earlier prediction is not the new file's
    page.locator("#file").set_input_files(recording)
    finished()


def test_long_audio_is_shown_as_a_timeline(page, finished, tmp_path, hum, encode):
    long = tmp_path / "long.wav"
    long.write_bytes(encode(hum(30)))
    page.locator("#file").set_input_files(long)
    page.locator("#timeline-part").wait_for()
    finished()
    assert "reads the first 20 of its 30 seconds" in page.locator("#prediction").inner_text()
    assert page.locator("#timeline .cell").count() == 4 * 14  # labels, windows of 4 s every 2 s
    page.locator(".runs button").first.click()
    page.locator("#segments rect").first.wait_for()
    finished()
    page.get_by_text("Values of the windows").click()
    assert page.locator("#timeline tbody tr").count() == 14


def test_a_recording_of_the_microphone_is_predicted(page, finished):
    """Of Chromium's made-up microphone; it records WebM, which the server would not read."""
    page.get_by_role("button", name="Record").click()
    stop = page.get_by_role("button", name="Stop")
    stop.wait_for()
    page.wait_for_timeout(800)
    stop.click()
    finished()
    assert page.locator("#sound-name").inner_text().startswith("Recording, 0:0")
    assert page.locator("#prediction .label").count() == 1


def test_values_outside_their_scale_and_truncations_are_shown(page, finished):
    def change(route):
        answer = route.fetch()
        content = answer.json()
        content["auxiliary"]["vad"] = {"valence": 1.234, "arousal": 0.5, "dominance": 1.004}
        content["truncated"] = ["The text is too long for the model."]
        route.fulfill(response=answer, json=content)

    page.route("**/api/predict", change)
    page.get_by_label("Text").fill("a day")
    page.get_by_role("button", name="Recognize").click()
    finished()
    beyond = "valence 1.23 is outside the scale from 0 to 1; it is drawn at the end of the scale."
    label = page.locator(".plane svg").get_attribute("aria-label")
    assert label == f"Valence 1.23, arousal 0.50, on scales from 0 to 1. {beyond}"
    shown = page.locator("#prediction").inner_text()
    assert beyond in shown
    assert shown.count("is outside") == 1  # 1.004 is shown as 1.00
    assert "From the text. The text is too long for the model." in shown


def test_times_carry_and_aac_is_no_mp3(page):
    times = {0.97: "0:01", 3.9999: "0:04", 3.96: "0:04", 3.94: "0:03.9", 0.04: "0:00"}
    times |= {0.1 + 0.2: "0:00.3", 59.96: "1:00", 60.9: "1:00", 119.97: "2:00", 600: "10:00"}
    modules = "Promise.all(['elements', 'audio'].map((m) => import(`/static/${m}.js`)))"
    found = page.evaluate(f"(times) => {modules}.then(([m]) => times.map(m.clock))", list(times))
    assert found == list(times.values())
    starts = ["\xff\xfb", "\xff\xf3", "\xff\xe3", "RIFF", "\xff\xf1", "\xff\xf9", "\xff\xfe"]
    known = page.evaluate(f"(starts) => {modules}.then(([, m]) => starts.map(m.isKnown))", starts)
    assert known == [True, True, True, True, False, False, False]


def test_it_is_used_by_keyboard_and_every_control_has_a_name(page, finished):
    page.get_by_label("Text").focus()
    page.keyboard.type("what a day")
    page.keyboard.press("Control+Enter")
    finished()
    assert page.locator("#prediction .label").count() == 1
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, input, textarea, audio, svg, summary")]
            .filter((e) => !e.labels?.length && !e.getAttribute("aria-label"))
            .filter((e) => !e.textContent.trim())
            .map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_an_upload_is_shown_as_a_conversation(page, finished, recording, predictor, tmp_path):
    turns = tmp_path / "turns.csv"
    turns.write_text("start,end,speaker\n0.2,0.9,ann\n1.0,1.8,ben\n")
    page.locator("#file").set_input_files(recording)
    finished()
    page.get_by_text("As a conversation").click()
    page.get_by_label("File with the turns").set_input_files(turns)
    page.get_by_role("button", name="Show the conversation").click()
    page.locator("#conversation .conversation-turns > li").nth(1).wait_for()
    finished()
    shown = page.locator("#conversation")
    assert "recording.wav · 2 turns · 2 speakers" in shown.inner_text()
    assert shown.locator("audio").get_attribute("src").startswith("blob:")
    with page.expect_download() as download:
        page.locator("#conversation-csv").click()
    assert download.value.suggested_filename == "recording.csv"
    rows = download.value.path().read_text().splitlines()
    axes = ("valence", "arousal", "dominance")
    model = SimpleNamespace(labels=predictor.labels, axes=axes, turns=())
    assert rows[0].split(",") == columns_of(model)
    assert [row.split(",")[:4] for row in rows[1:]] == [
        ["recording.wav", "0.2", "0.9", "ann"],
        ["recording.wav", "1", "1.8", "ben"],
    ]

    turns.rename(tmp_path / "turns.docx")
    page.get_by_label("File with the turns").set_input_files(tmp_path / "turns.docx")
    page.get_by_role("button", name="Show the conversation").click()
    page.get_by_role("alert").filter(has_text="turns.docx is no file of turns").wait_for()
    page.get_by_role("button", name="Remove").click()
    assert not page.locator("#conversation-part").is_visible()


@pytest.mark.parametrize("channel", [None, 1])
def test_a_table_that_is_saved_is_that_of_analyze(page, predictor, recording, channel):
    ends = [(Decimal("0.2"), Decimal("0.9")), (Decimal("1.1"), Decimal("1.8"))]
    turns = [Turn(*ends[0], "ann", 'So "glad", ann!', channel=channel), Turn(*ends[1], None)]
    conversation = predictor.conversation(recording, turns)
    saved = page.evaluate(
        "async (document) => (await import('/static/save.js')).toCsv(document)",
        conversation.to_document(),
    )
    assert saved == as_csv(conversation)
