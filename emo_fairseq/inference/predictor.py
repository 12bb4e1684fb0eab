"""A trained model that answers: recordings and texts in, emotions out."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from fairseq import utils

from data_prep.audio.loading import SILENCE
from data_prep.audio.segment import AudioSegment
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.decoding import decode
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.fair_lock import FairLock
from emo_fairseq.inference.inputs import (
    Audio,
    Item,
    ItemReader,
    Transcribe,
    check_batch_size,
    pair_up,
)
from emo_fairseq.inference.loading import LoadedModel, read_checkpoint_model
from emo_fairseq.inference.model_folder import read_model_folder
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.inference.preprocessor import Preparation
from emo_fairseq.inference.timeline import Segment, windows
from emo_fairseq.models.roberta_emo import EmotionOutput
from emo_fairseq.types import SPEECH, LabeledTarget

logger = logging.getLogger(__name__)

Input = dict[str, dict[str, torch.Tensor]]
ShouldStop = Callable[[], bool]

_BATCHES_IN_MEMORY = 16  # whose recordings are decoded, and sorted by length, at a time


class StoppedError(Exception):
    """Raised between two batches after ``should_stop`` returned True."""


def never() -> bool:
    """The default of ``should_stop``."""
    return False


class EmotionPredictor:
    """Asks a model of emotion_prediction; may be asked from several threads at once.

    What it answers is what ``fairseq-validate --save-predictions`` writes for the same rows. (Where
    an encoder is frozen that is so with ``--no-encoder-cache``: the cache keeps its outputs in half
    precision.) A model trained on dialogues takes every text for a turn that stands alone.

    Args:
        loaded: see :func:`emo_fairseq.inference.model_folder.read_model_folder`.
        device: ``cpu``, ``cuda``, ``cuda:1``…

    Attributes:
        modalities: that the model reads, of text, speech and video.
        labels: in the order of the probabilities; empty for a target of numbers.
        axes: of a target of numbers, in order; else empty.
        auxiliary: by auxiliary target its labels or axes.

    Raises:
        UsageError: there is no such device, or a tokenizer cannot be read.
    """

    def __init__(self, loaded: LoadedModel, device: str | torch.device = "cpu") -> None:
        task = loaded.task
        self.device = check_device(device)
        self.modalities: tuple[str, ...] = tuple(task.modalities)
        names = tuple(task.labels)
        self.labels: tuple[str, ...] = names if task.target.has_labels else ()
        self.axes: tuple[str, ...] = () if task.target.has_labels else names
        self.auxiliary = {name: tuple(of.labels) for name, of in task.auxiliary.items()}
        self.loaded = loaded
        self._target = LabeledTarget(task.target, task.labels)
        self._auxiliary: Mapping[str, LabeledTarget] = task.auxiliary
        self._model = loaded.model.to(self.device).eval()
        self._preparation = Preparation(loaded, self.device)
        self._reader = ItemReader(self.modalities, loaded.front_end.cleans_text)
        self._lock = FairLock()
        self._warned: set[str] = set()

    def predict(
        self,
        audio: Audio | Sequence[Audio | None] | None = None,
        text: str | Sequence[str | None] | None = None,
        *,
        sample_rate: float | None = None,
        batch_size: int = 32,
        transcribe: Transcribe | None = None,
        should_stop: ShouldStop = never,
    ) -> Any:
        """Ask about one item, or about a list of them.

        Args:
            audio: a file, whole or an :class:`data_prep.audio.segment.AudioSegment` of it; or an
                array of samples, (T,) or (T, channels); or a list of these, with None where an item
                has none. Beyond ``--max-speech-seconds`` it is cut, as in training;
                :meth:`timeline` reads all of it.
            text: one, or a list likewise. What an item lacks of text and speech is masked.
            sample_rate: of arrays, in Hz; files say their own.
            batch_size: items that are computed at once.
            transcribe: from (T,) mono float32 samples at 16 kHz to text, for items without one; see
                :mod:`emo_fairseq.inference.inputs`.
            should_stop: called before each batch; once it returns True nothing more is computed.

        Returns:
            A :class:`Prediction`; of lists a list.

        Raises:
            StoppedError: `should_stop` returned True.
            UsageError: an item that cannot be read, or that the model cannot be asked; names it.
        """
        check_batch_size(batch_size)
        pairs, is_many = pair_up(audio, text)
        at_once = batch_size * _BATCHES_IN_MEMORY
        found: list[Prediction] = []
        for start in range(0, len(pairs), at_once):
            items = [
                self._reader.read(name, sound, words, sample_rate, transcribe)
                for name, sound, words in pairs[start : start + at_once]
            ]
            found += self.ask(items, batch_size, should_stop=should_stop)
        return found if is_many else found[0]

    def timeline(
        self,
        audio: Audio,
        *,
        window_seconds: float = 4.0,
        hop_seconds: float = 2.0,
        sample_rate: float | None = None,
        text: str | None = None,
        batch_size: int = 32,
        should_stop: ShouldStop = never,
    ) -> list[Segment]:
        """Ask about every stretch of one recording.

        Args:
            audio: see :meth:`predict`; of any length. Times count in the recording, also of an
                AudioSegment.
            window_seconds: length of a stretch; the last one ends with the recording, and begins
                so much before. A shorter recording is one stretch.
            hop_seconds: from the beginning of one to that of the next.
            sample_rate: of an array.
            text: read beside every stretch.
            batch_size: stretches that are computed at once.
            should_stop: see :meth:`predict`.

        Raises:
            StoppedError: `should_stop` returned True.
            UsageError: as :meth:`predict`; the model does not hear; a window that is longer than
                the model hears at once, or shorter than a hop or than 25 ms.
        """
        check_batch_size(batch_size)
        if SPEECH not in self.modalities:
            raise UsageError("timeline: the model reads no speech; use predict")
        whole = self._reader.read("the input", audio, text, sample_rate)
        if whole.sound is None:
            raise UsageError("timeline: there is no audio; give some")
        longest = self.longest_seconds()
        parts = windows(len(whole.sound), window_seconds, hop_seconds, longest)
        items = [
            Item(
                f"{part.start / SAMPLE_RATE:g} s to {part.stop / SAMPLE_RATE:g} s",
                *(whole.sound[part], whole.text, (part.stop - part.start) / SAMPLE_RATE),
                _warnings_within(whole, part),
            )
            for part in parts
        ]
        answers: list[Prediction] = []
        for offset in range(0, len(items), batch_size):
            batch = items[offset : offset + batch_size]  # features are computed of these alone
            answers += self.ask(batch, batch_size, cuts_speech=False, should_stop=should_stop)
        first = audio.start if isinstance(audio, AudioSegment) else 0.0
        return [
            Segment(first + part.start / SAMPLE_RATE, first + part.stop / SAMPLE_RATE, prediction)
            for part, prediction in zip(parts, answers, strict=True)
        ]

    def longest_seconds(self) -> float:
        """The longest recording that is heard whole; infinite where no limit is in seconds."""
        return self._preparation.longest_seconds()

    def read(
        self, audio: Audio | None = None, text: str | None = None, sample_rate: float | None = None
    ) -> Item:
        """Read one item for :meth:`ask`; the arguments and errors are those of :meth:`predict`."""
        return self._reader.read("the input", audio, text, sample_rate)

    def ask(
        self,
        items: Sequence[Item],
        batch_size: int = 32,
        cuts_speech: bool = True,
        should_stop: ShouldStop = never,
    ) -> list[Prediction]:
        """Predict items that have been read; speech that is too long is cut, or refused.

        Between two batches other threads take their turn, so that a long list does not hold up a
        short one.
        """
        check_batch_size(batch_size)
        found: dict[int, Prediction] = {}
        if not items:
            return []
        batches = self._preparation.batches(items, batch_size, cuts_speech)
        while True:
            if should_stop():
                raise StoppedError
            with self._lock:
                batch = next(batches, None)
                if batch is None:
                    break
                rows, net_input = batch
                output = self.forward(net_input)
            found |= zip(rows, self._read([items[row] for row in rows], output), strict=True)
        return [found[number] for number in range(len(items))]

    @torch.no_grad()
    def forward(self, net_input: Input) -> EmotionOutput:
        """The model's outputs for a batch, on the CPU; what another runtime has to replace."""
        if self.device.type == "cuda":
            net_input = utils.move_to_cuda(net_input, self.device)
        output = self._model(**net_input)
        return EmotionOutput(
            output.logits.float().cpu(),
            output.embedding.float().cpu(),
            {name: logits.float().cpu() for name, logits in output.auxiliary.items()},
        )

    def _read(self, items: Sequence[Item], output: EmotionOutput) -> list[Prediction]:
        undefined = output.logits.isnan().any(dim=1).tolist()
        if any(undefined):
            raise UsageError(
                f"{items[undefined.index(True)].name}: the model's answer is no number (NaN); its "
                "weights are damaged, or the training had failed"
            )
        scores, label_ids = decode(self._target.target, output.logits)
        numbers = [dict(zip(self._target.labels, row, strict=True)) for row in scores.tolist()]
        labels = [] if label_ids is None else [self.labels[k] for k in label_ids.tolist()]
        auxiliary = {
            name: decode(other.target, output.auxiliary[name]).scores.tolist()
            for name, other in self._auxiliary.items()
        }
        return [
            Prediction(
                label=labels[row] if labels else None,
                probabilities=numbers[row] if labels else {},
                values={} if labels else numbers[row],
                auxiliary={
                    name: dict(zip(self.auxiliary[name], rows[row], strict=True))
                    for name, rows in auxiliary.items()
                },
                embedding=output.embedding[row].numpy(),
                modalities=tuple(name for name in self.modalities if item.has(name)),
                text=item.text,
                seconds=item.seconds,
                warnings=(*item.warnings, *self._warnings_of(item)),
            )
            for row, item in enumerate(items)
        ]

    def _warnings_of(self, item: Item) -> list[str]:
        """Of what an item lacks, said once in the log."""
        missing = [name for name in self.modalities if not item.has(name)]
        warning = self.loaded.task.missing_warning(missing)
        if warning and warning not in self._warned:
            self._warned.add(warning)
            logger.warning("%s: %s", item.name, warning)
        return [warning] if warning else []


