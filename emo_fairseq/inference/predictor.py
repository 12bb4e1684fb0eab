"""Predict emotions with a trained model: recordings, texts and videos in, predictions out."""

import contextlib
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import overload

from data_prep.audio.decoding import Source
from data_prep.audio.segment import AudioSegment
from data_prep.audio.segment_reader import SegmentReader
from data_prep.files.hub import local_folder
from data_prep.segmentation.turn import Segmentation, Turn
from data_prep.video.segment import VideoSegment
from emo_fairseq.compat.deferred_imports import import_fairseq
from emo_fairseq.diarization.activity import Progress
from emo_fairseq.diarization.options import TurnOptions
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.arguments import Given, check_batch_size, pair_inputs
from emo_fairseq.inference.chunks import ONE_DIALOGUE, group_turns
from emo_fairseq.inference.conversation import Conversation
from emo_fairseq.inference.engine import Engine, ModelEngine
from emo_fairseq.inference.graph_folder import read_graph_folder
from emo_fairseq.inference.inputs import Item, ItemReader
from emo_fairseq.inference.item_audio import Audio
from emo_fairseq.inference.model_folder.files import is_ensemble
from emo_fairseq.inference.model_folder.reading import read_model_folder
from emo_fairseq.inference.predict_conversation import predict_conversation
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.inference.providers import CPU
from emo_fairseq.inference.stopping import ShouldStop, never
from emo_fairseq.inference.timeline import Segment, predict_timeline
from emo_fairseq.inference.transcribing import Transcribe
from emo_fairseq.inference.videos import Video, VideoReader, has_pictures
from emo_fairseq.modalities import SPEECH, TEXT, VIDEO
from emo_fairseq.requirements import is_installed, require_training_stack

logger = logging.getLogger(__name__)


