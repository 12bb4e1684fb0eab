"""What all tests share: seeds, small corpora in both layouts, tasks and models built by fairseq.

Factories are fixtures that return a function, because test folders are no packages to import from.
"""

import gc
import logging
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from absent_accelerators import seed_none_that_is_absent
from as_commands_import import tasks
from captured_logs import find_loggers_once
from composed_configs import remember
from fairseq.dataclass.utils import merge_with_parent
from fast_unpickling import unpickle_fast
from omegaconf import OmegaConf
from remembered_documents import remember_documents
from remembered_frames import remember_frames
from slow_files import QUICK, FromTwoEnds, place
from torch import Tensor
from torch.utils.data import _utils as data_loaders
from toy_copies import copy_of_toy
from unsynced_files import do_not_sync

import emo_fairseq
from data_prep.commands.tokenize_text import tokenize_with_sentencepiece
from data_prep.corpora.toy import prepare_toy
from data_prep.engines import local
from data_prep.schema import Corpus, Utterance, write_corpus
from data_prep.tokens.kmeans_corpus import tokenize_with_kmeans
from emo_fairseq.compat.verbosity import VERBOSE_SWITCH
from emo_fairseq.models.config import RobertaEMOConfig

emo_fairseq.register()
remember()
remember_frames()
remember_documents()
unpickle_fast()
do_not_sync()
seed_none_that_is_absent()
find_loggers_once()
# Commands work in this process where a test asks for no more: another one takes seconds to start.
local.default_workers = lambda: 1
# Seconds that a loader of data waits for each of its processes when it is collected as garbage.
# Those of a stopped training do not end by themselves: the queue to them is finalized before it.
data_loaders.MP_STATUS_CHECK_INTERVAL = 0.1

REPOSITORY = Path(__file__).resolve().parents[1]
TOY_SIZES = (32, 8, 12)  # train, valid, test
TOY_CLUSTERS = 12

Options = Mapping[str, Any]

# Tests read figures in fairseq's own log.
os.environ[VERBOSE_SWITCH] = "1"
# Digests of files of tests are not stored in the user's cache folder.
os.environ["EMO_FAIRSEQ_CACHE"] = tempfile.mkdtemp(prefix="emo_fairseq_tests_")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse two test files of one name, which pytest can import only in different sessions."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("test_*.py"))
    if shared := sorted(name for name, files in names.items() if files > 1):
        raise pytest.UsageError(f"several files of tests/ are called {shared[0]}: rename one")


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["EMO_FAIRSEQ_CACHE"], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Long files first: at the end of a parallel run short ones keep all processes busy.
    places = {item.path: place(item.nodeid) for item in items}
    for item in items:
        if places[item.path] < QUICK:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: places[item.path])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return FromTwoEnds(config, log) if config.option.dist == "loadfile" else None


def pytest_collectstart() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    # What stays, modules and 9,000 tests, is not searched for garbage: a tenth of all the time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    """Undo what a command that runs in this process does to logging, so that caplog has all."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    if root.level != level:  # setting it clears the cache of every logger
        root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """The folder of a real corpus; skips the test where there is none."""

    def locate(corpus: str) -> Path:
        root = Path(os.environ.get("EMO_FAIRSEQ_DATA", REPOSITORY.parent / "shared" / "data"))
        if not (root / corpus).is_dir():
            pytest.skip(f"no real {corpus}: set EMO_FAIRSEQ_DATA to a folder that holds {corpus}/")
        return root / corpus

    return locate


# -- corpora ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def toy_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data dir of `data_prep.toy`, tokenized both ways. Shared: copy it before changing it."""
    data_dir = tmp_path_factory.mktemp("toy") / "data"
    prepare_toy(
        data_dir,
        n_train=TOY_SIZES[0],
        n_valid=TOY_SIZES[1],
        n_test=TOY_SIZES[2],
        speakers=(4, 2, 2),
    )
    tokenize_with_sentencepiece(data_dir, vocab_size=400)
    tokenize_with_kmeans(data_dir, n_clusters=TOY_CLUSTERS, max_train_frames=2000)
    return data_dir


@pytest.fixture
def copy_toy(toy_corpus: Path, tmp_path: Path) -> Callable[..., Path]:
    """A data dir of one's own, whose rows a function may change; see :func:`copy_of_toy`."""
    return lambda change=None: copy_of_toy(toy_corpus, tmp_path / "toy", change)


@pytest.fixture
def write_data_dir(tmp_path: Path) -> Callable[..., Path]:
    """Write a small data dir from rows by split, with the given label sets."""

    def write(splits: Mapping[str, Sequence[Utterance]], **labels: Sequence[str]) -> Path:
        corpus = Corpus("small", labels={key: tuple(names) for key, names in labels.items()})
        write_corpus(tmp_path / "small", corpus, splits)
        return tmp_path / "small"

    return write


LEGACY_CODES = ("neu", "sad", "ang", "hap", "exc")


