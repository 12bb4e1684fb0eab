"""The scheduler over processes and threads: order, deaths, errors; and shards that are kept.

The same on Ray: tests/distributed/test_ray.py.
"""

import logging
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.audio.decoding import TooLongError
from data_prep.engines import Engine, mapping, open_pool, ordered_map
from data_prep.engines.options import add_engine_options, take_engine
from data_prep.engines.pool import Answer, Build, Outcome, Ticket
from data_prep.errors import CodedError, Fault, ManifestError
from data_prep.files.arrays import UnreadableArrayError
from data_prep.files.shards import ArrayCodec, JsonCodec, ShardStore, shard_map, spans_of
from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)
REPOSITORY = Path(__file__).parents[2]


def build_squarer(marks: Path, *, dies_at: int = -1, lives: int = 0) -> Callable[[int], int]:
    """Square numbers; at one of them the worker is killed, until it has been so `lives` times."""

    def square(number: int) -> int:
        (marks / f"{number}-{os.getpid()}").touch()
        if number == dies_at and len(list(marks.glob(f"{number}-*"))) <= lives:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 13:
            raise ManifestError(Fault("train.tsv", 13, "is unlucky", "leave it out", "row-unlucky"))
        logger.warning("%d is squared", number)
        return number * number

    return square


def test_a_unit_whose_worker_dies_is_computed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build = partial(build_squarer, tmp_path, dies_at=4, lives=2)
    done: list[int] = []
    with open_pool(build, 2) as over:
        squares = over(range(10), when_done=lambda number, _: done.append(number))
        assert list(squares) == [number**2 for number in range(10)]
    assert sorted(done) == list(range(10)), "nothing twice"
    again = "unit 4: its worker was lost (killed by SIGKILL); computing it again"
    assert caplog.messages.count(again) == 2
    squared = [message for message in caplog.messages if message.endswith("is squared")]
    assert squared == [f"{number} is squared" for number in range(10)]


def test_a_unit_that_kills_every_worker_is_named(tmp_path: Path) -> None:
    build = partial(build_squarer, tmp_path, dies_at=4, lives=9)
    message = r"shard 5 \(rows 5 to 5\): 3 workers died of it"
    with (
        pytest.raises(CodedError, match=message) as error,
        ordered_map(build, 2, at_once=1) as over,
    ):
        list(over(range(10)))
    assert error.value.code == "worker-died"
    assert len(list(tmp_path.glob("4-*"))) == 3


@pytest.mark.parametrize("engine", [1, 2, Engine(workers=2)], ids=["one", "two", "engine"])
@pytest.mark.parametrize("threads", [False, True], ids=["processes", "threads"])
def test_the_first_error_in_order_is_that_of_one_process(
    tmp_path: Path, engine: Engine | int, threads: bool
) -> None:
    build = partial(build_squarer, tmp_path)
    with open_pool(build, engine, threads=threads) as over:
        squares = over([5, 13, 6, 13])
        assert next(squares) == 25
        with pytest.raises(ManifestError, match=r"^train.tsv: row 13: is unlucky; leave") as error:
            next(squares)
        assert (error.value.code, error.value.fault.row) == ("row-unlucky", 13)  # type: ignore[union-attr]
        assert list(over([3, 4])) == [9, 16], "the pool is used again"


class LateWorker:
    """A pool of one worker that starts while it is waited for, and dies of its first unit."""

    size = 1

    def __init__(self, build: Build, *_: Any, **__: Any) -> None:
        self.function = build()
        self.is_free = False
        self.unit: tuple[Ticket, int] | None = None
        self.n_waits = 0

    def submit(self, ticket: Ticket, unit: int) -> None:
        assert self.is_free
        self.unit, self.is_free = (ticket, unit), False

    def wait(self) -> list[Outcome]:
        self.n_waits += 1
        assert self.n_waits < 20, "no unit is submitted"
        if self.unit is None:
            self.is_free = True
            return []
        (ticket, unit), self.unit = self.unit, None
        if self.n_waits == 2:
            return [Outcome(ticket, None, "killed")]
        self.is_free = True
        return [Outcome(ticket, Answer(self.function(unit)))]

    def close(self) -> None: ...


def test_one_worker_that_starts_late_or_dies_computes_every_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "ENGINES", {"local": LateWorker})
    with open_pool(partial(build_squarer, tmp_path), 1) as over:
        squares = over(range(3))
        assert next(squares) == 0
        assert len(list(tmp_path.iterdir())) == 1, "a unit is computed when its result is taken"
        assert list(squares) == [1, 4]


def test_every_error_with_a_code_is_pickled_with_it() -> None:
    kinds: list[type[CodedError]] = [CodedError]
    found: list[type[CodedError]] = []
    while kinds:
        found.append(kinds.pop())
        kinds += found[-1].__subclasses__()
    assert {TooLongError, UnreadableArrayError, UsageError} <= {*found}
    for kind in found:
        error = kind("a.wav: is empty; leave it out", "audio-empty")
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), copy.code) == (kind, str(error), "audio-empty")


def build_process_id() -> Callable[[int], tuple[int, int]]:
    return lambda item: (item, os.getpid())