class EmotionPredictor:
    """A trained model of the task ``emotion_prediction``; several threads may use it at once.

    It predicts what ``fairseq-validate --save-predictions`` writes for the same rows. (Where an
    encoder is frozen that is so with ``--no-encoder-cache``: the cache keeps its outputs in half
    precision.) A model of dialogues takes an item without a ``dialogue`` for one of a single turn;
    other models do not use it.

    ::

        predictor = load_predictor("models/text+speech")
        predictor.predict("call.wav", "I do not believe it.").label
        predictor.predict(text=["So glad!", "Leave me alone."])  # a list of predictions
        predictor.predict(video="interview.mp4")  # and its sound, if the model reads speech

    Args:
        engine: runs the model; :meth:`ModelEngine.of` makes it of a model in torch.
        face_detector: the function, as ``module:function``, by which the model finds faces in
            videos. It has to be named again before it is imported, since a model folder may come
            from anywhere; that of ``opencv`` need not be.

    Attributes:
        engine: runs the model.
        device: that the model is on.
        modalities: that the model reads, of text, speech and video.
        missing: for each of these that cannot be processed here what is missing.
        labels: in the order of the probabilities; empty for a target of numbers.
        axes: of a target of numbers, in order; else empty.
        auxiliary: labels or axes of each auxiliary target, by its name.
        reader: reads recordings, texts and videos for the model.
    """

    def __init__(self, engine: Engine, face_detector: str | None = None) -> None:
        self.engine = engine
        self.device = engine.device
        self.modalities = engine.modalities
        self.missing = engine.missing
        self.labels = engine.labels
        self.axes = engine.axes
        self.auxiliary = engine.auxiliary
        self._logged: set[str] = set()
        videos = VideoReader(engine.picture_options, face_detector)
        self.reader = ItemReader(engine.modalities, engine.normalizes_text, videos)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        device: str | None = None,
        data: str | Path | None = None,
        *,
        onnx: bool | None = None,
        precision: str | None = None,
        provider: str | None = None,
        face_detector: str | None = None,
    ) -> "EmotionPredictor":
        """Load a model folder, an ensemble or a checkpoint; see :func:`load_predictor`."""
        return load_predictor(
            path,
            device,
            data,
            onnx=onnx,
            precision=precision,
            provider=provider,
            face_detector=face_detector,
        )

    @overload
    def predict(
        self,
        audio: Audio | None = None,
        text: str | None = None,
        *,
        video: Video | None = None,
        sample_rate: float | None = None,
        batch_size: int = 32,
        transcribe: Transcribe | None = None,
        speaker: str | None = None,
        dialogue: str | None = None,
        should_stop: ShouldStop = never,
    ) -> Prediction: ...

    @overload
    def predict(
        self,
        audio: Sequence[Audio | None] | None = None,
        text: Sequence[str | None] | None = None,
        *,
        video: Sequence[Video | None] | None = None,
        sample_rate: float | None = None,
        batch_size: int = 32,
        transcribe: Transcribe | None = None,
        speaker: Sequence[str | None] | str | None = None,
        dialogue: Sequence[str | None] | str | None = None,
        should_stop: ShouldStop = never,
    ) -> list[Prediction]: ...

    def predict(
        self,
        audio: Audio | Sequence[Audio | None] | None = None,
        text: str | Sequence[str | None] | None = None,
        *,
        video: Video | Sequence[Video | None] | None = None,
        sample_rate: float | None = None,
        batch_size: int = 32,
        transcribe: Transcribe | None = None,
        speaker: Sequence[str | None] | str | None = None,
        dialogue: Sequence[str | None] | str | None = None,
        should_stop: ShouldStop = never,
    ) -> Prediction | list[Prediction]:
        """Predict for one item, or for a list of items.

        Args:
            audio: a file, whole or an :class:`data_prep.audio.segment.AudioSegment` of it; or an
                array of samples, (T,) or (T, channels); or a list of these, with None where an item
                has none. Beyond ``--max-speech-seconds`` it is truncated, as in training;
                :meth:`timeline` reads all of it.
            text: one, or a list likewise. What an item lacks of text, speech and video is masked;
                a warning counts it, which is logged once for the same counts.
            video: a file, a :class:`data_prep.video.segment.VideoSegment` of it, a folder with a
                picture a frame, or the content of a file; or a list likewise. Where the model reads
                speech, and no audio is given, its sound is read, too.
            sample_rate: of arrays, in Hz; files state their own.
            batch_size: items of a batch.
            transcribe: from (T,) mono float32 samples at 16 kHz to text, for items without one; see
                :func:`emo_fairseq.inference.transcribing.faster_whisper`.
            speaker: who speaks, one for all items or a list. A model that was trained with
                ``--normalize-by speaker`` normalizes an item by all items of its speaker; without
                one by itself, with a warning. A model of dialogues reads who of a dialogue speaks.
                Other models do not use it.
            dialogue: that an item is a turn of, one for all items or a list with None for an item
                of no dialogue. Items of one dialogue are its turns, in the given order. Models
                that read an item alone do not use it.
            should_stop: called before each batch; once it returns True nothing more is computed.

        Returns:
            A prediction; for lists a list, in their order.

        Raises:
            StoppedError: `should_stop` returned True.
            UsageError: an item that cannot be read, or that the model cannot predict from; names
                it.
        """
        check_batch_size(batch_size)
        given, is_list = pair_inputs(audio, text, speaker, dialogue, video)
        by_row = self._predict_given(given, sample_rate, transcribe, batch_size, should_stop)
        predictions = [by_row[row] for row in range(len(given))]
        missing = describe_missing(self.modalities, [x.modalities for x in predictions])
        if missing and missing not in self._logged:
            self._logged.add(missing)
            logger.warning("%s", missing)
        return predictions if is_list else predictions[0]

    def predict_each(
        self,
        audio: Sequence[Audio | None] | None = None,
        text: Sequence[str | None] | None = None,
        *,
        video: Sequence[Video | None] | None = None,
        sample_rate: float | None = None,
        batch_size: int = 32,
        transcribe: Transcribe | None = None,
        speaker: Sequence[str | None] | str | None = None,
        dialogue: Sequence[str | None] | str | None = None,
        should_stop: ShouldStop = never,
    ) -> list[Prediction | UsageError]:
        """Predict for a list of items, some of which may be impossible to read.

        Such a turn of a dialogue is left out of it: the others are predicted as if it were not
        there. Arguments are those of :meth:`predict`.

        Returns:
            For each item its prediction, or the error that :meth:`predict` would raise.

        Raises:
            StoppedError: `should_stop` returned True.
            UsageError: what is read cannot be predicted from, by fault of the model.
        """
        check_batch_size(batch_size)
        given, _ = pair_inputs(audio, text, speaker, dialogue, video)
        errors: dict[int, UsageError] = {}
        results = self._predict_given(
            given, sample_rate, transcribe, batch_size, should_stop, errors
        )
        return [results[row] if row in results else errors[row] for row in range(len(given))]

    def _predict_given(
        self,
        given: Sequence[Given],
        sample_rate: float | None,
        transcribe: Transcribe | None,
        batch_size: int,
        should_stop: ShouldStop,
        errors: dict[int, UsageError] | None = None,
    ) -> dict[int, Prediction]:
        """Predict for items by their numbers; what cannot be read is raised, or put into `errors`.

        The turns of one dialogue are read one after another, wherever they are in the list.
        """
        read: list[int] = []
        order = list(_by_dialogue([item.dialogue for item in given]))
        audio_of_rows = (given[row].audio for row in order)
        segments = SegmentReader(x for x in audio_of_rows if isinstance(x, AudioSegment))

        def items() -> Iterator[Item]:
            for row in order:
                name, audio, text, speaker, dialogue, video = given[row]
                try:
                    item = self.reader.read(
                        name, audio, text, sample_rate, transcribe, segments.load, video
                    )
                except (UsageError, OSError) as error:  # of the system: a path that it refuses
                    if errors is None:
                        raise
                    errors[row] = _as_usage_error(name, video if audio is None else audio, error)
                    continue
                read.append(row)
                yield replace(item, speaker=speaker, dialogue=dialogue)

        with contextlib.closing(segments):
            predictions = self.engine.predict(items(), batch_size, should_stop=should_stop)
            return dict(zip(read, predictions, strict=True))

    def timeline(
        self,
        audio: Audio,
        *,
        window_seconds: float = 4.0,
        hop_seconds: float = 2.0,
        sample_rate: float | None = None,
        text: str | None = None,
        batch_size: int = 32,
        transcribe: Transcribe | None = None,
        should_stop: ShouldStop = never,
    ) -> list[Segment]:
        """Predict for every window of one recording, of any length.

        Where the model reads video, and the audio is that of a video file, the pictures of each
        window are read, too; of a recording without pictures each prediction has a warning.

        Args:
            audio: see :meth:`predict`. Times count in the file, also for an AudioSegment of it.
            window_seconds: length of a window; the last one ends with the recording, and starts
                so much before. A shorter recording is one window.
            hop_seconds: from the start of one to that of the next.
            sample_rate: of an array, in Hz.
            text: read beside every window.
            batch_size: windows of a batch.
            transcribe: see :meth:`predict`, of the whole recording. Where the transcript has words
                with times, a window has those within it; else all of it.
            should_stop: see :meth:`predict`.

        Raises:
            StoppedError: `should_stop` returned True.
            UsageError: as :meth:`predict`; the model reads no speech; a window that is longer than
                the model reads at once, or shorter than a hop or than 25 ms.
        """
        return predict_timeline(
            self,
            audio,
            window_seconds=window_seconds,
            hop_seconds=hop_seconds,
            sample_rate=sample_rate,
            text=text,
            batch_size=batch_size,
            transcribe=transcribe,
            should_stop=should_stop,
        )

    def predict_segments(
        self,
        recording: str | Path,
        turns: Sequence[Turn],
        *,
        batch_size: int = 32,
        transcribe: Transcribe | None = None,
        should_stop: ShouldStop = never,
    ) -> list[Segment]:
        """Predict for the turns of one recording, which are those of one dialogue.

        ::

            turns = read_segmentation("call.rttm", recording="call.wav").turns
            predictor.predict_segments("call.wav", turns)

        Args:
            recording: audio file.
            turns: of :func:`data_prep.segmentation.formats.read_segmentation`. Their texts are
                read where the model reads text, their speakers as by :meth:`predict`. A model of
                dialogues reads them in order of time.
            batch_size: turns of a batch.
            transcribe: see :meth:`predict`, for turns without a text.
            should_stop: see :meth:`predict`.

        Returns:
            A segment for each turn, in their order.

        Raises:
            StoppedError: `should_stop` returned True.
            UsageError: as :meth:`predict`; a turn beyond the end of the recording, or shorter than
                25 ms.
        """
        path = Path(recording)
        reads_audio = SPEECH in self.modalities or transcribe is not None
        reads_video = VIDEO in self.modalities and has_pictures(path)
        order = sorted(range(len(turns)), key=lambda row: (turns[row].start, turns[row].end))
        in_order = [turns[row] for row in order]
        times = [(float(turn.start), float(turn.end)) for turn in in_order]
        in_time_order = self.predict(
            [
                AudioSegment(path, *time, turn.channel) if reads_audio else None
                for turn, time in zip(in_order, times, strict=True)
            ],
            [turn.text if TEXT in self.modalities else None for turn in in_order],
            video=[VideoSegment(path, *time) if reads_video else None for time in times],
            batch_size=batch_size,
            transcribe=transcribe,
            speaker=[turn.speaker for turn in in_order],
            dialogue=ONE_DIALOGUE,
            should_stop=should_stop,
        )
        predictions = dict(zip(order, in_time_order, strict=True))
        return [
            Segment(float(turn.start), float(turn.end), predictions[row], turn.speaker)
            for row, turn in enumerate(turns)
        ]

    def conversation(
        self,
        recording: Source,
        turns: Segmentation | Sequence[Turn] | None = None,
        *,
        name: str | None = None,
        turn_options: TurnOptions | None = None,
        transcribe: Transcribe | None = None,
        batch_size: int = 32,
        progress: Progress | None = None,
        should_stop: ShouldStop = never,
    ) -> Conversation:
        """Predict for all turns of one recording, which is decoded once and never held as a whole.

        ::

            conversation = predictor.conversation("call.wav")
            [(turn.turn.speaker, turn.label, turn.shift) for turn in conversation.turns]

        Args:
            recording: a path; the content of a file, as bytes or as an open binary file; or (T,)
                samples at 16 kHz.
            turns: of the recording, such as those of
                :func:`data_prep.segmentation.formats.read_segmentation`; None: they are found, by
                :func:`emo_fairseq.diarization.turns.find_turns`.
            name: of the recording; by default its file name.
            turn_options: which turns are found.
            transcribe: see :meth:`predict`, for turns without a text.
            batch_size: turns of a batch.
            progress: called with what is done, how many seconds, and the length of the recording,
                which may be None.
            should_stop: see :meth:`predict`.

        Returns:
            The turns in order of time, as one dialogue; one that cannot be predicted has its error.

        Raises:
            StoppedError: `should_stop` returned True.
            UsageError: the recording cannot be decoded, or the model reads nothing of it.
        """
        return predict_conversation(
            self,
            recording,
            turns,
            name=name,
            turn_options=turn_options,
            transcribe=transcribe,
            batch_size=batch_size,
            progress=progress,
            should_stop=should_stop,
        )

    def max_seconds(self) -> float:
        """Return the longest recording that is read whole; see :meth:`Preprocessor.max_seconds`."""
        return self.engine.max_seconds()

    def read_item(
        self,
        audio: Audio | None = None,
        text: str | None = None,
        sample_rate: float | None = None,
        transcribe: Transcribe | None = None,
        *,
        video: Video | None = None,
        speaker: str | None = None,
        dialogue: str | None = None,
        name: str = "the input",
    ) -> Item:
        """Read one item for :meth:`predict_items`; arguments and errors as :meth:`predict`.

        `name` is of the item, for messages.
        """
        item = self.reader.read(name, audio, text, sample_rate, transcribe, video=video)
        return replace(item, speaker=speaker, dialogue=dialogue)

    def predict_items(
        self,
        items: Sequence[Item],
        batch_size: int = 32,
        truncates_speech: bool = True,
        should_stop: ShouldStop = never,
    ) -> list[Prediction]:
        """Predict for items that have been read.

        Between two batches other threads take their turn, so that a long list does not hold up a
        short one.

        Args:
            items: of :meth:`read_item`; those of one dialogue are its turns, in their order.
            batch_size: items of a batch.
            truncates_speech: whether speech that is too long is truncated, or refused.
            should_stop: see :meth:`predict`.
        """
        check_batch_size(batch_size)
        order = _by_dialogue([item.dialogue for item in items])
        in_dialogue_order = self.engine.predict(
            (items[row] for row in order), batch_size, truncates_speech, should_stop
        )
        predictions = dict(zip(order, in_dialogue_order, strict=True))
        return [predictions[row] for row in range(len(items))]

    def predict_dialogue(
        self, turns: Iterable[Item], batch_size: int = 32, should_stop: ShouldStop = never
    ) -> list[Prediction]:
        """Predict for the turns of one dialogue, of which few recordings are in memory at a time.

        Args:
            turns: of :meth:`read_item`, in their order; taken as they are needed.
            batch_size: turns of a batch.
            should_stop: see :meth:`predict`.
        """
        check_batch_size(batch_size)
        items = map(partial(replace, dialogue=ONE_DIALOGUE), turns)
        return self.engine.predict(items, batch_size, should_stop=should_stop)


