"""Memory that a training frees is reused: the system maps its pages once."""

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from emo_fairseq.compat.freed_memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.full(2**26, 1, dtype=np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), faults())
"""


def count(mode: str, **environment: str) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode],
        env={"PYTHONPATH": ":".join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = map(int, done.stdout.split())
    return first, second


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not with glibc")
def test_freed_memory_is_mapped_once() -> None:
    first, second = count("keep")
    assert second < first / 2
    first, second = count("leave")
    assert second > first / 2
    first, second = count("keep", MALLOC_MMAP_THRESHOLD_="33554432")
    assert second > first / 2
