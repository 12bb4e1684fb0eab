"""Files of tests are not written through to the disk: they need not survive a power cut."""

import os


def do_not_sync() -> None:
    """Let ``os.fsync`` return at once; it takes 10 ms a file, and most tests write several."""
    os.fsync = lambda descriptor: None
