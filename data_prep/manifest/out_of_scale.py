"""Ratings of valence, arousal and dominance, and what becomes of one outside its scale.

`--out-of-scale` chooses: `refuse` (default), `clip` to the nearest end of the scale, or
`drop-axis`, which leaves the value empty and the others as they are. Whatever is chosen, every such
rating is counted and listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from data_prep.errors import CodedError
from data_prep.manifest.records import Corpus, DroppedRow, scale_vad

REFUSE, CLIP, DROP_AXIS = "refuse", "clip", "drop-axis"
OUT_OF_SCALE = (REFUSE, CLIP, DROP_AXIS)
_SHOWN = 20  # ratings in a refusal


class _TakesOptions(Protocol):
    """A parser, or a group of one."""

    def add_argument(self, *names: str, **settings: Any) -> Any: ...


def add_out_of_scale(parser: _TakesOptions) -> None:
    """Add the option `--out-of-scale`."""
    about = (
        "valence, arousal or dominance outside the scale: refuse, clip to its nearest end, or drop "
        "that axis of the row (default: %(default)s)"
    )
    parser.add_argument("--out-of-scale", choices=OUT_OF_SCALE, default=REFUSE, help=about)


@dataclass
class VadScale:
    """Maps ratings from `low` to `high` to [0, 1], and lists those outside.

    >>> scale = VadScale(1, 5, CLIP)
    >>> scale.scale("a", "valence", 2.0), scale.scale("b", "valence", 5.5)
    (0.25, 1.0)
    >>> scale.outside
    [('b', 'valence', 5.5)]
    """

    low: float
    high: float
    out_of_scale: str = REFUSE
    outside: list[tuple[str, str, float]] = field(default_factory=list)  # row id, axis, rating

    def scale(self, row_id: str, axis: str, value: float) -> float | None:
        """Return a rating in [0, 1]; None for one outside the scale that is not clipped.

        Raises:
            ValueError: NaN.
        """
        if value < self.low or value > self.high:
            self.outside.append((row_id, axis, value))
            if self.out_of_scale != CLIP:
                return None
            value = min(max(value, self.low), self.high)
        return scale_vad(value, self.low, self.high)

    def list_outside(self, corpus: Corpus, split_of: Mapping[str, str] | str) -> None:
        """List the ratings outside the scale in the card.

        Args:
            corpus: the card.
            split_of: the split of each row id, others are left out; or that of all rows.

        Raises:
            CodedError: there are some, and they are refused.
        """
        outside = [r for r in self.outside if isinstance(split_of, str) or r[0] in split_of]
        if not outside:
            return
        listed = [f"{axis} {value:g} of {row_id}" for row_id, axis, value in outside]
        scale = f"outside the scale {self.low:g} to {self.high:g}"
        if self.out_of_scale == REFUSE:
            rest = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
            raise CodedError(
                f"{corpus.name}: {len(listed)} ratings are {scale}: {', '.join(listed[:_SHOWN])}"
                f"{rest}; correct them, or choose --out-of-scale {CLIP} (to its nearest end) or "
                f"--out-of-scale {DROP_AXIS} (leave that axis of the row empty)",
                "vad-out-of-scale",
            )
        if self.out_of_scale == CLIP:
            note = f"{len(listed)} ratings {scale} were clipped: {', '.join(listed)}"
            corpus.notes.append(note)
            return
        for row_id, axis, value in outside:
            split = split_of if isinstance(split_of, str) else split_of[row_id]
            reason = f"{value:g} lies outside {self.low:g} to {self.high:g}"
            corpus.dropped.append(DroppedRow(split, row_id, reason, axis))
