"""The command line as tests use it: in process for speed, in processes where it matters.

Folders of tests are no packages: what tests need from here are fixtures.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from fairseq_process import TOOLS, Finished, Running
from in_process import PLAIN, TINY, TRAIN, run_to_end, run_tool, words
from rank_pair import RankPair


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small are slower on several threads, the more so on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def commands() -> dict[str, str]:
    """Options that the commands ``train`` and ``validate`` begin with."""
    return {"train": f"{TRAIN} {TINY}", "validate": PLAIN}


@pytest.fixture(scope="session")
def fairseq() -> Callable[..., Finished]:
    """Run fairseq-train or -validate in this process: ``fairseq("train", options, ...)``.

    Words of the command line are given as strings, split as a shell does, or as paths.
    """

    def run(tool: str, *options: str | Path) -> Finished:
        return Finished(0, run_tool(TOOLS[tool], f"fairseq-{tool}", *options), "")

    return run


@pytest.fixture
def fairseq_process(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a command in a process of its own, in `tmp_path`; killed if the test leaves it."""
    started: list[Running] = []

    def start(tool: str, *options: str | Path) -> Running:
        name = f"{tool}-{len(started)}"
        started.append(Running(tool, words(options), tmp_path, name))
        return started[-1]

    yield start
    for running in started:
        running.kill()


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Finished]:
    """Run a command to its end in this process, in `tmp_path`; an error is printed, as ever."""

    def run_to_its_end(tool: str, *options: str | Path) -> Finished:
        monkeypatch.chdir(tmp_path)
        return Finished(*run_to_end(TOOLS[tool], f"fairseq-{tool}", words(options)))

    return run_to_its_end


@pytest.fixture
def run(run_here: Callable[..., Finished], commands: dict[str, str]) -> Callable[..., Finished]:
    """The same with the options that fairseq-train or -validate begins with."""
    return lambda tool, *options: run_here(tool, commands[tool], *options)


@pytest.fixture(scope="session")
def rank_pair() -> Iterator[RankPair]:
    """Two processes that run commands as the two ranks."""
    pair = RankPair()
    yield pair
    pair.end()


@pytest.fixture
def on_two_ranks(rank_pair: RankPair, tmp_path: Path) -> Callable[..., Finished]:
    """Run a command as two processes with a rank each, and return the result of rank 0."""
    numbers = itertools.count()

    def run(tool: str, *options: str | Path) -> Finished:
        meeting = tmp_path / f"meeting-{next(numbers)}"
        finished = rank_pair.run(tool, words(options), tmp_path, meeting)
        assert [rank.code for rank in finished] == [0, 0], finished[0].errors + finished[1].errors
        assert "as rank 0" in finished[0].log
        assert "as rank 1" in finished[1].log
        return finished[0]

    return run


Train = Callable[..., Path]


@pytest.fixture(scope="session")
def trained(
    toy_corpus: Path,
    fairseq: Callable[..., Finished],
    commands: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Train:
    """A checkpoint trained on the toy corpus with these options; the same options train once."""
    done: dict[str, Path] = {}

    def train(options: str) -> Path:
        if options not in done:
            folder = tmp_path_factory.mktemp("trained")
            place = f"--data {toy_corpus} --save-dir {folder}"
            fairseq("train", commands["train"], place, options)
            done[options] = folder / "checkpoint_last.pt"
        return done[options]

    return train