def test_workers_answer_in_order_from_other_processes() -> None:
    with ordered_map(build_process_id, workers=1) as over:
        alone = list(over(range(40)))
    with ordered_map(build_process_id, workers=2) as over:
        together = list(over(range(40)))
    assert [item for item, _ in together] == list(range(40)) == [item for item, _ in alone]
    assert {process for _, process in alone} == {os.getpid()}
    assert os.getpid() not in {process for _, process in together}


class Requested(Sequence[int]):
    """The numbers below `n`, and up to which they were requested."""

    def __init__(self, n: int) -> None:
        self.numbers, self.until = range(n), 0

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        self.until = max(self.until, index.stop)
        return self.numbers[index]


def test_workers_compute_a_few_items_ahead_of_what_is_taken() -> None:
    items = Requested(400)
    with ordered_map(build_process_id, workers=2, at_once=1) as over:
        results = over(items)
        next(results)
        assert items.until <= 9  # the first, and four each that are computed meanwhile
        assert [item for item, _ in results] == list(range(1, 400))


def test_kill_9_of_the_parent_ends_the_workers(tmp_path: Path) -> None:
    script = """
        import os, signal
        from data_prep.engines import ordered_map
        from test_engines import build_process_id
        if __name__ == "__main__":
            with ordered_map(build_process_id, 2) as over:
                with open("workers", "w") as file:
                    print(*{process for _, process in over(range(40))}, file=file)
                os.kill(os.getpid(), signal.SIGKILL)
    """
    (tmp_path / "parent.py").write_text(textwrap.dedent(script))
    here = Path(__file__).parent
    path = os.pathsep.join(map(str, (REPOSITORY, here, here.parent)))
    child = subprocess.run(
        [sys.executable, str(tmp_path / "parent.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    workers = [int(process) for process in (tmp_path / "workers").read_text().split()]
    assert workers
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(map(is_alive, workers)):
        time.sleep(0.05)
    left = [worker for worker in workers if is_alive(worker)]
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    assert not left, "workers outlive their parent"


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


# -- shards ----------------------------------------------------------------------------------------


def build_repeater(marks: Path, stop_at: int) -> Callable[[Sequence[int]], list[np.ndarray]]:
    def repeat(numbers: Sequence[int]) -> list[np.ndarray]:
        if stop_at in numbers:
            raise KeyboardInterrupt
        with (marks / "computed").open("a") as file:
            file.write("".join(f"{number} " for number in numbers))
        return [np.full((number % 3, 2), number, np.float32) for number in numbers]

    return repeat


@pytest.mark.parametrize("damage", ["none", "cut", "flip"])
def test_finished_shards_are_kept(tmp_path: Path, damage: str) -> None:
    store = ShardStore(tmp_path / ".partial", ArrayCodec())
    rows, spans = range(10), spans_of(10, most_rows=3)
    assert spans == [(0, 3), (3, 6), (6, 9), (9, 10)]

    def run(stop_at: int, key: str = "key") -> tuple[list[object], str]:
        (tmp_path / "computed").write_text("")
        with shard_map(partial(build_repeater, tmp_path, stop_at), 1) as over:
            frames = [row.tolist() for row in over(rows, spans, "train", store, key)]
        return frames, (tmp_path / "computed").read_text()

    with pytest.raises(KeyboardInterrupt):
        run(stop_at=7)
    assert len(list((tmp_path / ".partial").iterdir())) == 2
    if damage != "none":
        file = max((tmp_path / ".partial").iterdir(), key=lambda file: file.stat().st_mtime_ns)
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content[:100] if damage == "cut" else content)
    frames, computed = run(stop_at=-1)
    assert frames == [[[float(n)] * 2] * (n % 3) for n in range(10)]
    assert computed == ("" if damage == "none" else "3 4 5 ") + "6 7 8 9 "
    assert run(stop_at=-1) == (frames, "")
    assert run(-1, "another key") == (frames, "0 1 2 3 4 5 6 7 8 9 ")
    store.remove()
    assert not (tmp_path / ".partial").exists()


def test_values_in_json_are_kept_to_the_bit(tmp_path: Path) -> None:
    store = ShardStore(tmp_path, JsonCodec())
    rows = [{"p": 0.1 + 0.2, "label": "caf\udce9 \u2028"}, None]
    store.write("key", rows)
    assert store.read("key", 2) == rows
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes().replace(b"0.3", b"0.4"))
    assert store.read("key", 2) is None


# -- options ---------------------------------------------------------------------------------------


def test_options_of_ray_without_ray_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    add_engine_options(parser, "processes")
    assert take_engine(parser.parse_args(["--workers", "3"])) == Engine(workers=3)
    on_ray = parser.parse_args(
        ["--engine", "ray", "--ray-address", "auto", "--gpus-per-worker", ".5"]
    )
    assert take_engine(on_ray) == Engine("ray", None, "auto", 0.5)
    for words in (["--ray-address", "auto"], ["--gpus-per-worker", "1"]):
        with pytest.raises(CodedError, match=f"^{words[0]}: is of --engine ray") as error:
            take_engine(parser.parse_args(words))
        assert error.value.code == "option-idle"


def test_without_ray_the_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    message = "--engine ray: needs Ray .*; install the extra ray"
    with (
        pytest.raises(CodedError, match=message),
        open_pool(partial(build_squarer, Path()), Engine("ray")),
    ):
        pass
