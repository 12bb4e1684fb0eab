"""The files of deploy/: each is checked by the program that reads it, where that is installed."""

import ipaddress
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from emo_fairseq.cli.serve_options import OPTIONS, TOKENS, limits
from emo_fairseq.serving.limits import Limits

REPOSITORY = Path(__file__).resolve().parents[1]
DEPLOY = REPOSITORY / "deploy"
EXTRAS = "[predict,serve]"


def run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )


def test_every_variable_is_one_of_the_command() -> None:
    known = {option.variable for option in (*OPTIONS.values(), *limits().values())} | {TOKENS}
    for name in ("Dockerfile", "compose.yaml", "emo-fairseq.service"):
        used = set(re.findall(r"EMO_FAIRSEQ_SERVE_\w+", (DEPLOY / name).read_text()))
        assert used <= known, name
        assert used, name


def test_the_image_has_the_light_runtime_and_a_user_without_rights() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert f'pip install --no-cache-dir ".{EXTRAS}"' in text
    assert re.search(r"^USER 10001$", text, re.MULTILINE)
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for path in source.split():
            assert (REPOSITORY / path).exists(), path
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    copied = {
        p for s in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for p in s.split()
    }
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == copied
    assert f"{EXTRAS}" in (REPOSITORY / "Makefile").read_text()  # make test-light installs the same


def test_the_composition_shuts_the_service_in() -> None:
    document = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    service, proxy = document["services"]["service"], document["services"]["proxy"]
    assert service["read_only"]
    assert proxy["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["user"].split(":")[0] != "0"
    assert "ports" not in service
    assert service["networks"] == ["inside"]
    assert document["networks"]["inside"]["internal"]
    (subnet,) = document["networks"]["inside"]["ipam"]["config"]
    trusted = service["environment"]["EMO_FAIRSEQ_SERVE_TRUSTED_PROXY"]
    assert ipaddress.ip_network(trusted) == ipaddress.ip_network(subnet["subnet"])
    grace = int(service["stop_grace_period"].rstrip("s"))
    assert grace > int(service["environment"]["EMO_FAIRSEQ_SERVE_DRAIN_SECONDS"])
    for volume in proxy["volumes"]:
        source = volume.split(":")[0]
        assert source == "./tls" or (DEPLOY / source).exists()


def test_nginx_reads_its_configuration(tmp_path: Path) -> None:
    if not all(map(shutil.which, ("nginx", "openssl"))):
        pytest.skip("nginx and openssl are not installed")
    (tmp_path / "tls").mkdir()
    files = ("-keyout", tmp_path / "tls" / "key.pem", "-out", tmp_path / "tls" / "certificate.pem")
    subject = ("-subj", "/CN=localhost", "-days", "2", "-nodes")
    assert run("openssl", "req", "-x509", "-newkey", "rsa:2048", *files, *subject).returncode == 0
    text = (DEPLOY / "nginx.conf").read_text()
    # A name that only the network of the composition knows, and a folder of the system.
    text = text.replace("server service:8000", "server 127.0.0.1:8000")
    text = text.replace("/run/nginx.pid", str(tmp_path / "nginx.pid"))
    (tmp_path / "nginx.conf").write_text(text)
    finished = run("nginx", "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf")
    assert finished.returncode == 0, finished.stderr


def test_the_proxy_lets_bodies_and_responses_take_as_long_as_the_service() -> None:
    text = (DEPLOY / "nginx.conf").read_text()
    megabytes = int(re.search(r"client_max_body_size (\d+)m;", text)[1])  # type: ignore[index]
    assert megabytes * 1_000_000 >= Limits.upload_bytes
    seconds = int(re.search(r"proxy_read_timeout (\d+)s;", text)[1])  # type: ignore[index]
    assert seconds > Limits.answer_seconds
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in text


def test_systemd_reads_the_unit_and_finds_it_shut_in(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "emo-fairseq.service").read_text()
    unit = tmp_path / "emo-fairseq.service"
    unit.write_text(text.replace("/opt/emo-fairseq/bin/emotion-recognize", "/bin/true"))
    verified = run("systemd-analyze", "verify", unit)
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = run("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)
    assert rated.returncode == 0, rated.stdout[-300:]  # an exposure of at most 2.0 of 10
    stop = int(re.search(r"TimeoutStopSec=(\d+)", text)[1])  # type: ignore[index]
    assert stop > int(re.search(r"DRAIN_SECONDS=(\d+)", text)[1])  # type: ignore[index]
