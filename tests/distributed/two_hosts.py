"""Two hosts on this machine: network namespaces that a virtual cable joins, each with a name.

What runs on a host has its name, its address, and reaches the other through the cable alone. Needs
root and ``ip`` (Debian: iproute2).
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

NAMES = ("host-a", "host-b")
INTERFACE = "eth0"


def missing() -> str:
    """Return why there can be no hosts here; empty if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    programs = [name for name in ("ip", "unshare") if shutil.which(name) is None]
    return f"not installed: {', '.join(programs)}" if programs else ""


class Process:
    """A command on a host, whose output goes to a file."""

    def __init__(self, host: "Host", command: Sequence[str], file: Path, **options: object) -> None:
        self.host, self.file = host, file
        words = host.words(command)
        with file.open("wb") as out:
            self._process = subprocess.Popen(  # type: ignore[call-overload]
                words, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, **options
            )

    @property
    def log(self) -> str:
        return self.file.read_text(errors="replace")

    @property
    def code(self) -> int | None:
        """Its exit status; None while it runs."""
        status: int | None = self._process.poll()
        return status

    def wait(self, seconds: float = 180.0) -> int:
        """Return its exit status; an error with the log if it takes longer."""
        deadline = time.monotonic() + seconds
        while self.code is None:
            assert time.monotonic() < deadline, f"runs after {seconds} s:\n{self.log[-3000:]}"
            time.sleep(0.1)
        return self._process.returncode

    def wait_for(self, text: str, seconds: float = 180.0) -> None:
        """Wait until its log has a text."""
        deadline = time.monotonic() + seconds
        while text not in self.log:
            is_late = time.monotonic() > deadline
            assert not is_late, f"no {text!r} after {seconds} s:\n{self.log[-3000:]}"
            assert self.code is None, f"ended without {text!r}:\n{self.log[-3000:]}"
            time.sleep(0.05)


class Host:
    """One of two hosts.

    Args:
        name: that it has for itself and for the other.
        namespace: of the network, as ``ip netns`` knows it.
    """

    def __init__(self, name: str, namespace: str) -> None:
        self.name, self._namespace = name, namespace

    def words(self, command: Sequence[str]) -> list[str]:
        """Return the words that run a command here."""
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.name]
        return ["ip", "netns", "exec", self._namespace, *named, *command]

    def start(self, command: Sequence[str], file: Path, **options: object) -> Process:
        """Start a command, with its output in a file."""
        return Process(self, command, file, **options)

    def run(self, *command: str, env: Mapping[str, str] | None = None) -> str:
        """Run a command to its end, and return its output."""
        done = subprocess.run(
            self.words(command), capture_output=True, text=True, check=False, env=env, timeout=120
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def processes(self, part: str = "", without: str = "\n") -> list[int]:
        """Return the ids of the processes here by a part of their command lines.

        Args:
            part: that they have.
            without: that they have not.
        """
        words = {n: _words_of(n) for n in map(int, ip("netns", "pids", self._namespace).split())}
        return [n for n, line in words.items() if part in line and without not in line]

    def unplug(self) -> None:
        """Cut the cable."""
        ip("-n", self._namespace, "link", "set", INTERFACE, "down")

    def plug(self) -> None:
        """Join the cable again."""
        ip("-n", self._namespace, "link", "set", INTERFACE, "up")

    def kill_all(self) -> None:
        """End what still runs here."""
        for number in self.processes():
            kill(number)


def kill(number: int) -> None:
    """As ``kill -9`` does."""
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)


def _words_of(number: int) -> str:
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:  # it has ended
        return ""


def ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout


@contextmanager
def two_hosts() -> Iterator[list[Host]]:
    """Yield two hosts; what runs on them ends with the block."""
    namespaces = [f"emo{os.getpid()}-{name}" for name in NAMES]
    folders = [Path("/etc/netns", namespace) for namespace in namespaces]
    addresses = ["10.77.0.1", "10.77.0.2"]
    known = ["127.0.0.1 localhost", *map(" ".join, zip(addresses, NAMES, strict=True))]
    hosts = [Host(*names) for names in zip(NAMES, namespaces, strict=True)]
    try:
        for folder, namespace in zip(folders, namespaces, strict=True):
            folder.mkdir(parents=True)  # `ip netns exec` puts its files into /etc
            (folder / "hosts").write_text("\n".join(known) + "\n")
            ip("netns", "add", namespace)
        one, other = namespaces
        cable = ["link", "add", INTERFACE, "netns", one, "type", "veth", "peer"]
        ip(*cable, "name", INTERFACE, "netns", other)
        for namespace, address in zip(namespaces, addresses, strict=True):
            ip("-n", namespace, "addr", "add", f"{address}/24", "dev", INTERFACE)
            for interface in (INTERFACE, "lo"):
                ip("-n", namespace, "link", "set", interface, "up")
        yield hosts
    finally:
        existing = ip("netns", "list")
        for host, folder, namespace in zip(hosts, folders, namespaces, strict=True):
            if namespace in existing:
                host.kill_all()
                ip("netns", "del", namespace)
            shutil.rmtree(folder, ignore_errors=True)
