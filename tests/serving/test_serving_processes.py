"""``emotion-recognize serve`` as a process, and as several on one port."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from emo_fairseq.export.onnx import export_onnx


@pytest.fixture(scope="module")
def graph_folder(trained_models, tmp_path_factory):
    """A folder of a text model with its graph, which is loaded without torch."""
    folder = tmp_path_factory.mktemp("served") / "model"
    shutil.copytree(trained_models.folder("--modality text"), folder)
    export_onnx(folder, check=1)
    return folder


PROGRAM = """
import sys
for library in ("torch", "fairseq", "omegaconf", "hydra", "transformers", "sklearn", "scipy"):
    sys.modules[library] = None
from emo_fairseq.cli.__main__ import main
if __name__ == "__main__":
    sys.exit(main())
"""


@contextmanager
def serving(folder, tmp_path, *words, **environment):
    """Run the command where torch cannot be imported, until it listens; yield process and port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    log = tmp_path / "stderr"
    prefixed = {f"EMO_FAIRSEQ_SERVE_{name}": value for name, value in environment.items()}
    command = [sys.executable, program, "serve", folder, "--port", str(port), *words]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, env={**os.environ, **prefixed}, stderr=stderr)
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5, verify=False)
                break
            except httpx.TransportError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
        yield process, port
    finally:
        process.terminate()
        process.wait(30)


def measured(port, name):
    """Return a value of the metrics."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", verify=False).text
    return float(re.search(rf"^emo_fairseq_http_{name} (\S+)$", text, re.MULTILINE)[1])


def post(port, text):
    address = f"http://127.0.0.1:{port}/api/predict"
    return httpx.post(address, json={"text": text}, timeout=30, verify=False)


def test_several_processes_share_a_port_and_their_metrics_and_lose_nothing(graph_folder, tmp_path):
    log = tmp_path / "access.jsonl"
    limits = {"REQUESTS_PER_SECOND": "1000", "BURST": "1000", "BATCH_WAIT_MILLISECONDS": "2000"}
    # One process may accept all 40, of a client that may have half of its queue: else some get 429.
    limits["QUEUE"] = "128"
    words = ("--workers", "2", "--access-log", str(log))
    with serving(graph_folder, tmp_path, *words, **limits) as (process, port):
        with ThreadPoolExecutor(40) as pool:
            texts = [f"number {n} of these" for n in range(40)]
            answers = list(pool.map(lambda text: post(port, text), texts))
        assert {answer.status_code for answer in answers} == {200}, {x.text for x in answers}
        assert [answer.json()["text"] for answer in answers] == texts
        children = subprocess.run(
            ["pgrep", "-P", str(process.pid), "-f", "multiprocessing.spawn"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        assert len(children) == 2
        counted = measured(port, r'requests_total\{.*"/api/predict".*"200"\}')
        assert counted == 40  # of both

        # One that dies is replaced, and the port answers all the while.
        os.kill(int(children[0]), signal.SIGKILL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            alive = subprocess.run(
                ["pgrep", "-P", str(process.pid), "-f", "multiprocessing.spawn"],
                capture_output=True,
                text=True,
                check=False,
            ).stdout.split()
            if len(alive) == 2 and children[0] not in alive:
                break
            time.sleep(0.2)
        assert len(alive) == 2
        assert children[0] not in alive

        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(post, port, f"last {n}") for n in range(4)]
            while measured(port, "requests_in_progress") < 5:  # with that of the metrics
                assert not running[0].done()  # they wait for a batch, each for two seconds
            process.send_signal(signal.SIGTERM)
            assert [one.result().status_code for one in running] == [200] * 4
        assert process.wait(30) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert sum(line["path"] == "/api/predict" for line in lines) == 44


def test_a_worker_that_cannot_load_ends_the_command(graph_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "model.onnx").write_bytes(b"")
    command = [sys.executable, "-m", "emo_fairseq.cli", "serve", tmp_path / "empty"]
    environment = {k: v for k, v in os.environ.items() if k != "EMO_FAIRSEQ_TRACEBACK"}
    finished = subprocess.run(
        [*command, "--workers", "2", "--port", "18765"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert finished.returncode in (1, 2)
    assert "Traceback" not in finished.stderr


def test_a_port_in_use_is_one_sentence(graph_folder, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        program = tmp_path / "program.py"
        program.write_text(PROGRAM)
        finished = subprocess.run(
            [sys.executable, program, "serve", graph_folder, "--port", port],
            env={k: v for k, v in os.environ.items() if k != "EMO_FAIRSEQ_TRACEBACK"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1].endswith("[address-unusable]")
    assert "Traceback" not in finished.stderr
