"""The arguments of :meth:`EmotionPredictor.predict`: one input or lists of them, as items."""

from typing import Any, NamedTuple

import numpy as np

from emo_fairseq.errors import UsageError
from emo_fairseq.inference.item_audio import Audio
from emo_fairseq.inference.videos import Video


class Given(NamedTuple):
    """One item of :meth:`EmotionPredictor.predict`, before it is read.

    Attributes:
        name: for messages.
        audio: see :func:`load_item_audio`.
        text: what is said.
        speaker: who speaks.
        dialogue: that it is a turn of.
        video: see :meth:`VideoReader.read`.
    """

    name: str
    audio: Audio | None = None
    text: str | None = None
    speaker: str | None = None
    dialogue: str | None = None
    video: Video | None = None


def pair_inputs(
    audio: Any, text: Any, speaker: Any = None, dialogue: Any = None, video: Any = None
) -> tuple[list[Given], bool]:
    """Pair the arguments of :meth:`EmotionPredictor.predict`.

    >>> for item in pair_inputs(None, ["a", "b"], "ann")[0]:
    ...     print(item.name, item.text, item.speaker)
    item 1 a ann
    item 2 b ann
    >>> pair_inputs("a.wav", "a")[0][0].name
    'the input'

    Returns:
        The items, and whether lists were given.

    Raises:
        UsageError: lists of different lengths, a list and no list, or a name that is no string.
    """
    columns = {"audio": audio, "text": text, "video": video}
    is_list = {name: isinstance(column, list | tuple) for name, column in columns.items()}
    if not any(is_list.values()):
        (who,), (where,) = _names(speaker, 1, "speaker"), _names(dialogue, 1, "dialogue")
        return [Given("the input", audio, text, who, where, video)], False
    for name, column in columns.items():
        if column is not None and not is_list[name]:
            raise UsageError(
                f"{name} is no list, and others are; give lists of the same length",
                "batch-mixed",
            )
    lengths = {len(column) for column in columns.values() if column is not None}
    if len(lengths) > 1:
        nouns = {"audio": "recordings", "text": "texts", "video": "videos"}
        counted = [f"{len(x)} {nouns[name]}" for name, x in columns.items() if x is not None]
        raise UsageError(
            f"{' and '.join(counted)}; give lists of the same length, with None where an item has "
            "none",
            "batch-lengths-differ",
        )
    n_items = lengths.pop()
    none = [None] * n_items
    rows = zip(
        audio or none,
        text or none,
        _names(speaker, n_items, "speaker"),
        _names(dialogue, n_items, "dialogue"),
        video or none,
        strict=True,
    )
    return [Given(f"item {number}", *row) for number, row in enumerate(rows, start=1)], True


def _names(names: Any, n_items: int, option: str) -> list[str | None]:
    """Return the speaker or the dialogue of each item.

    Raises:
        UsageError: a list of another length, or something that is no string.
    """
    if not isinstance(names, list | tuple):
        names = [names] * n_items
    if len(names) != n_items:
        raise UsageError(
            f"{len(names)} {option}s for {n_items} items; give one for each, None where it is not "
            "known, or one for all",
            "batch-lengths-differ",
        )
    for number, name in enumerate(names, start=1):
        if name is not None and not isinstance(name, str):
            raise UsageError(
                f"item {number}: the {option} is {type(name).__name__}, and not a string; give its "
                "name, or None",
                "name-type",
            )
    return list(names)


def check_batch_size(batch_size: int) -> None:
    """Raise a `UsageError` unless it is a whole number of at least 1."""
    if not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise UsageError(
            f"batch_size {batch_size}: give a whole number of at least 1", "batch-size-invalid"
        )
