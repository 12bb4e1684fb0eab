"""Videos in requests: predicted as from files, within limits, and decoded by the workers."""

import base64
import io
import threading

import hf_folders
import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient
from talking_faces import write_faces
from video_clips import numbered, write_pictures

from data_prep.commands.tokenize_text import tokenize_with_sentencepiece
from data_prep.schema import read_manifest
from data_prep.video.loading import ClipLoader
from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.serving.api import Api, Request
from emo_fairseq.serving.endpoints import ENDPOINTS
from emo_fairseq.serving.limits import Limits

pytest.importorskip("av")
pytest.importorskip("PIL")

TEXT = "what a lovely day"


@pytest.fixture(scope="module")
def data(toy_corpus, tmp_path_factory):
    root = tmp_path_factory.mktemp("faces")
    hf_folders.build_video(root / "vit", "vit")
    written = write_faces(toy_corpus, root)
    tokenize_with_sentencepiece(written, vocab_size=292)
    return written


@pytest.fixture(scope="module")
def watcher(data, trained_models):
    """A predictor of text, speech and video."""
    encoder = f"--video-encoder hf:{data.parent / 'vit'} --frames-per-second 10"
    options = f"--modality T+A+V --speech-input log_mel {encoder} --fusion concat"
    return load_predictor(trained_models.folder(options, data), "cpu")


@pytest.fixture(scope="module")
def clips(data):
    rows = sorted(read_manifest(data / "test.tsv"), key=lambda row: row.id)
    return [data.parent / "videos" / row.video for row in rows if row.video is not None]


@pytest.fixture(scope="module")
def make_watching(make_app, watcher):
    def make(**limits):
        app = make_app(options={"predictor": watcher}, **limits)
        return TestClient(app, base_url="http://127.0.0.1")

    return make


@pytest.fixture(scope="module")
def watching(make_watching):
    return make_watching()


def in_base64(path):
    return base64.b64encode(path.read_bytes()).decode()


def assert_is(response, prediction):
    assert response["modalities"] == list(prediction.modalities)
    assert response["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-5)


def test_a_clip_is_predicted_as_from_its_file(watching, watcher, clips):
    answer = watching.post("/api/predict", files={"video": clips[0].read_bytes()})
    assert answer.status_code == 200, answer.text
    alone = watcher.predict(video=clips[0])
    assert alone.modalities == ("speech", "video")
    assert_is(answer.json(), alone)
    assert answer.json()["seconds"] == pytest.approx(alone.seconds)
    given = {"video": in_base64(clips[0]), "text": TEXT}
    assert_is(
        watching.post("/api/predict", json=given).json(),
        watcher.predict(None, TEXT, video=clips[0]),
    )


def test_audio_stands_in_for_the_sound_of_a_video(watching, watcher, clips, hum, encode, tmp_path):
    (tmp_path / "hum.wav").write_bytes(encode(hum(1.0)))
    files = {"video": clips[0].read_bytes(), "audio": (tmp_path / "hum.wav").read_bytes()}
    beside = watcher.predict(tmp_path / "hum.wav", video=clips[0])
    assert_is(watching.post("/api/predict", files=files).json(), beside)
    silent = write_pictures(tmp_path / "silent.mkv", numbered(3))
    answer = watching.post("/api/predict", files={"video": silent.read_bytes()}).json()
    assert_is(answer, watcher.predict(video=silent))
    assert answer["modalities"] == ["video"]
    assert answer["seconds"] is None


def test_videos_of_rows_are_predicted_one_by_one(watching, watcher, clips, monkeypatch):
    expected = [watcher.predict(video=clips[0]), watcher.predict(text=TEXT)]
    events, load, predict_items = [], ClipLoader.load, watcher.predict_items

    def note(name, function, *given, **more):
        events.append(name)
        return function(*given, **more)

    monkeypatch.setattr(
        ClipLoader, "load", lambda *given, **more: note("load", load, *given, **more)
    )
    monkeypatch.setattr(
        watcher,
        "predict_items",
        lambda *given, **more: note("predict", predict_items, *given, **more),
    )
    video = in_base64(clips[0])
    inputs = [{"video": video}, {"text": TEXT}, {"video": "AAAA"}, {"video": video}]
    answer = watching.post("/api/predict", json={"inputs": inputs})
    first, second, third, fourth = answer.json()["predictions"]
    assert_is(first, expected[0])
    assert_is(second, expected[1])
    assert third["code"] == "video-unreadable"
    assert_is(fourth, expected[0])
    assert events == ["load", "predict", "load", "predict", "predict"]


def test_videos_of_a_form_are_rows(watching, watcher, clips):
    videos = [("videos", clip.read_bytes()) for clip in clips[:2]]
    texts = [("texts", (None, text)) for text in (TEXT, "")]
    found = watching.post("/api/predict", files=[*videos, *texts]).json()["predictions"]
    assert_is(found[0], watcher.predict(None, TEXT, video=clips[0]))
    assert_is(found[1], watcher.predict(video=clips[1]))
    refused = watching.post("/api/predict", files=[*videos, texts[0]])
    assert (refused.status_code, refused.json()["code"]) == (400, "rows-unequal")
    assert "2 videos and 1 texts" in refused.json()["error"]


def test_the_model_is_described_with_its_limits(make_watching):
    model = make_watching(video_seconds=60.0, video_frames=50).get("/api/model").json()
    assert model["modalities"] == ["text", "speech", "video"]
    limits = model["limits"]
    assert (limits["video_seconds"], limits["video_frames"]) == (60.0, 50)
    assert limits["video_pixels"] == 9_000_000


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"video_pixels": 96 * 96 - 1}, "picture-too-large"),
        ({"video_seconds": 0.2}, "video-too-long"),
        ({"video_frames": 3}, "video-too-many-frames"),
        ({"audio_seconds": 0.2}, "audio-too-long"),
        ({"upload_bytes": 2000}, "body-too-large"),
    ],
)
def test_a_video_beyond_a_limit_is_refused(make_watching, clips, limits, code):
    answer = make_watching(**limits).post("/api/predict", files={"video": clips[0].read_bytes()})
    assert (answer.status_code, answer.json()["code"]) == (413, code)
    error = answer.json()["error"]
    assert "limit" in error
    assert (error[0].isupper(), error[-1]) == (True, "."), error


