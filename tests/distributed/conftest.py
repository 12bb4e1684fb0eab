"""Training on two hosts. ``make test-distributed`` runs it: it takes minutes, and needs root.

What is not installed is a reason to skip. The commands are those of the documentation, run by a
shell. Only the options of :data:`SMALL` are added, by programs of the same names earlier on PATH.
"""

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import slurm_cluster
import two_hosts
from code_blocks import REPOSITORY, blocks
from in_process import TINY
from slurm_cluster import Cluster, slurm
from two_hosts import Host, Process

PAGE = REPOSITORY / "docs" / "how-to" / "several_machines.md"

# No dropout: ranks draw other masks than one process does.
SMALL = f"""{TINY} --cpu --distributed-backend gloo --num-workers 0 --log-format simple
    --log-interval 1 --seed 5 --no-epoch-checkpoints
    --dropout 0 --attention-dropout 0 --pooler-dropout 0"""

_COMMAND = """#!{python}
import shlex
import sys
from pathlib import Path

sys.argv += {options!r} + shlex.split(Path({further!r}).read_text())
from {module} import cli_main

sys.exit(cli_main())
"""


def block(mark: str) -> str:
    """Return the text of the block of the page with this mark."""
    (text,) = (block.text for block in blocks(PAGE) if block.mark == mark)
    return text


@pytest.fixture(scope="session")
def hosts() -> Iterator[list[Host]]:
    """Two hosts, or a skip with the reason."""
    if reason := two_hosts.missing():
        pytest.skip(reason)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # or nothing is cleaned up
    with two_hosts.two_hosts() as pair:
        yield pair
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def cluster(hosts: list[Host], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Slurm cluster of the two hosts, or a skip with the reason."""
    if reason := slurm_cluster.missing():
        pytest.skip(reason)
    with slurm(hosts, tmp_path_factory.mktemp("slurm")) as running:
        yield running


class Shell:
    """The documentation's commands in a folder that has ``data/toy`` and ``emo_fairseq``.

    Attributes:
        folder: where they run.
        further: a file with options that are added to those of each training.
        environment: of the commands.
    """

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder = folder
        self.further = folder / "further_options"
        self.further.write_text("")
        (folder / "data").mkdir()
        (folder / "data" / "toy").symlink_to(data)
        for name in ("emo_fairseq", "examples"):
            (folder / name).symlink_to(REPOSITORY / name)
        for name, module in (
            ("fairseq-train", "fairseq_cli.train"),
            ("fairseq-hydra-train", "fairseq_cli.hydra_train"),
        ):
            self._write_command(name, module, shlex.split(SMALL) if name == "fairseq-train" else [])
        here = [folder / "bin", Path(sys.executable).parent, os.environ["PATH"]]
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join(map(str, here)),
            "PYTHONPATH": str(REPOSITORY),
            "FIRST_HOST": two_hosts.NAMES[0],
            "GPUS": "1",
            "OMP_NUM_THREADS": "1",
            "EMO_FAIRSEQ_CACHE": str(folder / "cache"),
        }

    def _write_command(self, name: str, module: str, options: Sequence[str]) -> None:
        file = self.folder / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(
            _COMMAND.format(
                python=sys.executable,
                options=list(options),
                further=str(self.further),
                module=module,
            )
        )
        file.chmod(0o755)

    def start(self, host: Host, script: str, name: str, **variables: str) -> Process:
        """Start a script of bash on a host."""
        environment = {**self.environment, **variables}
        words = ["bash", "-ec", script]
        return host.start(words, self.folder / f"{name}.log", cwd=self.folder, env=environment)


@pytest.fixture
def shell(toy_corpus: Path, tmp_path: Path) -> Shell:
    return Shell(tmp_path, toy_corpus)


@pytest.fixture
def commands_of_page() -> Callable[[str], str]:
    return block