def _by_dialogue(dialogues: Iterable[str | None]) -> list[int]:
    """Return row numbers so that the turns of each dialogue follow each other."""
    return [row for turns in group_turns(dialogues) for row in turns]


def _as_usage_error(
    name: str, recording: Audio | Video | None, error: UsageError | OSError
) -> UsageError:
    if isinstance(error, UsageError):
        return error
    reason = error.strerror or error
    return UsageError(f"{name}: {recording}: {reason}", "file-unreadable")


def describe_missing(modalities: Sequence[str], given: Sequence[Collection[str]]) -> str:
    """Return a sentence on what rows lack of what a model reads; empty where they have all.

    >>> describe_missing(("text", "video"), [("text",), ("text", "video")])
    'video is missing in 1 of 2 rows, and masked: the model reads text and video'

    Args:
        modalities: that the model reads.
        given: those of each row.
    """
    counts = {name: sum(name not in of_row for of_row in given) for name in modalities}
    parts = [
        f"{name} is missing in {count} of {len(given)} rows"
        for name, count in counts.items()
        if count
    ]
    if not parts:
        return ""
    return f"{', '.join(parts)}, and masked: the model reads {' and '.join(modalities)}"


def load_predictor(
    path: str | Path,
    device: str | None = None,
    data: str | Path | None = None,
    *,
    onnx: bool | None = None,
    precision: str | None = None,
    provider: str | None = None,
    face_detector: str | None = None,
) -> EmotionPredictor:
    """Load a predictor from a model folder, an ensemble, or a checkpoint of fairseq-train.

    Args:
        path: the folder, the ``.pt`` file, or ``hf:ORG/NAME[@REVISION]`` of the hub.
        device: by default the GPU, if there is one.
        data: of a checkpoint the data dir with the tokenizers, by default the one that it was
            trained on.
        onnx: run a graph of the folder; None: where torch is not installed, or `precision` or
            `provider` is given.
        precision: of the graph, ``fp32``, ``fp16`` or ``int8``; by default ``fp32``, or the only
            one that the folder has.
        provider: that runs the graph: ``cpu`` (the default), ``cuda``, ``tensorrt`` or ``coreml``.
        face_detector: see :class:`EmotionPredictor`.

    Raises:
        UsageError: neither is there, or it does not fit; see :class:`EmotionPredictor`.
    """
    path = local_folder(path)
    chosen = {"precision": precision, "provider": provider}
    of_graph = [name for name, value in chosen.items() if value is not None]
    if of_graph and onnx is False:
        raise UsageError(
            f"{of_graph[0]} {chosen[of_graph[0]]}: is of a graph, and onnx is False; leave one out",
            "option-idle",
        )
    if path.is_dir() and data is not None:
        raise UsageError(
            f"{path}: a model folder has its own tokenizers; leave data out", "option-idle"
        )
    if onnx or of_graph or (onnx is None and path.is_dir() and not is_installed("torch")):
        return _load_graph(path, device, precision, provider or CPU, face_detector)
    require_training_stack(str(path))
    import_fairseq()
    from emo_fairseq.compat import without_compiler  # which imports torch

    without_compiler.apply()
    if device is None:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    if not path.is_dir():
        from emo_fairseq.inference.checkpoint import load_checkpoint_model

        loaded = load_checkpoint_model(path, None if data is None else Path(data))
        return EmotionPredictor(ModelEngine.of(loaded, device), face_detector)
    if is_ensemble(path):
        from emo_fairseq.inference.ensemble_folder import read_ensemble

        return EmotionPredictor(read_ensemble(path, device), face_detector)
    return EmotionPredictor(ModelEngine.of(read_model_folder(path), device), face_detector)


def _load_graph(
    path: Path,
    device: str | None,
    precision: str | None,
    provider: str,
    face_detector: str | None,
) -> EmotionPredictor:
    if is_ensemble(path):
        require_training_stack(f"{path}: an ensemble")
        raise UsageError(f"{path}: an ensemble has no graph; leave ONNX out", "graph-missing")
    if device not in (None, "cpu"):
        raise UsageError(
            f"device {device}: a graph runs on a provider; leave the device out, and give provider "
            f"{device.partition(':')[0]}",
            "onnx-device",
        )
    return EmotionPredictor(read_graph_folder(path, precision, provider), face_detector)
