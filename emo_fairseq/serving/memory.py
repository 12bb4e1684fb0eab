"""Settings of the memory allocator of a server, whose memory should not grow with its requests."""

import ctypes
import os
import sys

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3  # parameters of mallopt() in glibc's malloc.h
_ARENAS = 2
_MAPPED_BYTES = 1 << 20  # arrays from this size on are given back as soon as they are freed
_SETTINGS = ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_")


def bound_fragmentation() -> bool:
    """Let glibc keep two arenas, and map large arrays by themselves; return whether it does.

    By default each thread gets an arena of its own, and the size from which on arrays are mapped
    grows with the largest one that was freed: recordings, frames and activations of many lengths
    then leave holes in each of the arenas. Other allocators, and settings in the environment, stay
    as they are.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _SETTINGS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {_ARENA_MAX: _ARENAS, _MMAP_THRESHOLD: _MAPPED_BYTES}
    return all(mallopt(parameter, value) == 1 for parameter, value in settings.items())
