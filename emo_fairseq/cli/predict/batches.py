"""From items to rows: many at once, and those that fail by themselves."""

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING

from data_prep.errors import CodedError
from emo_fairseq.cli.predict.items import Item, Reads, Source
from emo_fairseq.cli.predict.rows import Row
from emo_fairseq.errors import UsageError

if TYPE_CHECKING:
    from emo_fairseq.inference.predictor import EmotionPredictor
    from emo_fairseq.inference.transcribing import Transcribe


def batches_of(
    sources: Iterable[Source], reads: Reads, at_once: int | None
) -> Iterator[tuple[Item, ...]]:
    """Yield the items of all sources in order.

    Args:
        sources: that were opened.
        reads: what the model reads.
        at_once: items that are predicted together, fewer where they are typed; None: all.
    """
    sources = list(sources)
    if at_once is not None and any(source.is_typed(reads) for source in sources):
        at_once = 1
    items = chain.from_iterable(source.items(reads) for source in sources)
    while batch := tuple(islice(items, at_once)):
        yield batch


def predict_rows(
    predictor: "EmotionPredictor",
    options: argparse.Namespace,
    transcribe: "Transcribe | None",
    items: tuple[Item, ...],
) -> Iterator[Row]:
    """Yield rows in the order of the items."""
    if options.timeline:
        for item in items:
            yield from _predict_timeline(predictor, item, options, transcribe)
        return

    def predict(some: tuple[Item, ...]) -> list[Row]:
        predictions = predictor.predict(
            [item.audio for item in some],
            [item.text for item in some],
            batch_size=options.batch_size,
            speaker=[item.speaker for item in some],
            transcribe=transcribe,
        )
        return [Row(*pair) for pair in zip(some, predictions, strict=True)]

    if predictor.preprocessor.groups_items:
        items = tuple(_checked(predictor, item, transcribe) for item in items)
    yield from _rows_of(items, predict)


def _checked(predictor: "EmotionPredictor", item: Item, transcribe: "Transcribe | None") -> Item:
    """Return an item with its error, so that the others of its speaker are predicted together."""
    if item.error is not None:
        return item
    stub: Transcribe | None = None if transcribe is None else lambda samples: "words"
    try:
        predictor.read_item(item.audio, item.text, transcribe=stub)
    except (UsageError, OSError) as error:
        return replace(item, error=_reason(item, error, "the input"))
    return item


def _rows_of(
    items: tuple[Item, ...], predict: Callable[[tuple[Item, ...]], list[Row]]
) -> list[Row]:
    """Predict many items at once; if that fails each half alone, down to the item that fails."""
    valid = tuple(item for item in items if item.error is None)
    if len(valid) < len(items):
        rows = iter(_rows_of(valid, predict) if valid else ())
        return [next(rows) if item.error is None else Row(item, error=item.error) for item in items]
    try:
        return predict(items)
    except (UsageError, OSError) as error:  # of the system: a path that it refuses
        if len(items) == 1:
            return [Row(items[0], error=_reason(items[0], error, "item 1"))]
        middle = len(items) // 2
        return _rows_of(items[:middle], predict) + _rows_of(items[middle:], predict)


def _predict_timeline(
    predictor: "EmotionPredictor",
    item: Item,
    options: argparse.Namespace,
    transcribe: "Transcribe | None",
) -> Iterator[Row]:
    if item.error is not None:
        yield Row(item, error=item.error)
        return
    try:
        segments = predictor.timeline(
            item.audio,  # type: ignore[arg-type]  # of None it raises an error with a code
            window_seconds=options.window,
            hop_seconds=options.hop,
            text=item.text,
            batch_size=options.batch_size,
            transcribe=transcribe,
        )
    except (UsageError, OSError) as error:
        yield Row(item, error=_reason(item, error, "the input"))
        return
    for segment in segments:
        yield Row(item, segment.prediction, {"start": segment.start, "end": segment.end})


def _reason(item: Item, error: UsageError | OSError, name: str) -> CodedError:
    """Return the error without the predictor's name of the item: the row has its own."""
    if isinstance(error, OSError):
        return UsageError(f"{item.audio}: {error.strerror or error}", "file-unreadable")
    file = "" if item.audio is None else f" ({item.audio.name})"
    sentence = str(error).removeprefix(f"{name}{file}: ").removeprefix(f"{name}: ")
    return UsageError(sentence, error.code)
