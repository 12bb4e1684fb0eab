"""``emotion-recognize serve``: limits as options."""

import math

import pytest
from starlette.testclient import TestClient

from emo_fairseq.cli.__main__ import main
from emo_fairseq.errors import UsageError
from emo_fairseq.serving import serve
from emo_fairseq.serving.app import create_app
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.server import voice_maker


@pytest.fixture
def limits(monkeypatch, model_folder):
    """Return the limits with which a command line starts the server."""
    started = []
    monkeypatch.setattr(serve, "serve", lambda _, options: started.append(options.limits))

    def parse(*words: str) -> Limits:
        assert main(["serve", str(model_folder), *words]) == 0
        return started.pop()

    return parse


def test_each_option_is_a_limit(limits):
    assert limits() == Limits()
    words = (
        "--upload-megabytes 100 --audio-minutes 30 --text-characters 9 --requests-per-second 0.5"
    )
    words += " --burst 3 --threads 1 --queue 5 --answer-seconds 600"
    words += " --live-sessions 2 --live-minutes 5 --live-turn-seconds 10 --live-idle-seconds 7"
    words += " --live-message-bytes 8000 --live-queue 6 --live-resume-seconds 8"
    assert limits(*words.split()) == Limits(
        upload_bytes=100_000_000,
        audio_seconds=1800.0,
        text_characters=9,
        requests_per_second=0.5,
        burst=3,
        threads=1,
        waiting=5,
        held_bytes=400_000_000,  # so that one client may send the largest request
        answer_seconds=600.0,
        live_sessions=2,
        live_seconds=300.0,
        live_turn_seconds=10.0,
        live_idle_seconds=7.0,
        live_message_bytes=8000,
        live_waiting_turns=6,
        live_resume_seconds=8.0,
    )
    assert limits("--upload-megabytes", "0.5").held_bytes == Limits.held_bytes


def test_limits_of_the_command_line_act(limits, predictor, encode, hum):
    bounds = limits("--upload-megabytes", "0.01", "--text-characters", "5", "--burst", "2")
    client = TestClient(create_app(predictor, bounds), base_url="http://localhost")
    large = client.post("/api/predict", files={"audio": encode(hum(2))})
    long = client.post("/api/predict", files={"text": (None, "too long")})
    assert (large.status_code, large.json()["code"]) == (413, "body-too-large")
    assert (long.status_code, long.json()["code"]) == (413, "text-too-long")
    third = client.post("/api/predict", json={"text": "day"})
    assert (third.status_code, third.json()["code"]) == (429, "rate-exceeded")


@pytest.mark.parametrize("words", [["--queue", "0"], ["--audio-minutes", "-1"], ["--burst", "1.5"]])
def test_numbers_that_cannot_be(words, model_folder, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["serve", str(model_folder), *words])
    assert words[0] in capsys.readouterr().err


def test_turns_are_as_long_as_the_model_reads_and_the_detector_divides():
    pytest.importorskip("faster_whisper")

    def of(seconds, **limits):
        return voice_maker(Limits(**limits), seconds).args[0].max_seconds

    assert [of(math.inf), of(8.0), of(0.5)] == [20.0, 8.0, 1.0]
    assert of(math.inf, live_turn_seconds=30.0) == 30.0
    with pytest.raises(UsageError, match="--live-turn-seconds 31: give a number from 1 to 30"):
        of(math.inf, live_turn_seconds=31.0)
