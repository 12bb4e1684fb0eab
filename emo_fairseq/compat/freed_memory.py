"""The C library keeps memory that is freed, and gives it out again, in place of the system.

glibc takes an allocation of 32 MB and more from the system and returns it when it is freed, and the
system clears every page of the next one. The activations of a waveform encoder and the gradient of
an embedding are such: of an update of wav2vec 2.0 on a CPU that was a tenth.
"""

import ctypes
import os

# Of malloc.h: from which size on memory is taken from the system, and how much is kept.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_LARGEST = 2**30  # bytes of an allocation that is reused
_MOST_KEPT = 2**31 - 1
_OWN_SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> None:
    """Let this process keep what it frees. Nothing changes without glibc, or if the user set it."""
    if any(name in os.environ for name in _OWN_SETTINGS):
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, _LARGEST)
        set_option(_TRIM_THRESHOLD, _MOST_KEPT)
