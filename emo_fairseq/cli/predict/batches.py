"""From items to rows: many at once, dialogues whole, and those that fail by themselves."""

import argparse
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from data_prep.audio.segment import AudioSegment
from data_prep.errors import CodedError
from data_prep.video.segment import VideoSegment
from emo_fairseq.cli.predict.items import Item, Reads, Source, with_video
from emo_fairseq.cli.predict.rows import Row
from emo_fairseq.errors import UsageError

if TYPE_CHECKING:
    from emo_fairseq.inference.prediction import Prediction
    from emo_fairseq.inference.predictor import EmotionPredictor
    from emo_fairseq.inference.transcribing import Transcribe

    Predict = Callable[[Sequence[Item]], list[Prediction | UsageError]]


def batches_of(
    sources: Iterable[Source], reads: Reads, at_once: int | None
) -> Iterator[tuple[Item, ...]]:
    """Yield the items of all sources in order, all turns of a dialogue in one batch.

    So a batch holds all rows from the first to the last turn of the dialogues that it holds: rows,
    and no recordings.

    Args:
        sources: that were opened.
        reads: what the model reads.
        at_once: items that are predicted together, fewer where they are typed, and more where
            dialogues are longer; None: all.
    """
    sources = list(sources)
    if at_once is not None and any(source.is_typed(reads) for source in sources):
        at_once = 1
    batch: list[Item] = []
    unfinished: set[str] = set()
    for item in _items_of(sources, reads):
        batch.append(item)
        if item.dialogue is not None:
            (unfinished.add if item.n_following else unfinished.discard)(item.dialogue)
        if at_once is not None and len(batch) >= at_once and not unfinished:
            yield tuple(batch)
            batch = []
    if batch:
        yield tuple(batch)


def _items_of(sources: Sequence[Source], reads: Reads) -> Iterator[Item]:
    """Yield the items of all sources; dialogues of two sources are two, whatever their names."""
    for number, source in enumerate(sources):
        for item in source.items(reads):
            name = None if item.dialogue is None else f"{number} {item.dialogue}"
            # A table decides row by row, and segments have the pictures of their recording.
            item = item if item.cells is not None else with_video(item, reads)
            yield replace(item, dialogue=name)


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

    def predict(some: Sequence[Item]) -> "list[Prediction | UsageError]":
        return predictor.predict_each(
            [item.audio for item in some],
            [item.text for item in some],
            video=[item.video for item in some],
            batch_size=options.batch_size,
            speaker=[item.speaker for item in some],
            dialogue=[item.dialogue for item in some],
            transcribe=transcribe,
        )

    order = sorted(range(len(items)), key=lambda number: items[number].position)
    valid = [number for number in order if items[number].error is None]
    found = _rows_of([items[x] for x in valid], predict, predictor.engine.groups_items)
    rows = dict(zip(valid, found, strict=True))
    for number, item in enumerate(items):
        yield rows[number] if number in rows else Row(item, error=item.error)


def _rows_of(items: Sequence[Item], predict: "Predict", groups: bool = False) -> list[Row]:
    """Predict many items at once; if that fails each half alone, down to the item that fails.

    The turns of one dialogue are predicted together, or all of them fail. Where the model reads an
    item with others of its speaker (`groups`), those that do not fail are predicted together again.
    """
    from emo_fairseq.inference.chunks import group_turns  # which needs torch

    try:
        predictions = predict(items) if items else []
    except (UsageError, OSError) as error:  # of the model, or of the system
        units = group_turns(item.dialogue for item in items)
        if len(units) == 1:
            return [Row(item, error=_error_of_unit(items, error)) for item in items]
        rows: dict[int, Row] = {}
        for half in (units[: len(units) // 2], units[len(units) // 2 :]):
            numbers = sorted(number for unit in half for number in unit)
            rows |= zip(numbers, _rows_of([items[x] for x in numbers], predict), strict=True)
        rest = [number for number in range(len(items)) if rows[number].error is None]
        if groups and len(rest) < len(items):
            rows |= zip(rest, _rows_of([items[x] for x in rest], predict, groups), strict=True)
        return [rows[number] for number in range(len(items))]
    return [
        Row(item, error=_reason(item, result, f"item {number}"))
        if isinstance(result, UsageError)
        else Row(item, result)
        for number, (item, result) in enumerate(zip(items, predictions, strict=True), start=1)
    ]


def _error_of_unit(items: Sequence[Item], error: UsageError | OSError) -> CodedError:
    """Return the error of all turns of a dialogue, of which it names one."""
    named = re.match(r"item (\d+)\b", str(error))
    if len(items) == 1 or named is None:
        return _reason(items[0], error, "item 1")
    item = items[int(named[1]) - 1]
    reason = _reason(item, error, named[0])
    return UsageError(f"its dialogue cannot be predicted: {item.name}: {reason}", reason.code)


def _predict_timeline(
    predictor: "EmotionPredictor",
    item: Item,
    options: argparse.Namespace,
    transcribe: "Transcribe | None",
) -> Iterator[Row]:
    if item.error is not None:
        yield Row(item, error=item.error)
        return
    recording = item.recording
    if isinstance(recording, VideoSegment):  # whose pictures a timeline reads beside its sound
        recording = AudioSegment(recording.path, recording.start, recording.end)
    try:
        segments = predictor.timeline(
            recording,  # type: ignore[arg-type]  # of None it raises an error with a code
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
        return UsageError(f"{item.recording}: {error.strerror or error}", "file-unreadable")
    file = "" if item.recording is None else f" ({item.recording.name})"
    sentence = str(error).removeprefix(f"{name}{file}: ").removeprefix(f"{name}: ")
    return UsageError(sentence, error.code)
