"""Predict batches of items on an engine; finished ones are kept until the output is written."""

import argparse
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.audio.segment import as_segment
from data_prep.engines import LOCAL, Engine
from data_prep.errors import CodedError
from data_prep.files.digests import stamp, user_memory
from data_prep.files.remote import RemotePath, as_path
from data_prep.files.shards import JsonCodec, ShardStore, shard_map
from data_prep.manifest.digests import sequence_digest
from data_prep.manifest.segment import RecordingSegment
from data_prep.video.folders import list_pictures
from data_prep.video.segment import as_video
from emo_fairseq.cli.models import load_model, model_digests
from emo_fairseq.cli.predict.batches import predict_rows
from emo_fairseq.cli.predict.items import Item
from emo_fairseq.cli.predict.rows import Row
from emo_fairseq.errors import UsageError

if TYPE_CHECKING:
    from emo_fairseq.inference.predictor import EmotionPredictor
    from emo_fairseq.inference.transcribing import Transcribe

LoadTranscriber = Callable[[argparse.Namespace, "EmotionPredictor"], "Transcribe | None"]
# Options that predictions depend on, beside the model and the items.
_OPTIONS = (
    "batch_size",
    "data",
    "device",
    "face_detector",
    "onnx",
    "precision",
    "provider",
    "timeline",
    "window",
    "hop",
    "transcribe",
    "language",
    "transcribe_device",
)


@dataclass(frozen=True)
class Predicting:
    """What is done with batches of items.

    Attributes:
        options: of the command line.
        predictor: of the model, which the process itself uses if it is the only worker.
        transcribe: likewise.
        load_transcriber: returns what transcribes, in other workers.
        engine: where batches are predicted.
    """

    options: argparse.Namespace
    predictor: "EmotionPredictor"
    transcribe: "Transcribe | None"
    load_transcriber: LoadTranscriber
    engine: Engine

    def rows(self, batches: Iterable[tuple[Item, ...]]) -> Iterator[Row]:
        """Yield the rows of all items, in order."""
        store = self._store
        build: Callable[[], Callable[[Sequence[Item]], list[Any]]]
        if self.engine.name == LOCAL and self.engine.workers == 1:
            build = functools.partial(_function, self.options, self.predictor, self.transcribe)
        else:
            build = functools.partial(_build, self.options, self.load_transcriber)
        with shard_map(build, self.engine) as predict:
            title = "predictions"
            for items, predictions in predict.shards(batches, title, store, self._key_of, _name_of):
                for item, values in zip(items, predictions, strict=True):
                    yield from (_row_of(item, row) for row in values)
        if store is not None:
            store.remove()

    @property
    def _store(self) -> ShardStore[Any] | None:
        """Return where finished batches are kept: beside the file that is written."""
        output: Path | None = self.options.output
        if output is not None and isinstance(remote := as_path(output), RemotePath):
            name = sequence_digest([("output", str(remote))])
            return ShardStore(user_memory().parent / "predictions" / name[:32], JsonCodec())
        if output is None or (output.exists() and not output.is_file()):
            return None
        target = output.resolve()
        return ShardStore(target.with_name(f".{target.name}.partial"), JsonCodec())

    @functools.cached_property
    def _settings(self) -> list[tuple[str, str]]:
        options = [(name, repr(getattr(self.options, name))) for name in _OPTIONS]
        return [*options, *model_digests(self.options)]

    def _key_of(self, number: int, items: Sequence[Item]) -> str:
        return sequence_digest(list(self._settings) + [("item", _describe(item)) for item in items])


def _name_of(number: int) -> str:
    return f"predictions: batch {number + 1}"


def _describe(item: Item) -> str:
    """Return all of an item that its prediction depends on; files by size, times and inode."""
    files: list[RecordingSegment | None] = []
    files += [None if item.audio is None else as_segment(item.audio)]
    files += [] if item.video is None else [as_video(item.video)]
    parts = (item.name, item.text, item.speaker, item.dialogue, item.position, item.n_following)
    return repr((*parts, str(item.error or ""), *map(_describe_file, files)))


def _describe_file(part: RecordingSegment | None) -> tuple[object, ...]:
    if part is None:
        return ()
    of_files: list[list[int]] = []
    try:
        of_files.append(stamp(part.path))
        if part.path.is_dir():
            of_files += [stamp(picture) for picture in list_pictures(part.path)]
    except (OSError, ValueError):  # of a file that is not there, or of a path with a zero byte
        pass
    return str(part.path), part.key, of_files


# -- In each of the workers ------------------------------------------------------------------------


def _build(
    options: argparse.Namespace, load_transcriber: LoadTranscriber
) -> Callable[[Sequence[Item]], list[Any]]:
    predictor = load_model(options)
    return _function(options, predictor, load_transcriber(options, predictor))


def _function(
    options: argparse.Namespace,
    predictor: "EmotionPredictor",
    transcribe: "Transcribe | None",
) -> Callable[[Sequence[Item]], list[Any]]:
    """Return the function from items to the values of the rows of each."""

    def predict(items: Sequence[Item]) -> list[list[Mapping[str, Any]]]:
        values: list[list[Mapping[str, Any]]] = [[] for _ in items]
        number_of = {id(item): number for number, item in enumerate(items)}
        for row in predict_rows(predictor, options, transcribe, tuple(items)):
            values[number_of[id(row.item)]].append(_values_of(row))
        return values

    return predict


# -- Rows as plain values, without the item that they are of ---------------------------------------


def _values_of(row: Row) -> Mapping[str, Any]:
    error = None if row.error is None else (str(row.error), row.error.code)
    prediction = None
    if row.prediction is not None:
        fields = vars(row.prediction)
        prediction = {name: value for name, value in fields.items() if name != "embedding"}
        prediction |= {
            "transcript": row.prediction.transcript and asdict(row.prediction.transcript),
            "truncations": [asdict(truncation) for truncation in row.prediction.truncations],
            "auxiliary": {name: dict(x) for name, x in row.prediction.auxiliary.items()},
            "probabilities": dict(row.prediction.probabilities),
            "values": dict(row.prediction.values),
        }
    return {"prediction": prediction, "times": dict(row.times), "error": error}


def _row_of(item: Item, values: Mapping[str, Any]) -> Row:
    import numpy as np

    from emo_fairseq.inference.prediction import Prediction, Truncation
    from emo_fairseq.inference.transcribing import Transcript, Word

    error: CodedError | None = None if values["error"] is None else UsageError(*values["error"])
    fields = values["prediction"]
    if fields is None:
        return Row(item, None, values["times"], error)
    transcript = fields["transcript"]
    if transcript is not None:
        words = tuple(Word(**word) for word in transcript["words"])
        transcript = Transcript(transcript["text"], transcript["language"], words)
    truncations = tuple(Truncation(**truncation) for truncation in fields["truncations"])
    tuples = {"modalities": tuple(fields["modalities"]), "warnings": tuple(fields["warnings"])}
    own = {"transcript": transcript, "truncations": truncations, **tuples}
    prediction = Prediction(**{**fields, **own}, embedding=np.empty(0, np.float32))
    return Row(item, prediction, values["times"], error)
