"""Graphs in the browser: examples/javascript/index.html predicts what the model does.

`make test-node` installs what that needs under build/node. Here nothing is installed.
"""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from headless_browser import BROWSER, launch_browser, watched_page

from data_prep.audio.loading import load_audio
from data_prep.schema import read_manifest
from emo_fairseq.export.onnx import export_onnx
from emo_fairseq.inference.predictor import EmotionPredictor

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = Path(os.environ.get("EMO_FAIRSEQ_NODE", REPOSITORY / "build" / "node"))
PAGE = REPOSITORY / "examples" / "javascript"
BOTH = "--modality text+speech --speech-input log_mel"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the page and its packages, as its first comment has it made."""
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome on this machine")
    if not (MODULES / "node_modules" / "onnxruntime-web").is_dir():
        pytest.skip(f"no onnxruntime-web in {MODULES}: make test-node installs it")
    site = tmp_path / "site"
    site.mkdir()
    (site / "node_modules").symlink_to(MODULES / "node_modules")
    for name in ("index.html", "model.mjs"):
        shutil.copy(PAGE / name, site)
    return site


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()


def read_scores(page: Any) -> dict[str, float]:
    """Press the button, and return what the table then shows."""
    page.locator("#scores").evaluate("table => table.replaceChildren()")
    page.get_by_role("button", name="Predict").click()
    page.locator("#scores tr").first.wait_for()
    assert page.locator("#status").inner_text() == "Done."
    rows = page.locator("#scores tr").all()
    return {row.locator("th").inner_text(): _score(row) for row in rows}


def _score(row: Any) -> float:
    score: float = row.locator("meter").evaluate("meter => meter.value")
    assert row.locator("td").last.inner_text() == f"{score:.4f}"
    return score


def test_the_page_predicts_what_the_model_does(
    trained_models: Any, toy_corpus: Path, site: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained_models.folder(BOTH), tmp_path / "model"))
    export_onnx(folder, check=1)
    (site / "model").symlink_to(folder)
    row = read_manifest(toy_corpus / "test.tsv")[0]
    wav = tmp_path / "recording.wav"
    samples = np.asarray(load_audio(toy_corpus / str(row.audio)))
    soundfile.write(wav, samples, 16_000, subtype="FLOAT")
    model = EmotionPredictor.from_pretrained(folder, onnx=False)

    with launch_browser() as browser, served(site) as address:
        for audio, text in ((wav, row.text), (None, row.text), (wav, None)):
            with watched_page(browser, address) as page:
                page.get_by_text("Ready.").wait_for()
                page.get_by_label("Text").fill(text or "")
                page.get_by_label("Recording").set_input_files([audio] if audio else [])
                found = read_scores(page)
                expected = model.predict(audio, text).probabilities
                assert found == pytest.approx(expected, abs=1e-4)
                if picture := os.environ.get("EMO_FAIRSEQ_SCREENSHOTS"):
                    name = "+".join(n for n, x in (("text", text), ("speech", audio)) if x)
                    page.screenshot(path=Path(picture) / f"browser-{name}.png")