@pytest.fixture
def write_legacy(tmp_path: Path) -> Callable[..., Path]:
    """Write splits of the seed's `T_data` layout, one call a split; returns the folder.

    Labels are by id, in the order of the label file; the lists and the size file hold the same ids
    in the same order unless given. A None list is not written. Token files are written for every
    listed id: `<s>`, three ids, `</s>`.
    """
    folder = tmp_path / "T_data"

    def write(
        split: str,
        labels: Mapping[str, str],
        *,
        text: Sequence[str] | None = (),
        audio: Sequence[str] | None = (),
        size: Sequence[str] | None = (),
        size_header: bool = True,
        label_header: str = "FileName,Emotion",
    ) -> Path:
        folder.mkdir(exist_ok=True)
        rows = [f"{name},{label}" for name, label in labels.items()]
        _write_lines(folder / f"label_file_{split}.csv", [label_header, *rows])
        lists = {"t": text, "a": audio}
        for suffix, kind in (("t", "text"), ("a", "audio_token")):
            if (ids := lists[suffix]) is None:
                continue
            ids = list(ids) or list(labels)
            _write_lines(folder / f"{split}_{suffix}.tsv", [f"{name}.txt" for name in ids])
            for number, name in enumerate(ids):
                tokens = [0, 10 + number % 5, 20, 30 + len(suffix), 2]
                file = folder / split / kind / f"{name}.txt"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("\t".join(map(str, tokens)))
        if size is not None:
            lengths = [f"{name},5,5" for name in size or labels]
            header = ["FileName,Text_size,Audio_size"] if size_header else []
            _write_lines(folder / f"{split}_size.tsv", [*header, *lengths])
        return folder

    return write


def _write_lines(file: Path, lines: Sequence[str]) -> None:
    file.write_text("\n".join(lines) + "\n")


@pytest.fixture
def legacy_corpus(write_legacy: Callable[..., Path]) -> Path:
    """The seed's layout with train, valid and test, 2 rows of each emotion and one that is none."""
    for split in ("train", "valid", "test"):
        labels = {f"{split}_{code}_{number}": code for number in range(2) for code in LEGACY_CODES}
        folder = write_legacy(split, {**labels, f"{split}_fru_0": "fru"})
    return folder


@pytest.fixture(scope="session")
def trained_models(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Tiny models that fairseq-train trained on the toy corpus, as checkpoints and model folders.

    A :class:`trained_models.TrainedModels`, which is slow to import.
    """
    from trained_models import TrainedModels

    return TrainedModels(toy_corpus, tmp_path_factory.mktemp("models"))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the tools printed that ``emotion-recognize`` starts, one after the other.

    They run in the test's own process: the same words, no imports.
    """
    from in_process import run_command

    from emo_fairseq.cli import processes

    printed: list[str] = []

    def run(words: Sequence[str], discard_output: bool = False) -> int:
        processes.show(words)
        code, log = run_command(words)
        if log:
            printed.append(log)
        return code

    def run_quietly(words: Sequence[str]) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(processes, "show", lambda words: None)
            return run(words)

    monkeypatch.setattr(processes, "run", run)
    monkeypatch.setattr(processes, "run_quietly", run_quietly)
    return printed


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every bootstrap draws 50 resamples, for tests of what is printed and written of them."""
    from emo_fairseq.evaluation import bootstrap

    draw = bootstrap._draw_weights
    monkeypatch.setattr(
        bootstrap, "_draw_weights", lambda n_rows, n, seed: draw(n_rows, min(n, 50), seed)
    )


# -- tasks, models, batches ------------------------------------------------------------------------


@pytest.fixture
def make_task() -> Callable[..., Any]:
    """Set up an `emotion_prediction` task as the command line does, from its options.

    With `from_checkpoint` it waits for `load_state_dict`, as in fairseq-validate.
    """

    def make(data: Path, from_checkpoint: bool = False, **options: Any) -> Any:
        config = OmegaConf.create({"_name": "emotion_prediction", "data": str(data), **options})
        return tasks.setup_task(config, from_checkpoint=from_checkpoint)

    return make


@pytest.fixture
def make_model() -> Callable[..., Any]:
    """Build a model by the task's own road, in evaluation mode; options are of the architecture."""

    def make(task: Any, arch: str = "robertaEMO_tiny", **options: Any) -> Any:
        config = merge_with_parent(RobertaEMOConfig(), OmegaConf.create({"_name": arch, **options}))
        return task.build_model(config).eval()

    return make


@pytest.fixture
def collate_rows() -> Callable[..., dict[str, Any]]:
    """A batch of the given rows of a dataset."""

    def collate(dataset: Any, rows: Sequence[int]) -> dict[str, Any]:
        return dataset.collater([dataset[row] for row in rows])

    return collate


@pytest.fixture
def random_mask() -> Callable[..., Tensor]:
    """A padding mask (B, T), True = padding at the end, with the given lengths."""

    def mask(lengths: Sequence[int], width: int | None = None) -> Tensor:
        columns = torch.arange(width or max(lengths))
        return columns >= torch.tensor(lengths)[:, None]

    return mask
