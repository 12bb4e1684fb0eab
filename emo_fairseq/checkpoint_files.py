"""The files of checkpoints that fairseq-train writes into ``--save-dir``."""

import re
from pathlib import Path

BEST, LAST = "checkpoint_best.pt", "checkpoint_last.pt"

# Of an epoch, of updates, the best, or among the best; not last, which is resumed from anyway.
_BEFORE_LAST = re.compile(r"checkpoint(\d+|_\d+_\d+|_best|\.best_.+)\.pt")


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint by the time of its file, other than :data:`LAST`.

    A file that is cut short is passed over.
    """
    import zipfile  # here, since every command imports this module

    written = [
        file
        for file in folder.glob("checkpoint*.pt")
        if _BEFORE_LAST.fullmatch(file.name) and zipfile.is_zipfile(file)
    ]
    return max(written, key=lambda file: file.stat().st_mtime_ns, default=None)
