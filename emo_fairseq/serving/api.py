"""Endpoints of the JSON API: from the fields of a request to a dictionary that JSON can hold.

    POST /api/predict    audio and/or text; embedding=true adds the embedding
    POST /api/timeline   audio; window_seconds, hop_seconds, text
    POST /api/explain    audio and/or text; start, end: of a segment of the audio
    POST /api/conversation  audio; turns, turns_format: a file of turns; speakers, recording

A request is multipart/form-data, or JSON with a text alone. The "cut" of a response lists which
inputs were truncated; its "transcript", and that of each window of a timeline, is what the server
transcribed of audio without a text, null where it did not. A new endpoint is a function and a row
of :data:`ENDPOINTS`.

The functions run in a thread of the workers, and use nothing of HTTP but :class:`HttpError`.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.audio.loading import SILENCE
from data_prep.errors import CodedError
from data_prep.files.hub import name_of_folder
from data_prep.messages import sentence
from data_prep.schema import SAMPLE_RATE
from data_prep.segmentation.formats import FORMATS
from emo_fairseq.compat.excepthook import find_mistake
from emo_fairseq.diarization.options import AUTO, CHANNELS, NO_SPEAKERS, TurnOptions
from emo_fairseq.inference.occlusion import explain
from emo_fairseq.inference.prediction import Prediction, Truncation
from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.inference.stopping import ShouldStop, StoppedError
from emo_fairseq.inference.transcribing import FasterWhisper, Transcribe, Transcript
from emo_fairseq.serving.audio_uploads import AudioUpload, decode_upload
from emo_fairseq.serving.http_errors import HttpError
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.request_body import (
    JSON,
    Reader,
    audio_bytes,
    file_bytes,
    flag,
    json_pairs,
    line_up_to,
    media_type,
    number_between,
    one_of,
    read_fields,
    read_parts,
    text_up_to,
)
from emo_fairseq.serving.segmentation_uploads import read_turns

_CARD = "README.md"
_WINDOW, _HOP = 4.0, 2.0  # seconds, where the model reads so many at once
_SHORTEST, _LONGEST = 0.25, 60.0  # seconds of a window or a hop
_NAME_CHARACTERS = 255  # of a recording
_NUMBERS = [str(number) for number in range(1, 21)]  # of speakers
_TABLE = "csv"  # format of a file of turns, unless another is named
_OVERLAP = 8  # windows that may contain the same sample
_ITEM = "item"  # of a batched request, preprocessed; no name of a field

Fields = Mapping[str, Any]
Outputs = dict[str, Any]
Samples = npt.NDArray[np.float32]


# -- GET /api/model --------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelDescription:
    """A model's name, and its card in Markdown (empty if there is none)."""

    name: str = "model"
    card: str = ""


def read_description(path: Path) -> ModelDescription:
    """Return the name of a model folder and its README.md without front matter.

    Of a checkpoint the name of its folder.

    >>> read_description(Path("checkpoints/toy/checkpoint_best.pt"))
    ModelDescription(name='toy', card='')
    """
    if not path.is_dir():
        return ModelDescription(path.resolve().parent.name)
    file = path / _CARD
    card = file.read_text(encoding="utf-8") if file.is_file() else ""
    if card.startswith("---\n"):
        card = card.partition("\n---\n")[2]
    return ModelDescription(name_of_folder(path.absolute()), card.strip())


def describe_model(
    predictor: EmotionPredictor,
    limits: Limits,
    description: ModelDescription,
    transcriber: FasterWhisper | None = None,
) -> Outputs:
    """Return the response of ``GET /api/model``."""
    max_seconds = predictor.max_seconds()
    return {
        "name": description.name,
        "card": description.card,
        "modalities": list(predictor.modalities),
        "transcribes": None if transcriber is None else transcriber.name,
        "labels": list(predictor.labels),
        "axes": list(predictor.axes),
        "auxiliary": {name: list(outputs) for name, outputs in predictor.auxiliary.items()},
        "heard_seconds": max_seconds if math.isfinite(max_seconds) else None,
        "limits": {
            "upload_bytes": limits.upload_bytes,
            "audio_seconds": limits.audio_seconds,
            "text_characters": limits.text_characters,
            "explained_seconds": min(limits.explained_seconds, max_seconds),
        },
    }


# -- endpoints -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Endpoint:
    """One address of the API that is posted to.

    Attributes:
        readers: of the fields beside audio and text.
        handle: one request.
        handle_texts: several requests with a text and no audio, if these are batched.
    """

    readers: Mapping[str, Reader]
    handle: Callable[["Api", Fields, ShouldStop], Outputs]
    handle_texts: Callable[["Api", Sequence[Fields]], list[Outputs]] | None = None

    def is_batched(self, fields: Fields) -> bool:
        """Whether a request is computed together with others."""
        return self.handle_texts is not None and "audio" not in fields


