"""Requests to one predictor: read, batched and predicted, within limits.

A request is multipart/form-data, or JSON with a text (to predict, also with audio and video in
base64). The rows of one request have a result each, a prediction or an error, in their order.
:mod:`emo_fairseq.serving.endpoints` has what is specific to an address.
"""

import functools
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.audio.part import SILENCE
from data_prep.errors import CodedError
from data_prep.messages import sentence
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.compat.excepthook import find_mistake
from emo_fairseq.inference.inputs import Item
from emo_fairseq.inference.prediction import Prediction, Truncation
from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.inference.stopping import ShouldStop, StoppedError
from emo_fairseq.inference.transcribing import FasterWhisper, Transcribe
from emo_fairseq.modalities import SPEECH, TEXT, VIDEO
from emo_fairseq.serving.audio_uploads import TOO_LONG, AudioUpload, decode_upload
from emo_fairseq.serving.http_errors import INTERNAL, HttpError
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.multipart import read_parts
from emo_fairseq.serving.request_body import JSON, media_type
from emo_fairseq.serving.request_fields import (
    Reader,
    audio_bytes,
    audio_or_base64,
    check_json_size,
    json_pairs,
    read_fields,
    text_up_to,
)
from emo_fairseq.serving.rows import REPEATED, Row, read_rows, row_readers
from emo_fairseq.serving.video_uploads import STATUSES, has_sound, limited_video

logger = logging.getLogger(__name__)

_LENGTHS_PER_OCTAVE = 4  # of recordings of one batch: the longest is a fifth longer, at most
_BATCHED_SECONDS = 30.0  # recordings up to this length are computed in batches

Fields = Mapping[str, Any]
Outputs = dict[str, Any]
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Request:
    """A request that has been read.

    Attributes:
        fields: by name; without audio where the item has it.
        item: of a request that may be computed together with others; None of others.
        warnings: of its audio file.
        rows: of a request with several inputs; None of others.
        name: its id, for the log.
    """

    fields: Fields
    item: Item | None = None
    warnings: tuple[str, ...] = ()
    rows: Sequence[Row] | None = None
    name: str | None = None

    @property
    def batch_key(self) -> tuple[bool, int] | None:
        """Equal where requests may be batched; None: alone.

        Recordings are batched with those of a similar length, since each is computed as long as the
        longest.
        """
        if self.item is None:
            return None
        n_samples = 0 if self.item.samples is None else len(self.item.samples)
        length = int(_LENGTHS_PER_OCTAVE * math.log2(n_samples)) if n_samples else 0
        return self.item.text is not None, length


@dataclass(frozen=True)
class Endpoint:
    """One address of the API that is posted to.

    Attributes:
        about: one sentence for people.
        readers: of the fields beside audio and text.
        handle: one request.
        is_predict: whether requests are predictions of an input, which are batched and may have
            rows.
    """

    about: str
    readers: Mapping[str, Reader]
    handle: Callable[["Api", Fields, ShouldStop], Outputs]
    is_predict: bool = False


