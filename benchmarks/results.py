"""What a speed benchmark measured: ratios to a peer in the same run, which other machines share.

Absolute times depend on the machine and on what else it does; the ratio of two programs that ran in
turn on it hardly does, and is what :mod:`benchmarks` compares from one version to the next.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ratio:
    """A measured quantity beside that of a peer.

    Attributes:
        of: what was measured: ``text, MiniLM``. With `against`, the name of the ratio over
            versions.
        measured: the quantity itself.
        unit: of `measured`.
        against: the peer.
        ratio: to the peer; higher is better: a speed divided by the peer's, or the peer's time
            divided by the time.
    """

    of: str
    measured: float
    unit: str
    against: str
    ratio: float

    @property
    def name(self) -> str:
        """Its name over versions.

        >>> Ratio("text, MiniLM", 90.5, "utterances/s", "a plain loop", 2.53).name
        'text, MiniLM / a plain loop'
        """
        return f"{self.of} / {self.against}"


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json FILE``, in which a benchmark leaves its ratios for ``python -m benchmarks``."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the ratios to this file")


def save_ratios(file: Path | None, ratios: Sequence[Ratio]) -> None:
    """Write the ratios of one benchmark, if there is a file for them."""
    if file is not None:
        file.write_text(json.dumps([asdict(ratio) for ratio in ratios]), encoding="utf-8")


def read_ratios(file: Path) -> list[Ratio]:
    """Read what :func:`save_ratios` wrote."""
    return [Ratio(**row) for row in json.loads(file.read_text(encoding="utf-8"))]
