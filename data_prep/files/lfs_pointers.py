"""Pointers of Git LFS: what a clone has in place of large files that were not fetched."""

from __future__ import annotations

PROBLEM = "a pointer of Git LFS in place of the file"
REMEDY = "fetch it with `git lfs pull`"
_BEGIN = b"version https://git-lfs.github.com/spec/"
N_BYTES = len(_BEGIN)  # of the beginning by which one is known


def is_lfs_pointer(head: bytes) -> bool:
    """Return whether a file that begins with these bytes, `N_BYTES` or more, is a pointer."""
    return head.startswith(_BEGIN)
