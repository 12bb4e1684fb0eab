"""Random splits that keep groups (speakers, dialogues...) whole."""

from __future__ import annotations

import random
from collections.abc import Mapping


def split_groups(
    sizes: Mapping[str, int], fractions: Mapping[str, float], seed: int
) -> dict[str, str]:
    """{group: rows} -> {group: split}: whole groups, drawn until a split has its share of rows.

    `fractions` gives the share of each split but train, which takes the rest. Raises ValueError
    when the shares leave train nothing, or when there are fewer groups than splits.
    """
    wanted = {split: share for split, share in fractions.items() if share}
    if any(share < 0 for share in wanted.values()) or sum(wanted.values()) >= 1:
        raise ValueError(f"the shares {dict(fractions)} leave nothing for train")
    groups = sorted(sizes)
    random.Random(seed).shuffle(groups)
    total = sum(sizes.values())
    split_of: dict[str, str] = {}
    for split, share in wanted.items():
        rows = 0
        while groups and rows < share * total:
            group = groups.pop()
            split_of[group] = split
            rows += sizes[group]
    if not groups or set(split_of.values()) != set(wanted):
        raise ValueError(
            f"{len(sizes)} groups are too few, or too uneven, for train, {', '.join(wanted)}"
        )
    return split_of | dict.fromkeys(groups, "train")
