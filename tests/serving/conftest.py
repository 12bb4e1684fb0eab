"""A tiny trained model of speech and text, behind an application, a port or a browser.

Clients of httpx are made with ``verify=False``: each would read all certificates first, 40 ms.
"""

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import numpy as np
import pytest
import soundfile
from headless_browser import launch_browser, watched_page
from queue_meter import PATIENCE
from starlette.testclient import TestClient
from trained_models import load_with_options

from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.serving.app import create_app
from emo_fairseq.serving.concurrency import Job
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.model_description import read_description
from emo_fairseq.serving.server import Server, server_config

MODEL = "--modality text+speech --speech-input log_mel --auxiliary-targets vad"
PATIENT = {"requests_per_second": 1000.0, "burst": 1000}
MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="session")
def model_folder(trained_models: Any) -> Any:
    return trained_models.folder(MODEL)


@pytest.fixture(scope="session")
def predictor(model_folder: Any) -> Any:
    return load_predictor(model_folder, "cpu")


@pytest.fixture
def narrow(predictor: Any, model_folder: Any, monkeypatch: Any) -> Callable[..., None]:
    """Lower limits of the model's input until the test ends."""

    def change(**limits: Any) -> None:
        other = load_with_options(model_folder, **limits)
        monkeypatch.setattr(predictor.engine, "preprocessor", other.engine.preprocessor)

    return change


@pytest.fixture
def until_stopped(predictor: Any, monkeypatch: Any) -> tuple[threading.Event, list[int]]:
    """The first batch takes until a request is stopped: it has begun; the sizes of all batches."""
    forward, stop = predictor.engine.forward, Job.stop
    begun, stopped, sizes = threading.Event(), threading.Event(), []

    def compute(net_input: Any) -> Any:
        begun.set()
        assert stopped.wait(PATIENCE)
        output = forward(net_input)
        sizes.append(len(output.logits))
        return output

    def note(job: Job) -> None:
        stop(job)
        stopped.set()

    monkeypatch.setattr(predictor.engine, "forward", compute)
    monkeypatch.setattr(Job, "stop", note)
    return begun, sizes


@pytest.fixture(scope="session")
def make_app(predictor: Any, model_folder: Any) -> Callable[..., Any]:
    """Return a function that makes the application with limits; by default many requests."""

    def make(
        transcriber: Any = None, make_voice: Any = None, options: Any = None, **limits: Any
    ) -> Any:
        bounds, about = Limits(**{**PATIENT, **limits}), read_description(model_folder)
        given = {"transcriber": transcriber, "make_voice": make_voice, **(options or {})}
        return create_app(given.pop("predictor", predictor), bounds, about, **given)

    return make


@pytest.fixture(scope="session")
def make_client(make_app: Callable[..., Any]) -> Callable[..., TestClient]:
    def make(**limits: Any) -> TestClient:
        return TestClient(make_app(**limits), base_url="http://127.0.0.1")

    return make


@pytest.fixture(scope="session")
def client(make_client: Callable[..., TestClient]) -> TestClient:
    return make_client()


@pytest.fixture(scope="session")
def serve(make_app: Callable[..., Any]) -> Callable[..., Any]:
    """A context: the application on a free port of this machine, which it yields."""

    @contextmanager
    def start(
        transcriber: Any = None, make_voice: Any = None, options: Any = None, **limits: Any
    ) -> Iterator[Any]:
        with closing(socket.socket()) as listening:
            listening.bind(("127.0.0.1", 0))
            app = make_app(transcriber, make_voice, options, **limits)
            at_port = server_config(app, "127.0.0.1", 0, Limits(**limits))
            server = Server(at_port, app.state.lifecycle)
            sockets = {"sockets": [listening]}
            thread = threading.Thread(target=server.run, kwargs=sockets, daemon=True)
            thread.start()
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            try:
                yield listening.getsockname()[1]
            finally:
                server.should_exit = True
                thread.join(20)

    return start


@pytest.fixture(scope="session")
def hum() -> Callable[..., np.ndarray]:
    """(T,) of a voice that swells and changes its pitch."""

    def make(seconds: float, rate: int = 16_000) -> np.ndarray:
        t = np.arange(round(seconds * rate)) / rate
        swell = 0.3 + 0.2 * np.sin(2 * np.pi * 0.7 * t)
        return (swell * np.sin(2 * np.pi * (140 * t + 20 * np.sin(t)))).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Samples as the bytes of an audio file."""

    def write(samples: np.ndarray, rate: int = 16_000, kind: str = "WAV", **more: Any) -> bytes:
        file = io.BytesIO()
        soundfile.write(file, samples, rate, format=kind, **more)
        return file.getvalue()

    return write


# -- the page --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def launch() -> Callable[..., Any]:
    """A context: a real browser; the test is skipped where there is none."""

    def start(*switches: str) -> AbstractContextManager[Any]:
        return launch_browser(*MICROPHONE, *switches)

    return start


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Any]) -> Iterator[Any]:
    with launch() as browser:
        yield browser


@pytest.fixture(scope="module")
def port(browser: Any, serve: Callable[..., Any]) -> Iterator[int]:
    with serve() as port:
        yield port


@pytest.fixture(scope="session")
def open_page() -> Callable[..., Any]:
    """A context: the opened page; see :func:`headless_browser.watched_page`."""

    @contextmanager
    def start(browser: Any, port: int, width: int = 375) -> Iterator[Any]:
        with watched_page(browser, f"http://127.0.0.1:{port}", width) as page:
            page.locator("#recognize:enabled").wait_for()
            yield page

    return start


@pytest.fixture
def page(open_page: Callable[..., Any], browser: Any, port: int) -> Iterator[Any]:
    with open_page(browser, port) as page:
        yield page


@pytest.fixture
def finished(page: Any) -> Callable[[], None]:
    def wait() -> None:
        page.locator("#status", has_text="Done").wait_for()
        assert not page.locator("#problem").is_visible()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 375, "scrolls sideways"

    return wait


@pytest.fixture
def voices(hum: Callable[..., Any], encode: Callable[..., bytes]) -> Callable[[int], Any]:
    """Files as playwright takes them, by their length in seconds."""

    def make(seconds: int) -> dict[str, Any]:
        return {
            "name": f"{seconds}.wav",
            "mimeType": "audio/wav",
            "buffer": encode(hum(seconds)),
        }

    return make