class Api:
    """Reads and handles requests to one predictor, within limits.

    Args:
        predictor: of all requests.
        limits: of what clients may send.
        transcriber: of audio without a text, if it is transcribed.
    """

    def __init__(
        self,
        predictor: EmotionPredictor,
        limits: Limits,
        transcriber: FasterWhisper | None = None,
    ) -> None:
        self.predictor = predictor
        self.limits = limits
        self._transcriber = transcriber

    def transcribe(self, should_stop: ShouldStop, words: bool = False) -> Transcribe | None:
        """Return what transcribes the audio of one request, with the times of words if wanted."""
        if self._transcriber is None:
            return None
        return functools.partial(self._transcriber, words=words, should_stop=should_stop)

    def read(self, endpoint: Endpoint, content_type: str, body: bytes) -> Fields:
        """Read the fields of a body; preprocess a request that is batched, with all its errors.

        Raises:
            HttpError: the body is malformed, or holds no text that the predictor can use.
        """
        kind = media_type(content_type)
        pairs = json_pairs(body) if kind == JSON else read_parts(content_type, body)
        text = text_up_to(self.limits.text_characters)
        readers = {"audio": audio_bytes, "text": text, **endpoint.readers}
        fields: Fields = read_fields(kind, pairs, readers)
        if endpoint.is_batched(fields):
            with _mistakes_as_http_errors():
                _, content = self.inputs(fields)
                fields = {**fields, _ITEM: self.predictor.read_item(text=content)}
        return fields

    def handle(
        self, endpoint: Endpoint, requests: Sequence[Fields], should_stop: ShouldStop
    ) -> list[Outputs]:
        """Handle one request, or several that are batched.

        Raises:
            HttpError: the predictor cannot use the input.
            StoppedError: `should_stop` returned True.
        """
        with _mistakes_as_http_errors():
            if endpoint.handle_texts is not None and _ITEM in requests[0]:
                return endpoint.handle_texts(self, requests)
            return [endpoint.handle(self, fields, should_stop) for fields in requests]

    def inputs(self, fields: Fields) -> tuple[AudioUpload | None, str | None]:
        """Return the decoded audio and the text of a request; None for what was not sent.

        Raises:
            HttpError: there is neither, or the model does not read it.
        """
        audio, text = None, fields.get("text")
        if "audio" in fields:
            if self._transcriber is None:
                self._check_modality("speech", "audio; send a text")
            audio = decode_upload(fields["audio"], self.limits)
        if text is not None:
            self._check_modality("text", "text; send audio")
        if audio is None and text is None:
            words = {"speech": "audio", "text": "a text"}
            used = {*self.predictor.modalities, *(["speech"] if self._transcriber else [])}
            needed = [word for name, word in words.items() if name in used]
            message = f"There is nothing to recognize; send {' or '.join(needed)}."
            raise HttpError(422, message, "input-missing")
        return audio, text

    def _check_modality(self, modality: str, rest: str) -> None:
        if modality not in self.predictor.modalities:
            raise HttpError(422, f"This model does not read {rest}.", "modality-not-read")


@contextmanager
def _mistakes_as_http_errors() -> Iterator[None]:
    try:
        yield
    except HttpError:
        raise
    except Exception as error:
        mistake = find_mistake(error)
        if mistake is None:
            raise
        code = mistake.code if isinstance(mistake, CodedError) else ""
        raise HttpError(422, sentence(mistake), code or "input-unusable") from error


def _predict(api: Api, fields: Fields, should_stop: ShouldStop) -> Outputs:
    audio, text = api.inputs(fields)
    samples, rate = _samples(audio)
    prediction = api.predictor.predict(
        audio=samples,
        text=text,
        sample_rate=rate,
        transcribe=api.transcribe(should_stop),
        should_stop=should_stop,
    )
    return _prediction_outputs(fields, prediction, audio)


def _predict_texts(api: Api, requests: Sequence[Fields]) -> list[Outputs]:
    predictions = api.predictor.predict_items(
        [fields[_ITEM] for fields in requests], batch_size=len(requests)
    )
    return [
        _prediction_outputs(fields, prediction)
        for fields, prediction in zip(requests, predictions, strict=True)
    ]


def _prediction_outputs(
    fields: Fields, prediction: Prediction, audio: AudioUpload | None = None
) -> Outputs:
    outputs: Outputs = prediction.as_dict(embedding=fields.get("embedding", False))
    warnings = _warnings(audio, prediction.warnings)
    return {**outputs, "warnings": warnings, "cut": _truncated(prediction.truncations)}


def _timeline(api: Api, fields: Fields, should_stop: ShouldStop) -> Outputs:
    audio, text = api.inputs(fields)
    if audio is None:
        raise HttpError(422, "A timeline needs audio; send a file.", "audio-missing")
    window = fields.get("window_seconds", min(_WINDOW, api.predictor.max_seconds()))
    hop = fields.get("hop_seconds", min(_HOP, window / 2))
    if window > _OVERLAP * hop:  # each second of audio would be computed that many times
        message = "hop_seconds has to be at least an eighth of window_seconds."
        raise HttpError(422, message, "hop-too-short")
    if audio.seconds / hop > (limit := api.limits.segments):
        message = f"This would be more than {limit} windows; make hop_seconds longer."
        raise HttpError(422, message, "windows-too-many")
    segments = api.predictor.timeline(
        audio.samples,
        window_seconds=window,
        hop_seconds=hop,
        sample_rate=audio.sample_rate,
        text=text,
        transcribe=api.transcribe(should_stop, words=True),
        should_stop=should_stop,
    )
    return {
        "seconds": audio.seconds,
        "segments": [segment.as_dict() for segment in segments],
        "warnings": list(audio.warnings),
        "cut": _truncated(segments[0].prediction.truncations),
    }


