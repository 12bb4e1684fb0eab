"""In which order processes take the files of tests."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from slow_files import QUICK, SLOW, FromTwoEnds, place

TESTS = Path(__file__).parent


@pytest.mark.parametrize("start", SLOW)
def test_each_slow_one_is_there(start):
    assert list(TESTS.glob(f"{start.removesuffix('/')}*")), f"tests/ has no {start}"


def test_only_tests_have_a_place():
    assert place(f"tests/{SLOW[2]}::test_it") == 2
    assert place(f"docs/{SLOW[0]}") == place("tests/losses/test_it.py::test_it") == QUICK


class Process:
    """Notes which tests it is given."""

    shutting_down = False

    def __init__(self, name):
        self.gateway = SimpleNamespace(id=name)
        self.told = []

    def send_runtest_some(self, numbers):
        self.told += numbers

    def shutdown(self):
        self.shutting_down = True


def test_two_processes_run_each_file_once_and_slow_ones_from_both_ends():
    files = [f"tests/{SLOW[0]}{letter}.py" for letter in "abcd"]
    files += [f"tests/losses/{letter}.py" for letter in "abc"]
    names = [f"{file}::test_{number}" for file in files for number in range(3)]
    options = SimpleNamespace(tx=["2*popen"], loadscopereorder=False)
    config = SimpleNamespace(option=options, getvalue=lambda name: getattr(options, name))
    scheduler = FromTwoEnds(config)
    processes = [Process("gw0"), Process("gw1")]
    for process in processes:
        scheduler.add_node(process)
    for process in processes:
        scheduler.add_node_collection(process, names)
    scheduler.schedule()
    done = [0, 0]
    while not scheduler.tests_finished or any(
        len(process.told) > n for process, n in zip(processes, done, strict=True)
    ):
        for number, process in enumerate(processes):
            if done[number] < len(process.told):
                done[number] += 1
                scheduler.mark_test_complete(process, process.told[done[number] - 1])
    first, second = (
        list(dict.fromkeys(names[number].split("::")[0] for number in process.told))
        for process in processes
    )
    assert sorted(first + second) == sorted(files)
    assert first[:2] == files[:2]
    assert second[:2] == [files[3], files[2]]
    assert sorted(number for process in processes for number in process.told) == list(
        range(len(names))
    )
    assert all(process.shutting_down for process in processes)
