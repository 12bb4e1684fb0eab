"""Labels in brackets before the texts of turns, as subtitles with emotions have them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from data_prep.segmentation.turn import Segmentation

LABELS_IN_BRACKETS = "labels in brackets"


def without_labels(segmentation: Segmentation, labels: Collection[str]) -> Segmentation:
    """Return turns whose texts do not begin with one of these labels, ``[happy] Good morning``.

    It was predicted or annotated, and nobody said it; turns that lose one are counted in `skipped`.
    Other words in brackets stay: ``[laughs]``.
    """
    marks = [f"[{label}]" for label in labels]
    turns = []
    n_labels = 0
    for turn in segmentation.turns:
        text = turn.text or ""
        mark = next((mark for mark in marks if f"{text} ".startswith(f"{mark} ")), "")
        n_labels += bool(mark)
        turns.append(replace(turn, text=text[len(mark) :].strip() or None) if mark else turn)
    if not n_labels:
        return segmentation
    return replace(
        segmentation, turns=turns, skipped={**segmentation.skipped, LABELS_IN_BRACKETS: n_labels}
    )