def _explain(api: Api, fields: Fields, should_stop: ShouldStop) -> Outputs:
    audio, text = api.inputs(fields)
    start = fields.get("start", 0.0)
    if "start" in fields or "end" in fields:
        if audio is None:
            message = "start and end are times in the audio; send a file."
            raise HttpError(422, message, "audio-missing")
        audio = audio.segment(start, fields.get("end", audio.seconds))
    if audio is not None and audio.seconds > (limit := api.limits.explained_seconds):
        message = f"At most {limit:g} s are explained at once; choose a segment by start and end."
        raise HttpError(422, message, "explanation-too-long")
    samples, rate = _samples(audio)
    samples, text, transcript = _transcribed(api, samples, text, should_stop)
    explanation = explain(api.predictor, samples, text, rate, should_stop)
    outputs = explanation.as_dict(from_second=start)
    truncated = _truncated(explanation.truncations)  # left_out is about audio
    found = None if transcript is None else transcript.text
    return {**outputs, "transcript": found, "warnings": _warnings(audio), "cut": truncated}


def _conversation(api: Api, fields: Fields, should_stop: ShouldStop) -> Outputs:
    if fields.get("text") is not None:
        message = "A conversation has a text for each turn; send a file with the turns."
        raise HttpError(422, message, "text-not-read")
    audio, _ = api.inputs(fields)
    if audio is None:
        raise HttpError(422, "A conversation needs audio; send a file.", "audio-missing")
    name = fields.get("recording") or "the recording"
    turns = None
    if "turns" in fields and "speakers" in fields:
        message = "speakers is for turns that are found; a file of turns names its own."
        raise HttpError(422, message, "option-idle")
    if "turns" in fields:
        turns = read_turns(fields["turns"], fields.get("turns_format", _TABLE), name)
        if len(turns.turns) > (limit := api.limits.segments):
            message = f"The file has {len(turns.turns)} turns; the limit is {limit}."
            raise HttpError(422, message, "turns-too-many")

    def report(*_: object) -> None:
        if should_stop():  # while turns are found
            raise StoppedError

    options = TurnOptions(speakers=_speakers(fields))
    conversation = api.predictor.conversation(
        fields["audio"] if options.speakers == CHANNELS else audio.samples,  # which are mixed
        turns,
        name=name,
        turn_options=options,
        transcribe=api.transcribe(should_stop),
        progress=report,
        should_stop=should_stop,
    )
    document = conversation.to_document()
    return {**document, "notes": [*document["notes"], *audio.warnings]}


def _speakers(fields: Fields) -> str | int:
    value = fields.get("speakers", NO_SPEAKERS)
    return int(value) if value.isdecimal() else value


def _transcribed(
    api: Api, samples: Samples | None, text: str | None, should_stop: ShouldStop
) -> tuple[Samples | None, str | None, Transcript | None]:
    """Return samples, text and transcript of an input to be explained.

    A model of text alone gets no samples: the words of the transcript have the weights.
    """
    transcribe = api.transcribe(should_stop)
    if transcribe is None or samples is None or text is not None:
        return samples, text, None
    item = api.predictor.read_item(samples, sample_rate=SAMPLE_RATE, transcribe=transcribe)
    return item.samples, item.text, item.transcript


def _samples(audio: AudioUpload | None) -> tuple[Samples | None, int | None]:
    return (None, None) if audio is None else (audio.samples, audio.sample_rate)


def _warnings(audio: AudioUpload | None, others: Sequence[str] = ()) -> list[str]:
    """Return the warnings of the file, whose channels its samples lack, and of the prediction."""
    if audio is None:
        return list(others)
    return [*audio.warnings, *(other for other in others if other != SILENCE)]


def _truncated(truncations: Sequence[Truncation]) -> list[str]:
    """Return a sentence for each input that was truncated."""
    descriptions = [truncation.describe() for truncation in truncations]
    return [f"{text[0].upper()}{text[1:]}." for text in descriptions]


_SECOND = number_between(0, 1e6)
_LENGTH = number_between(_SHORTEST, _LONGEST)
ENDPOINTS = {
    "predict": Endpoint({"embedding": flag}, _predict, _predict_texts),
    "timeline": Endpoint({"window_seconds": _LENGTH, "hop_seconds": _LENGTH}, _timeline),
    "explain": Endpoint({"start": _SECOND, "end": _SECOND}, _explain),
    "conversation": Endpoint(
        {
            "turns": file_bytes,
            "turns_format": one_of(*FORMATS),
            "speakers": one_of(NO_SPEAKERS, AUTO, CHANNELS, *_NUMBERS),
            "recording": line_up_to(_NAME_CHARACTERS),
        },
        _conversation,
    ),
}
