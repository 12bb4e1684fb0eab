"""One tiny trained model that hears and reads, behind an application or a real port."""

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pytest
import soundfile
import uvicorn
from starlette.testclient import TestClient

from emo_fairseq.inference.opening import load_recogniser
from emo_fairseq.serving.about import about_model
from emo_fairseq.serving.app import create_app
from emo_fairseq.serving.limits import Limits

MODEL = "--modality text+speech --speech-input log_mel --auxiliary-targets vad"
PATIENT = {"requests_per_second": 1000.0, "burst": 1000}


@pytest.fixture(scope="session")
def model_folder(trained_models: Any) -> Any:
    return trained_models.folder(MODEL)


@pytest.fixture(scope="session")
def recogniser(model_folder: Any) -> Any:
    return load_recogniser(model_folder, "cpu")


@pytest.fixture(scope="session")
def make_app(recogniser: Any, model_folder: Any) -> Callable[..., Any]:
    """The application with these limits; many requests, if nothing is said of them."""

    def make(**limits: Any) -> Any:
        return create_app(recogniser, Limits(**{**PATIENT, **limits}), about_model(model_folder))

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
    def start(**limits: Any) -> Iterator[int]:
        with closing(socket.socket()) as listening:
            listening.bind(("127.0.0.1", 0))
            config = uvicorn.Config(make_app(**limits), log_level="warning", ws="none")
            server = uvicorn.Server(config)
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
