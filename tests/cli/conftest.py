"""The command line as tests use it: in process for speed, in processes where it matters.

Folders of tests are no packages: what tests need from here are fixtures.
"""

import contextlib
import importlib
import io
import logging
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.logging import metrics
from fairseq_cli import train as fairseq_train
from fairseq_process import TOOLS, Finished, Running

import emo_fairseq
from emo_fairseq.compat.sweeps import close_event_files

PLUGIN = Path(emo_fairseq.__file__).parent

# Smaller encoders than robertaEMO_tiny's, for any modality.
TINY = """--arch robertaEMO_tiny
    --text-embed-dim 16 --text-ffn-embed-dim 16 --text-attention-heads 2 --text-encoder-layers 1
    --speech-embed-dim 16 --speech-ffn-embed-dim 16 --speech-attention-heads 2
    --speech-encoder-layers 1 --speech-conv-channels 16
    --speech-conv-layers '[(8, 10, 5)] + [(8, 3, 2)] * 4 + [(8, 2, 2)] * 2'
    --embedding-dim 16"""

PLAIN = f"--user-dir {PLUGIN} --task emotion_prediction --cpu --num-workers 0 --log-format simple"
TRAIN = f"""{PLAIN} --criterion emotion_prediction_cri --optimizer adam --clip-norm 1.0
    --lr 0.003 --log-interval 1 --no-epoch-checkpoints"""


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
        heard = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, _fresh_fairseq(heard):
            patch.setattr(sys, "argv", [f"fairseq-{tool}", *_words(options)])
            importlib.import_module(TOOLS[tool]).cli_main()
        return Finished(0, heard.getvalue(), "")

    return run


@pytest.fixture
def fairseq_process(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a command in a process of its own, in `tmp_path`; killed if the test leaves it."""
    started: list[Running] = []

    def start(tool: str, *options: str | Path) -> Running:
        name = f"{tool}-{len(started)}"
        started.append(Running(tool, _words(options), tmp_path, name))
        return started[-1]

    yield start
    for running in started:
        running.kill()


@pytest.fixture
def run(
    fairseq_process: Callable[..., Running], commands: dict[str, str]
) -> Callable[..., Finished]:
    """Run fairseq-train or -validate in a process of its own, to its end."""

    def run_to_end(tool: str, *options: str | Path) -> Finished:
        return fairseq_process(tool, commands[tool], *options).wait()

    return run_to_end


def _words(options: tuple[str | Path, ...]) -> list[str]:
    return [
        word
        for option in options
        for word in ([str(option)] if isinstance(option, Path) else shlex.split(option))
    ]


@contextlib.contextmanager
def _fresh_fairseq(heard: io.StringIO) -> Iterator[None]:
    """As if fairseq had just been imported: it keeps its best score and its meters in globals."""
    for function in (checkpoint_utils.save_checkpoint, fairseq_train.should_stop_early):
        for remembered in ("best", "num_runs"):
            if hasattr(function, remembered):
                delattr(function, remembered)
    metrics.reset()
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    handler = logging.StreamHandler(heard)
    handler.setFormatter(logging.Formatter("%(asctime)s | %(levelname)s | %(name)s | %(message)s"))
    root.handlers[:] = [handler]  # fairseq-validate exchanges it for one on standard output
    root.setLevel(logging.INFO)
    try:
        with contextlib.redirect_stdout(heard), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        close_event_files()  # as fairseq does at its exit
        root.handlers[:] = handlers
        root.setLevel(level)


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
