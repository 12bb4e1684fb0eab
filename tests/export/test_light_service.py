"""The service where torch, fairseq and their company are not installed, run as in the Dockerfile.

Without a container engine its command and its environment are run here, by a user without rights
and with a read-only root file system where this machine lets a test mount one. `make test-light`
names the interpreter of an environment that has what the Dockerfile installs.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from emo_fairseq.export.onnx import export_onnx
from emo_fairseq.inference.model_folder.files import WEIGHTS_FILE
from emo_fairseq.inference.predictor import load_predictor

LIGHT_PYTHON = "EMO_FAIRSEQ_LIGHT_PYTHON"
DOCKERFILE = Path(__file__).resolve().parents[2] / "deploy" / "Dockerfile"
TEXT = "so glad to see you"
# Reports the heavy modules that were imported, at the end.
PROGRAM = """
import sys
LIBRARIES = ("fairseq", "fairseq_cli", "hydra", "omegaconf", "pyarrow", "safetensors", "scipy",
             "sklearn", "torch", "transformers")
for library in LIBRARIES:
    sys.modules[library] = None
from emo_fairseq.cli.__main__ import main
if __name__ == "__main__":
    sys.exit(main())
"""
# In a mount namespace of its own: the root read-only but for the folder of the test.
ISOLATED = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -o remount,bind,ro / /
shift
exec setpriv --no-new-privs "$@"
"""
# Another user; or, where the interpreter is root's alone, root without any capability.
WITHOUT_RIGHTS = (
    ("--reuid=10001", "--regid=10001", "--clear-groups"),
    ("--bounding-set=-all", "--inh-caps=-all"),
)


def dockerfile_environment() -> dict[str, str]:
    """Return the variables of the ENV instruction."""
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", DOCKERFILE.read_text(), re.MULTILINE)
    return dict(re.findall(r"(\w+)=(\S+)", block))


def _isolated(folder: Path, command: list[str]) -> list[str]:
    """Return the command for a process that may write to a folder alone, where that is possible."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv"))):
        return command
    test = f"! touch {DOCKERFILE} 2>/dev/null && touch {folder}/test && {command[0]} -c ''"
    for path in (folder, *folder.parents[:2], *folder.rglob("*")):
        path.chmod(0o777)
    for options in WITHOUT_RIGHTS:
        prefix = ["unshare", "--mount", "sh", "-c", ISOLATED, "sh", str(folder), *options]
        can = subprocess.run([*prefix, "sh", "-c", test], capture_output=True, check=False)
        if can.returncode == 0:
            return [*prefix, *command]
    return command


@contextmanager
def serving(folder: Path, place: Path) -> Iterator[str]:
    """Run the command of the image until it is ready; yield its address."""
    program = place / "serve.py"
    program.write_text(PROGRAM)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, **dockerfile_environment(), "TMPDIR": str(place)}
    environment |= {
        "EMO_FAIRSEQ_SERVE_HOST": "127.0.0.1",
        "EMO_FAIRSEQ_SERVE_PORT": port,
        "EMO_FAIRSEQ_SERVE_WORKERS": "2",
        "EMO_FAIRSEQ_CACHE": str(place / "cache"),
    }
    python = environment.get(LIGHT_PYTHON, sys.executable)
    if LIGHT_PYTHON in environment:
        environment.pop("PYTHONPATH", None)
    command = _isolated(place, [python, str(program), "serve", str(folder)])
    out, err = place / "out", place / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            command, env=environment, cwd=place, stdout=stdout, stderr=stderr
        )
    try:
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 90
        while True:
            try:
                assert httpx.get(f"{address}/readyz", timeout=5, verify=False).status_code == 200
                break
            except httpx.TransportError:
                assert process.poll() is None, err.read_text()
                assert time.monotonic() < deadline, err.read_text()
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        code = process.wait(40)
    assert code == 0, err.read_text()
    assert "Traceback" not in err.read_text()


def test_the_command_of_the_image_serves_without_torch_and_without_rights(
    trained_models: Any, tmp_path: Path
) -> None:
    options = "--modality text+speech --speech-input log_mel"
    folder = tmp_path / "model"
    shutil.copytree(trained_models.folder(options), folder)
    export_onnx(folder, check=1)
    expected = load_predictor(folder, "cpu", onnx=False).predict(text=TEXT).as_dict()
    (folder / WEIGHTS_FILE).unlink()  # nothing of it is read
    with serving(folder, tmp_path) as address:
        found = httpx.post(f"{address}/api/predict", json={"text": TEXT}, timeout=30, verify=False)
        assert found.status_code == 200, found.text
        assert found.json()["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-4)
        for path in ("/", "/docs", "/openapi.json", "/api/model", "/metrics"):
            assert httpx.get(address + path, timeout=30, verify=False).status_code == 200, path
    logged = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [line["status"] for line in logged if line["path"] == "/api/predict"] == [200]
