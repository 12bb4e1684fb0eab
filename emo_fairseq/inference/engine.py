"""Engines: what runs a model on items that have been read, and gives their predictions.

:class:`ModelEngine` runs one model, :class:`emo_fairseq.inference.ensemble.EnsembleEngine` several.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from data_prep.schema import SAMPLE_RATE
from data_prep.video.loading import PictureOptions
from emo_fairseq.data.dialogue_windows import Window
from emo_fairseq.decoding import decode
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.chunks import Chunk, ChunkSize, Reach, divide, group_turns
from emo_fairseq.inference.encoded_turns import (
    EncodedTurn,
    ItemFacts,
    window_batches,
)
from emo_fairseq.inference.fair_lock import FairLock
from emo_fairseq.inference.input_processor import InputProcessor
from emo_fairseq.inference.inputs import Item
from emo_fairseq.inference.model import InferenceModel, LoadedModel, ModelOutput, NetInput
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.inference.preprocessor import Batch, Preprocessor
from emo_fairseq.inference.stopping import ShouldStop, StoppedError, never
from emo_fairseq.targets import LabeledTarget
from emo_fairseq.task_state import TaskState

logger = logging.getLogger(__name__)

# Whose recordings are decoded, and sorted by length, at a time: 16 batches, or 20 minutes (77 MB).
_BATCHES_IN_MEMORY = 16
_SAMPLES_IN_MEMORY = 20 * 60 * SAMPLE_RATE

_Batch = TypeVar("_Batch")
_Output = TypeVar("_Output")


class Engine(ABC):
    """One model or several, as one.

    Attributes:
        members: the engines of the single models.
        device: that they are on.
        modalities: that any of them reads, of text, speech and video.
        missing: for each of these that cannot be processed here what is missing.
        normalizes_text: whether texts are normalized; see :mod:`data_prep.manifest.cells`.
        labels: in the order of the probabilities; empty for a target of numbers.
        axes: of a target of numbers, in order; else empty.
        auxiliary: labels or axes of each auxiliary target, by its name.
    """

    members: "Sequence[ModelEngine]"
    device: str
    modalities: tuple[str, ...]
    missing: Mapping[str, str]
    normalizes_text: bool
    labels: tuple[str, ...]
    axes: tuple[str, ...]
    auxiliary: Mapping[str, tuple[str, ...]]

    @abstractmethod
    def combine(
        self, items: Sequence[Item], predictions: Sequence[Sequence[Prediction | None]]
    ) -> list[Prediction]:
        """Return the predictions of the engine.

        Args:
            items: N items, without recordings.
            predictions: the N predictions of each member; None of an item that it does not read.
        """

    @property
    def groups_items(self) -> bool:
        """Whether what is read of an item depends on others of the same speaker."""
        return any(member.preprocessor.groups_items for member in self.members)

    @property
    def reads_dialogues(self) -> bool:
        """Whether what is read of an item depends on the turns of its dialogue."""
        return any(member.preprocessor.reads_dialogues for member in self.members)

    @property
    def reads_future(self) -> bool:
        """Whether what is read of an item depends on the turns after it."""
        return any(member.preprocessor.reads_future for member in self.members)

    @property
    def picture_options(self) -> tuple[PictureOptions, ...]:
        """Which pictures of a video the members read; empty where none reads any."""
        options = (member.preprocessor.picture_options for member in self.members)
        return tuple(dict.fromkeys(x for x in options if x is not None))

    def max_seconds(self) -> float:
        """Return the longest recording that is read whole; see :meth:`Preprocessor.max_seconds`."""
        return min(member.preprocessor.max_seconds() for member in self.members)

    def predict(
        self,
        items: Iterable[Item],
        batch_size: int,
        truncates_speech: bool = True,
        should_stop: ShouldStop = never,
    ) -> list[Prediction]:
        """Predict for items, which are read as they are needed.

        The turns of each dialogue follow each other. Speech that is too long is refused unless it
        is truncated, by `truncates_speech`.
        """
        size = ChunkSize(batch_size * _BATCHES_IN_MEMORY, _SAMPLES_IN_MEMORY)
        if self.groups_items:
            size = ChunkSize()  # all of a speaker's
        reaches = [member.preprocessor.reach for member in self.members]
        reach = Reach(*(max(lengths) for lengths in zip(*reaches, strict=True)))
        light: list[Item] = []
        read: list[list[_Read | None]] = [[] for _ in self.members]

        def read_chunk(chunk: Chunk) -> None:
            light.extend(chunk.items[row].without_recordings() for row in chunk.rows)
            for member, outputs in zip(self.members, read, strict=True):
                outputs += member.read(chunk, batch_size, truncates_speech, should_stop)

        for _ in map(read_chunk, divide(items, size, reach)):
            pass  # map holds no chunk while the recordings of the next are decoded
        predictions = [
            member.finish(outputs, batch_size, should_stop)
            for member, outputs in zip(self.members, read, strict=True)
        ]
        return self.combine(light, predictions)


_Read = Prediction | EncodedTurn  # the latter of a model with a dialogue encoder


class ModelEngine(Engine):
    """Runs one model; several threads may use it at once.

    Args:
        state: what the model reads and predicts.
        processor: its tokenizers and feature extractors.
        model: runs.

    Raises:
        UsageError: a tokenizer cannot be read.
    """

    def __init__(self, state: TaskState, processor: InputProcessor, model: InferenceModel) -> None:
        names = tuple(state.labels)
        self.members = (self,)
        self.device = model.device
        self.modalities = state.modalities
        self.missing = processor.missing
        self.normalizes_text = processor.normalizes_text
        self.labels = names if state.target.has_labels else ()
        self.axes = () if state.target.has_labels else names
        self.auxiliary = {name: tuple(other.labels) for name, other in state.auxiliary.items()}
        self.model = model
        self.preprocessor = Preprocessor(state, processor, self.device)
        self.target = LabeledTarget(state.target, state.labels)
        self._auxiliary_targets = state.auxiliary
        self._lock = FairLock()
        self._logged: set[str] = set()

    @classmethod
    def of(cls, loaded: LoadedModel, device: str = "cpu") -> "ModelEngine":
        """Return the engine of a model in torch.

        Raises:
            UsageError: there is no such device, or a tokenizer cannot be read.
        """
        from emo_fairseq.inference.torch_model import TorchModel

        return cls(loaded.state, loaded.processor, TorchModel(loaded.model, device))

    def combine(
        self, items: Sequence[Item], predictions: Sequence[Sequence[Prediction | None]]
    ) -> list[Prediction]:
        """Return the predictions of the one model, which reads every item."""
        return [prediction for prediction in predictions[0] if prediction is not None]

    def reads(self, item: Item) -> bool:
        """Return whether the item has an input of the model."""
        return any(item.has(modality) for modality in self.modalities)

    def read(
        self,
        chunk: Chunk,
        batch_size: int,
        truncates_speech: bool = True,
        should_stop: ShouldStop = never,
    ) -> list[_Read | None]:
        """Predict for the rows of a chunk, or encode them where there is a dialogue encoder.

        Returns:
            For each row the prediction or the encoded turn; None where the model reads none of it.
        """
        rows = [row for row in chunk.rows if self.reads(chunk.items[row])]
        batches = self.preprocessor.batches(chunk.items, batch_size, truncates_speech, rows)
        run = self._encode if self.preprocessor.encodes_dialogues else self._predict
        read: dict[int, _Read] = {}
        for batch, outputs in run(chunk, batches, should_stop):
            read |= zip(batch.rows, outputs, strict=True)
        return [read.get(row) for row in chunk.rows]

    def finish(
        self, read: Sequence[_Read | None], batch_size: int, should_stop: ShouldStop = never
    ) -> list[Prediction | None]:
        """Return the predictions of all that was read, dialogues whole."""
        numbers = [number for number, output in enumerate(read) if isinstance(output, EncodedTurn)]
        if not numbers:
            return [output if isinstance(output, Prediction) else None for output in read]
        turns = [output for output in read if isinstance(output, EncodedTurn)]
        windows = self.preprocessor.plan_windows(group_turns(x.item.dialogue for x in turns))
        classified = self.classify(turns, windows, batch_size, should_stop)
        predictions: list[Prediction | None] = [None] * len(read)
        for number, row in enumerate(numbers):
            predictions[row] = classified[number]
        return predictions

    def _predict(
        self, chunk: Chunk, batches: Iterator[Batch], should_stop: ShouldStop
    ) -> Iterator[tuple[Batch, list[Prediction]]]:
        for batch, output in self._run(batches, lambda x: self.forward(x.net_input), should_stop):
            items = [chunk.items[row] for row in batch.rows]
            yield batch, self._decode(items, self._facts(items, batch), output)

    def _encode(
        self, chunk: Chunk, batches: Iterator[Batch], should_stop: ShouldStop
    ) -> Iterator[tuple[Batch, list[EncodedTurn]]]:
        embed = self.model.embed
        for batch, embeddings in self._run(batches, lambda x: embed(x.net_input), should_stop):
            items = [chunk.items[row] for row in batch.rows]
            _check_defined(items, embeddings)
            facts = self._facts(items, batch)
            yield (
                batch,
                [
                    EncodedTurn(item.without_recordings(), *rest)
                    for item, *rest in zip(items, facts, embeddings, strict=True)
                ],
            )

    def classify(
        self,
        turns: Sequence[EncodedTurn],
        windows: Sequence[Window],
        batch_size: int = 32,
        should_stop: ShouldStop = never,
    ) -> dict[int, Prediction]:
        """Predict for encoded turns, by a model with a dialogue encoder.

        Returns:
            The predictions of the turns that the windows score, by their numbers.
        """
        predictions: dict[int, Prediction] = {}
        batches, run = window_batches(turns, windows, batch_size), self.model.classify
        for batch, output in self._run(
            batches, lambda x: run(x.embedding, x.dialogue), should_stop
        ):
            scored = [turns[row] for row in batch.rows]
            facts = [turn.facts for turn in scored]
            decoded = self._decode([turn.item for turn in scored], facts, output)
            predictions |= zip(batch.rows, decoded, strict=True)
        return predictions

    def _run(
        self, batches: Iterator[_Batch], run: Callable[[_Batch], _Output], should_stop: ShouldStop
    ) -> Iterator[tuple[_Batch, _Output]]:
        """Yield each batch with its outputs; between two batches other threads run."""
        while True:
            if should_stop():
                raise StoppedError
            with self._lock:
                batch = next(batches, None)
                if batch is None:
                    return
                output = run(batch)
            yield batch, output

    def _facts(self, items: Sequence[Item], batch: Batch) -> list[ItemFacts]:
        return [
            ItemFacts(
                tuple(name for name in self.modalities if item.has(name)),
                (*item.warnings, *self._warnings(item)),
                truncations,
            )
            for item, truncations in zip(items, batch.truncations, strict=True)
        ]

    def forward(self, net_input: NetInput) -> ModelOutput:
        """Run the model on a batch."""
        return self.model.forward(net_input)

    def _decode(
        self, items: Sequence[Item], facts: Sequence[ItemFacts], output: ModelOutput
    ) -> list[Prediction]:
        for outputs in (output.logits, *output.auxiliary.values()):
            _check_defined(items, outputs)
        scores, label_ids = decode(self.target.target, output.logits)
        by_name = [dict(zip(self.target.labels, row, strict=True)) for row in scores.tolist()]
        labels = [] if label_ids is None else [self.labels[k] for k in label_ids.tolist()]
        auxiliary = {
            name: decode(other.target, output.auxiliary[name]).scores.tolist()
            for name, other in self._auxiliary_targets.items()
        }
        return [
            Prediction(
                label=labels[row] if labels else None,
                probabilities=by_name[row] if labels else {},
                values={} if labels else by_name[row],
                auxiliary={
                    name: dict(zip(self.auxiliary[name], rows[row], strict=True))
                    for name, rows in auxiliary.items()
                },
                embedding=output.embedding[row],
                modalities=facts[row].modalities,
                text=item.text,
                seconds=item.seconds,
                transcript=item.transcript,
                warnings=facts[row].warnings,
                truncations=facts[row].truncations,
            )
            for row, item in enumerate(items)
        ]

    def _warnings(self, item: Item) -> list[str]:
        """Return the warnings of what an item lacks; log each once."""
        lacks = [name for name in self.modalities if not item.has(name)]
        of_model = self.model.missing_warning(lacks)
        warnings = [x for x in (of_model, self.preprocessor.normalization_warning(item)) if x]
        warnings += self.preprocessor.dialogue_warnings(item)
        for warning in warnings:
            if warning not in self._logged:
                self._logged.add(warning)
                logger.warning("%s: %s", item.name, warning)
        return warnings


def _check_defined(items: Sequence[Item], outputs: np.ndarray) -> None:
    """Raise a `UsageError` if the outputs (B, n) of an item are NaN or infinite."""
    is_undefined = (~np.isfinite(outputs)).any(axis=1).tolist()
    if any(is_undefined):
        raise UsageError(
            f"{items[is_undefined.index(True)].name}: the model's output is NaN or infinite; its "
            "weights are damaged, the training had failed, or the precision of a graph is too low",
            "output-undefined",
        )