def test_the_videos_of_all_rows_are_limited(make_watching, clips, watcher):
    seconds = watcher.predict(video=clips[0]).seconds
    videos = [("videos", clips[0].read_bytes())] * 3
    answer = make_watching(video_seconds=1.5 * seconds).post("/api/predict", files=videos)
    codes = [row.get("code") for row in answer.json()["predictions"]]
    assert codes == [None, "video-too-long", "video-too-long"]


def mpeg():
    """The content of an MPEG transport stream, whose header has no size of pictures."""
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as output:
        stream = output.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        gray = np.full((48, 64, 3), 90, np.uint8)
        output.mux(stream.encode(av.VideoFrame.from_ndarray(gray, format="rgb24")))
        output.mux(stream.encode(None))
    return file.getvalue()


def test_what_is_no_video_is_refused(watching, client, clips, hum, encode):
    whole = clips[0].read_bytes()
    for content, status, code in (
        (b"no video at all", 415, "video-unreadable"),
        (encode(hum(1.0)), 415, "video-unreadable"),
        (mpeg(), 415, "video-unreadable"),
        (whole[: len(whole) // 2], 415, "video-unreadable"),
        (b"", 400, "video-empty"),
    ):
        answer = watching.post("/api/predict", files={"video": content})
        assert answer.status_code == status, answer.text
        assert answer.json()["code"] == code
    answer = watching.post("/api/predict", json={"video": "not base64!"})
    assert (answer.status_code, answer.json()["code"]) == (400, "video-not-base64")
    answer = watching.post("/api/predict", json={"video": 5})
    assert (answer.status_code, answer.json()["code"]) == (400, "video-in-json")
    # Of another model, and at other addresses.
    answer = client.post("/api/predict", files={"video": clips[0].read_bytes()})
    assert (answer.status_code, answer.json()["code"]) == (422, "modality-not-read")
    answer = watching.post("/api/explain", files={"video": clips[0].read_bytes()})
    assert (answer.status_code, answer.json()["code"]) == (400, "field-unknown")


def test_videos_are_decoded_by_the_threads_that_compute(serve, watcher, clips, monkeypatch):
    names, load = [], ClipLoader.load

    def note(*given, **more):
        names.append(threading.current_thread().name)
        return load(*given, **more)

    monkeypatch.setattr(ClipLoader, "load", note)
    with serve(options={"predictor": watcher}) as port:
        files = {"video": clips[0].read_bytes()}
        answer = httpx.post(
            f"http://127.0.0.1:{port}/api/predict", files=files, timeout=60, verify=False
        )
    assert answer.status_code == 200
    assert [name.startswith("predictor") for name in names] == [True]


def test_the_decoding_stops_with_its_request(watcher, clips):
    request = Request({"video": clips[0].read_bytes()})
    polls = []

    def should_stop():
        polls.append(None)
        return len(polls) == 4

    (result,) = Api(watcher, Limits()).handle(ENDPOINTS["predict"], [request], should_stop)
    assert (result.status, result.code) == (503, "computation-stopped")
    assert len(polls) == 4


def test_a_clip_is_shown_and_predicted_on_the_page(open_page, browser, serve, watcher, clips):
    with (
        serve(options={"predictor": watcher}) as port,
        open_page(browser, port) as page,
    ):
        assert page.locator("#title").inner_text() == "Emotion in speech, text and video"
        assert page.locator("#audio-heading").inner_text() == "Speech or video"
        page.locator("#file").set_input_files(clips[0])
        page.locator("#status", has_text="Done").wait_for()
        assert not page.locator("#problem").is_visible()
        assert (
            page.locator(".headline .label").inner_text() == watcher.predict(video=clips[0]).label
        )
        assert "From the speech and the video." in page.locator("#prediction").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