Result = Outputs | HttpError


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

    def read(
        self, endpoint: Endpoint, content_type: str, body: bytes, name: str | None = None
    ) -> Request:
        """Read the fields of a body; `name` is the id of the request.

        Raises:
            HttpError: the body is malformed.
        """
        kind, limits = media_type(content_type), self.limits
        n_rows = limits.rows if endpoint.is_predict else 0
        if kind == JSON:
            check_json_size(body, limits)
            pairs = json_pairs(body)
        else:
            pairs = read_parts(content_type, body, n_rows)
        audio = audio_or_base64 if endpoint.is_predict else audio_bytes
        readers = {"audio": audio, "text": text_up_to(limits.text_characters), **endpoint.readers}
        if not endpoint.is_predict:
            return Request(read_fields(kind, pairs, readers), name=name)
        fields = read_fields(kind, pairs, {**readers, **row_readers(limits)}, REPEATED)
        return Request(fields, rows=read_rows(fields, limits), name=name)

    def preprocess(self, endpoint: Endpoint, request: Request) -> Request:
        """Read the item of a request that may be batched, with all its errors.

        Raises:
            HttpError: it holds nothing that the predictor can use.
        """
        fields = request.fields
        if not endpoint.is_predict or request.rows is not None:
            return request
        # Videos are decoded by the threads that compute, one in each: that bounds the memory.
        if "video" in fields or ("audio" in fields and not self._batches_audio(fields)):
            return request
        try:
            audio, text = self.inputs(fields, min(_BATCHED_SECONDS, self.limits.audio_seconds))
        except HttpError as error:
            if error.code == TOO_LONG and self.limits.audio_seconds > _BATCHED_SECONDS:
                return request
            raise
        with _mistakes_as_http_errors():
            item = self.predictor.read_item(samples_of(audio), text, SAMPLE_RATE)
        others = {name: value for name, value in fields.items() if name != "audio"}
        warnings = () if audio is None else audio.warnings
        return Request(others, item, warnings, name=request.name)

    def _batches_audio(self, fields: Fields) -> bool:
        """Return whether a recording is computed as fast with others, and depends on none."""
        is_transcribed = self._transcriber is not None and fields.get("text") is None
        return not is_transcribed and not self.predictor.engine.groups_items

    def handle(
        self, endpoint: Endpoint, requests: Sequence[Request], should_stop: ShouldStop
    ) -> list[Result]:
        """Handle one request, or several that are batched; return the outputs or error of each."""
        if requests[0].item is not None:
            return _predict_items(self, requests, should_stop)
        (request,) = requests

        def run() -> list[Outputs]:
            if request.rows is not None:
                return [_predict_rows(self, request, should_stop)]
            return [endpoint.handle(self, request.fields, should_stop)]

        results = _run(request.name, run)
        return [results] if isinstance(results, HttpError) else [*results]

    def inputs(
        self, fields: Fields, max_seconds: float | None = None
    ) -> tuple[AudioUpload | None, str | None]:
        """Return the decoded audio and the text of a request; None for what was not sent.

        The audio is the sound of the video, where there is no other and the model reads it.

        Raises:
            HttpError: there is neither, or the model does not read it.
        """
        audio, video, text = (fields.get(name) for name in ("audio", "video", "text"))
        readable = self._readable()
        for modality, noun, value in (
            (SPEECH, "audio", audio),
            (VIDEO, "video", video),
            (TEXT, "text", text),
        ):
            if value is not None and modality not in readable:
                message = f"This model does not read {noun}; send {self._needed()}."
                raise HttpError(422, message, "modality-not-read")
        if audio is None and video is None and text is None:
            message = f"There is nothing to recognize; send {self._needed()}."
            raise HttpError(422, message, "input-missing")
        if video is not None and has_sound(video, self.limits) and SPEECH in readable:
            audio = video if audio is None else audio
        if audio is None:
            return None, text
        return decode_upload(audio, max_seconds or self.limits.audio_seconds), text

    def _readable(self) -> set[str]:
        """Return the modalities that the model reads, and speech if it is transcribed."""
        return {*self.predictor.modalities, *([SPEECH] if self._transcriber else [])}

    def _needed(self) -> str:
        words = {SPEECH: "audio", VIDEO: "a video", TEXT: "a text"}
        return " or ".join(word for name, word in words.items() if name in self._readable())


def _run(name: str | None, run: Callable[[], list[Outputs]]) -> list[Outputs] | HttpError:
    """Return what a function returns, or the error that its client gets; log one of ours."""
    try:
        with _mistakes_as_http_errors():
            return run()
    except HttpError as error:
        return error
    except StoppedError:  # no client waits for it any longer
        return HttpError(503, "The computation was stopped.", "computation-stopped")
    except Exception:
        logger.exception("request %s failed", name)
        return HttpError(500, *INTERNAL)


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
        status = STATUSES.get(code, 422)
        message = f"{_capitalized(sentence(mistake)).rstrip('.')}."
        raise HttpError(status, message, code or "input-unusable") from error


def read_item(
    api: Api, fields: Fields, audio_seconds: float, video_seconds: float, should_stop: ShouldStop
) -> tuple[Item, tuple[str, ...]]:
    """Return the item of a request or a row, and the warnings of its audio."""
    audio, text = api.inputs(fields, audio_seconds)
    video, name = None, "the input"
    if "video" in fields:
        video = limited_video(fields["video"], api.limits, video_seconds, should_stop)
        name = "the video"
    item = api.predictor.read_item(
        samples_of(audio), text, SAMPLE_RATE, api.transcribe(should_stop), video=video, name=name
    )
    return item, () if audio is None else audio.warnings


