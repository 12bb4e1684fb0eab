"""The conversation of an upload: its turns, their emotions, and what is refused."""

import httpx
import numpy as np
import pytest
from leaving_client import post_and_leave
from queue_meter import PATIENCE

from data_prep.segmentation.formats import read_segmentation

TURNS = "start,end,speaker,text\n0.5,1.5,ann,what a day\n2,3.25,ben,\n"


@pytest.fixture
def post(client, hum, encode):
    def send(turns=TURNS, audio=None, **fields):
        files = {"audio": encode(hum(4)) if audio is None else audio}
        if turns is not None:
            files["turns"] = turns.encode() if isinstance(turns, str) else turns
        return client.post("/api/conversation", files=files, data=fields)

    return send


def test_turns_of_a_file_are_predicted(post, predictor, hum, encode, tmp_path):
    document = post(recording="call.wav").json()
    assert (document["recording"], document["seconds"]) == ("call.wav", 4.0)
    assert document["labels"] == list(predictor.labels)
    recording, turns = tmp_path / "call.wav", tmp_path / "call.csv"
    recording.write_bytes(encode(hum(4)))
    turns.write_text(TURNS)
    expected = predictor.predict_segments(recording, read_segmentation(turns).turns)
    assert len(document["turns"]) == len(expected) == 2
    for turn, segment in zip(document["turns"], expected, strict=True):
        assert (turn["start"], turn["end"]) == (segment.start, segment.end)
        assert turn["speaker"] == segment.speaker
        assert turn["label"] == segment.prediction.label
        assert turn["error"] is None
        expectation = dict(segment.prediction.probabilities)
        assert turn["probabilities"] == pytest.approx(expectation, abs=1e-5)
    assert [turn["text"] for turn in document["turns"]] == ["what a day", None]


def test_formats_are_named_and_recordings_chosen(post):
    line = "SPEAKER {} 1 {} 1.0 <NA> <NA> ann <NA> <NA>\n"
    rttm = line.format("call", 0.5) + line.format("other", 1.5)
    document = post(rttm, turns_format="rttm", recording="call.wav").json()
    assert [turn["start"] for turn in document["turns"]] == [0.5]
    assert document["skipped"] == {"turns of other recordings": 1}


def test_silence_has_no_turns(post, encode):
    pytest.importorskip("faster_whisper")
    document = post(None, encode(np.zeros(32_000, np.float32) + 1e-4)).json()
    assert document["turns"] == []


REFUSED = [
    # turns, fields, status, code, words of the message
    ("a,b\n1,2\n", {}, 422, "column-missing", "the file of turns: no column"),
    ("start,end\n1,0.5\n", {}, 422, "turn-times-invalid", "not after the start"),
    ("", {}, 422, "column-missing", "the file of turns"),
    (TURNS, {"turns_format": "zip"}, 400, "field-out-of-range", "one of rttm,"),
    (None, {"speakers": "many"}, 400, "field-out-of-range", "one of none, auto"),
    (None, {"speakers": "0"}, 400, "field-out-of-range", "one of none, auto"),
    (TURNS, {"speakers": "2"}, 422, "option-idle", "names its own"),
    (TURNS, {"text": "a day"}, 422, "text-not-read", "a text for each turn"),
    (TURNS, {"recording": "a" * 300}, 413, "text-too-long", "limit is 255"),
]


@pytest.mark.parametrize(("turns", "fields", "status", "code", "words"), REFUSED)
def test_what_cannot_be_used_is_refused(post, turns, fields, status, code, words):
    response = post(turns, **fields)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert words in response.json()["error"]


def test_requests_without_audio_are_refused(client):
    response = client.post("/api/conversation", files={"turns": TURNS.encode()})
    assert (response.status_code, response.json()["code"]) == (422, "input-missing")
    response = client.post("/api/conversation", json={"turns": TURNS})
    assert (response.status_code, response.json()["code"]) == (400, "file-in-json")


def test_length_and_number_of_turns_are_limited(make_client, hum, encode):
    client = make_client(audio_seconds=3.0, segments=1)
    files = {"audio": encode(hum(4)), "turns": TURNS.encode()}
    response = client.post("/api/conversation", files=files)
    assert (response.status_code, response.json()["code"]) == (413, "audio-too-long")
    files["audio"] = encode(hum(2))
    response = client.post("/api/conversation", files=files)
    assert (response.status_code, response.json()["code"]) == (422, "turns-too-many")


def test_computation_stops_once_the_client_has_left(serve, until_stopped, hum, encode):
    begun, sizes = until_stopped
    turns = "start,end\n" + "".join(f"{n / 10},{n / 10 + 0.1}\n" for n in range(300))
    files = {"audio": encode(hum(31)), "turns": turns.encode()}
    with serve(threads=1) as port:
        post_and_leave(port, "/api/conversation", begun, files=files)
        address = f"http://127.0.0.1:{port}/api/predict"
        text = httpx.post(address, json={"text": "a day"}, timeout=PATIENCE, verify=False)
        assert text.status_code == 200
        assert sizes == [32, 1]