def _warnings_within(whole: Item, part: slice) -> tuple[str, ...]:
    """Those of a recording, but silence of each of its windows by itself."""
    warnings = tuple(warning for warning in whole.warnings if warning != SILENCE)
    is_silent = whole.sound is not None and not whole.sound[part].any()
    return (*warnings, SILENCE) if is_silent and not warnings else warnings


# -- device ----------------------------------------------------------------------------------------

_KNOWN = ("cpu", "cuda")


def check_device(device: str | torch.device) -> torch.device:
    """The device, if it is there. Raises a `UsageError` if not."""
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise UsageError(f"device {device}: there is no such thing; give cpu or cuda") from error
    if found.type not in _KNOWN:
        raise UsageError(f"device {device}: models run on {' and '.join(_KNOWN)} here; give one")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found.type == "cuda" and (found.index or 0) >= n_gpus:
        raise UsageError(
            f"device {device}: torch sees {n_gpus} GPUs here; give cpu, or install a torch with "
            "CUDA on a machine that has one"
        )
    return found


# -- loading ---------------------------------------------------------------------------------------


def load_predictor(
    place: str | Path, device: str | torch.device | None = None, data: str | Path | None = None
) -> EmotionPredictor:
    """A predictor out of a model folder, or of a checkpoint of fairseq-train.

    Args:
        place: the folder, or the ``.pt`` file.
        device: by default the GPU, if there is one.
        data: of a checkpoint the data dir with the tokenizers, by default the one that it was
            trained on.

    Raises:
        UsageError: neither is there, or it does not fit; see :class:`EmotionPredictor`.
    """
    place = Path(place)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if place.is_dir():
        if data is not None:
            raise UsageError(f"{place}: a model folder has its own tokenizers; leave data out")
        return EmotionPredictor(read_model_folder(place), device)
    return EmotionPredictor(
        read_checkpoint_model(place, None if data is None else Path(data)), device
    )
