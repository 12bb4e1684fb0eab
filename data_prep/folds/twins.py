"""Recordings that two sets of a fold share: the same one under two ids, or segments that overlap.

No protocol keeps them apart but by what it holds out whole, such as the speaker: where that is
unknown, or has two names, a model is tested on what it was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from data_prep.folds.records import Folds
from data_prep.manifest.leaks import ERROR, Leak, find_twins
from data_prep.manifest.table import ManifestTable, ids_of


def twins_across_sets(
    folds: Folds, rows: ManifestTable, sounds: Mapping[str, str]
) -> Iterator[tuple[str, Leak]]:
    """Yield the fold of each kind of leak, and the leak, whose splits are the sets.

    Args:
        folds: of one protocol.
        rows: that they divide.
        sounds: audio path -> digest of the file's content; see `find_leaks`.
    """
    if not find_twins({"all": rows}, sounds):  # so that a thousand folds of none cost nothing
        return
    number_of = {name: number for number, name in enumerate(ids_of(rows))}
    for name, sets in folds.folds.items():
        splits = {
            split: rows.take([number_of[name] for name in ids]) for split, ids in sets.items()
        }
        for leak in find_twins(splits, sounds):
            if leak.level == ERROR:
                yield name, leak


def twin_warnings(folds: Folds, rows: ManifestTable, sounds: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each kind of leak: of the first fold that has it, and how many have."""
    by_kind: dict[str, dict[str, Leak]] = {}
    for fold, leak in twins_across_sets(folds, rows, sounds):
        by_kind.setdefault(leak.what, {})[fold] = leak
    for of_folds in by_kind.values():
        fold, leak = next(iter(of_folds.items()))
        more = f" (and {len(of_folds) - 1} more folds)" if len(of_folds) > 1 else ""
        yield (
            f"fold {fold}{more}: {leak.sentence}; sets share these, so that scores are too high: "
            "leave all but one out, or fill in the speaker or dialogue that they have in common"
        )