def _predict_items(api: Api, requests: Sequence[Request], should_stop: ShouldStop) -> list[Result]:
    """Predict for items in one batch; one by one if that fails, since the error names none."""
    items = [request.item for request in requests if request.item is not None]

    def run() -> list[Outputs]:
        predictions = api.predictor.predict_items(items, len(items), should_stop=should_stop)
        return [
            prediction_outputs(
                request.fields, prediction, request.warnings, item.seconds is not None
            )
            for request, item, prediction in zip(requests, items, predictions, strict=True)
        ]

    results = _run(requests[0].name, run)
    if not isinstance(results, HttpError):
        return [*results]
    if len(requests) == 1:
        return [results]
    return [_predict_items(api, [request], should_stop)[0] for request in requests]


def _predict_rows(api: Api, request: Request, should_stop: ShouldStop) -> Outputs:
    """Predict for the rows of a request; a row that fails has its error in its place."""
    assert request.rows is not None
    results: dict[int, Result] = {}
    read: dict[int, Request] = {}
    seconds, video_seconds = 0.0, 0.0
    for number, row in enumerate(request.rows):
        if should_stop():
            raise StoppedError
        try:
            if isinstance(row, HttpError):
                raise row
            left = api.limits.audio_seconds - seconds, api.limits.video_seconds - video_seconds
            row_request = _read_row(api, request, row, *left, should_stop)
        except HttpError as error:
            results[number] = error
            continue
        item = row_request.item
        assert item is not None
        seconds += item.seconds or 0.0
        if item.clips:  # whose pictures are not kept while further videos are decoded
            video_seconds += max(clip.total for clip in item.clips.values())
            (results[number],) = _predict_items(api, [row_request], should_stop)
        else:
            read[number] = row_request
    size = 1 if api.predictor.engine.groups_items else api.limits.batch
    alike: dict[tuple[bool, int] | None, list[int]] = defaultdict(list)
    for number, row_request in read.items():
        alike[row_request.batch_key].append(number)
    starts = [(group, start) for group in alike.values() for start in range(0, len(group), size)]
    for group, start in starts:
        if should_stop():
            raise StoppedError
        batch = group[start : start + size]
        outputs = _predict_items(api, [read[number] for number in batch], should_stop)
        results |= zip(batch, outputs, strict=True)
    in_order = [results[number] for number in range(len(request.rows))]
    return {"predictions": [x.content() if isinstance(x, HttpError) else x for x in in_order]}


def _read_row(
    api: Api,
    request: Request,
    row: Fields,
    audio_left: float,
    video_left: float,
    should_stop: ShouldStop,
) -> Request:
    """Read the item of a row.

    Its recording and its video may be as long, in seconds, as what the earlier ones have left.
    """
    if "audio" in row and audio_left <= 0:
        message = "The recordings of the rows before have the limit of a request."
        raise HttpError(413, message, TOO_LONG)
    if "video" in row and min(audio_left, video_left) <= 0:
        message = "The videos of the rows before have the limit of a request."
        raise HttpError(413, message, "video-too-long")
    with _mistakes_as_http_errors():
        item, warnings = read_item(api, row, audio_left, video_left, should_stop)
    return Request(request.fields, item, warnings, name=request.name)


def prediction_outputs(
    fields: Fields, prediction: Prediction, warnings: Sequence[str], has_audio: bool
) -> Outputs:
    """Return the response of one input."""
    outputs: Outputs = prediction.as_dict(embedding=fields.get("embedding", False))
    others = [x for x in prediction.warnings if not (has_audio and x == SILENCE)]
    warnings = [*warnings, *others]
    return {
        **outputs,
        "warnings": warnings,
        "truncated": describe_truncations(prediction.truncations),
    }


def samples_of(audio: AudioUpload | None) -> Samples | None:
    """Return the samples of an upload, at 16 kHz; None without one."""
    return None if audio is None else audio.samples


def describe_truncations(truncations: Sequence[Truncation]) -> list[str]:
    """Return a sentence for each input that was truncated."""
    return [f"{_capitalized(truncation.describe())}." for truncation in truncations]


def _capitalized(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
