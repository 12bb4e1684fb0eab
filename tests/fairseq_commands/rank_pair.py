"""Two processes that are the ranks of one command after another.

What a process does for the first time, such as an import or a lazy initialization, takes longer
than a training of a few updates: it is done once for all tests that a worker runs.
"""

from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fairseq_process import TIMEOUT, TOOLS, Finished
from forked import SERVER

RANKS = (0, 1)


class RankPair:
    """Starts with the first command; a pair of which a rank fails is replaced."""

    def __init__(self) -> None:
        self._ranks: list[tuple[Any, Any]] = []  # process, connection

    def run(self, tool: str, words: Sequence[str], folder: Path, meeting: Path) -> list[Finished]:
        """Run a command in `folder`; what each rank left behind.

        Args:
            tool: of :data:`fairseq_process.TOOLS`.
            words: of its command line, without those of the ranks.
            folder: in which both work.
            meeting: a file that does not exist.
        """
        world = "--distributed-world-size 2 --distributed-no-spawn --distributed-backend gloo"
        world += f" --distributed-init-method file://{meeting}"
        if not self._ranks:
            self._ranks = [_start() for _ in RANKS]
        for rank, (_, connection) in zip(RANKS, self._ranks, strict=True):
            ranked = [*words, *world.split(), "--distributed-rank", str(rank)]
            connection.send((tool, ranked, str(folder)))
        done = [_receive(connection) for _, connection in self._ranks]
        if any(finished.code for finished in done):
            self.end()
        return done

    def end(self) -> None:
        """End both processes."""
        for process, _ in self._ranks:
            process.kill()
            process.join()
        self._ranks = []


def _start() -> tuple[Any, Any]:
    here, there = SERVER.Pipe()
    process = SERVER.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    there.close()
    return process, here


def _receive(connection: Connection) -> Finished:
    try:
        if connection.poll(TIMEOUT):
            return Finished(*connection.recv())
    except EOFError:
        pass
    return Finished(-1, "", f"no answer within {TIMEOUT} s, or the process has ended")


def _serve(connection: Connection) -> None:
    import os

    import torch
    from in_process import run_to_end

    torch.set_num_threads(1)
    while True:
        tool, words, folder = connection.recv()
        os.chdir(folder)
        connection.send(run_to_end(TOOLS[tool], f"fairseq-{tool}", words))
        _leave_group()


def _leave_group() -> None:
    """As if no command had met another rank; fairseq keeps its group in an attribute."""
    from fairseq.distributed.utils import get_global_group
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()
    vars(get_global_group).clear()
