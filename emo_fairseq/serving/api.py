"""Endpoints of the JSON API: from the fields of a request to a dictionary that JSON can hold.

    POST /api/predict    audio, video and text, or some of these, or rows of these; embedding=true
                         adds the embedding
    POST /api/timeline   audio; window_seconds, hop_seconds, text
    POST /api/explain    audio and/or text; start, end: of a segment of the audio
    POST /api/conversation  audio; turns, turns_format: a file of turns; speakers, recording

A request is multipart/form-data, or JSON with a text (to predict, also with audio and video in
base64). The rows of one request have a result each, a prediction or an error, in their order. The
"cut" of a response lists which inputs were truncated; its "transcript", and that of each window of
a timeline, is what the server transcribed of audio without a text, null where it did not. A new
endpoint is a function and a row of :data:`ENDPOINTS`.

The functions run in a thread of the workers, and use nothing of HTTP but :class:`HttpError`.
"""

import functools
import logging
import math
from collections import defaultdict
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
from emo_fairseq.inference.inputs import Item
from emo_fairseq.inference.occlusion import explain
from emo_fairseq.inference.prediction import Prediction, Truncation
from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.inference.stopping import ShouldStop, StoppedError
from emo_fairseq.inference.transcribing import FasterWhisper, Transcribe, Transcript
from emo_fairseq.serving.audio_uploads import TOO_LONG, AudioUpload, decode_upload
from emo_fairseq.serving.http_errors import INTERNAL, HttpError
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.request_body import (
    JSON,
    Reader,
    audio_bytes,
    audio_or_base64,
    check_json_size,
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
    video_or_base64,
)
from emo_fairseq.serving.rows import REPEATED, Row, read_rows, row_readers
from emo_fairseq.serving.segmentation_uploads import read_turns
from emo_fairseq.serving.video_uploads import STATUSES, has_sound, limited_video
from emo_fairseq.types import SPEECH, TEXT, VIDEO

logger = logging.getLogger(__name__)

_CARD = "README.md"
_WINDOW, _HOP = 4.0, 2.0  # seconds, where the model reads so many at once
_SHORTEST, _LONGEST = 0.25, 60.0  # seconds of a window or a hop
_NAME_CHARACTERS = 255  # of a recording
_NUMBERS = [str(number) for number in range(1, 21)]  # of speakers
_TABLE = "csv"  # format of a file of turns, unless another is named
_OVERLAP = 8  # windows that may contain the same sample
_LENGTHS_PER_OCTAVE = 4  # of recordings of one batch: the longest is a fifth longer, at most
_BATCHED_SECONDS = 30.0  # recordings up to this length are computed in batches

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
            "video_seconds": limits.video_seconds,
            "video_frames": limits.video_frames,
            "video_pixels": limits.video_pixels,
            "text_characters": limits.text_characters,
            "explained_seconds": min(limits.explained_seconds, max_seconds),
            "rows": limits.rows,
        },
    }


# -- endpoints -------------------------------------------------------------------------------------


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
            samples, rate = _samples(audio)
            item = self.predictor.read_item(samples, text, rate)
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

        Args:
            fields: of the request, or of a row of it.
            max_seconds: of the audio; by default the limit.

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


def _predict(api: Api, fields: Fields, should_stop: ShouldStop) -> Outputs:
    limits = api.limits
    item, warnings = _read_item(
        api, fields, limits.audio_seconds, limits.video_seconds, should_stop
    )
    (prediction,) = api.predictor.predict_items([item], 1, should_stop=should_stop)
    return _prediction_outputs(fields, prediction, warnings, item.seconds is not None)


def _read_item(
    api: Api, fields: Fields, audio_seconds: float, video_seconds: float, should_stop: ShouldStop
) -> tuple[Item, tuple[str, ...]]:
    """Return the item of a request or a row, and the warnings of its audio."""
    audio, text = api.inputs(fields, audio_seconds)
    samples, rate = _samples(audio)
    video, name = None, "the input"
    if "video" in fields:
        video = limited_video(fields["video"], api.limits, video_seconds, should_stop)
        name = "the video"
    item = api.predictor.read_item(
        samples, text, rate, api.transcribe(should_stop), video=video, name=name
    )
    return item, () if audio is None else audio.warnings


def _predict_items(api: Api, requests: Sequence[Request], should_stop: ShouldStop) -> list[Result]:
    """Predict for items in one batch; one by one if that fails, since the error names none."""
    items = [request.item for request in requests if request.item is not None]

    def run() -> list[Outputs]:
        predictions = api.predictor.predict_items(items, len(items), should_stop=should_stop)
        return [
            _prediction_outputs(
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
            one = _read_row(api, request, row, *left, should_stop)
        except HttpError as error:
            results[number] = error
            continue
        assert one.item is not None
        seconds += one.item.seconds or 0.0
        if one.item.clips:  # whose pictures are not kept while further videos are decoded
            video_seconds += max(clip.total for clip in one.item.clips.values())
            (results[number],) = _predict_items(api, [one], should_stop)
        else:
            read[number] = one
    size = 1 if api.predictor.engine.groups_items else api.limits.batch
    alike: dict[tuple[bool, int] | None, list[int]] = defaultdict(list)
    for number, one in read.items():
        alike[one.batch_key].append(number)
    starts = [(group, start) for group in alike.values() for start in range(0, len(group), size)]
    for group, start in starts:
        if should_stop():
            raise StoppedError
        batch = group[start : start + size]
        found = _predict_items(api, [read[number] for number in batch], should_stop)
        results |= zip(batch, found, strict=True)
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
        item, warnings = _read_item(api, row, audio_left, video_left, should_stop)
    return Request(request.fields, item, warnings, name=request.name)


def _prediction_outputs(
    fields: Fields, prediction: Prediction, warnings: Sequence[str], has_audio: bool
) -> Outputs:
    outputs: Outputs = prediction.as_dict(embedding=fields.get("embedding", False))
    others = [x for x in prediction.warnings if not (has_audio and x == SILENCE)]
    warnings = [*warnings, *others]
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
    warnings = [] if audio is None else list(audio.warnings)
    return {**outputs, "transcript": found, "warnings": warnings, "cut": truncated}


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


def _truncated(truncations: Sequence[Truncation]) -> list[str]:
    """Return a sentence for each input that was truncated."""
    return [f"{_capitalized(truncation.describe())}." for truncation in truncations]


def _capitalized(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


_SECOND = number_between(0, 1e6)
_LENGTH = number_between(_SHORTEST, _LONGEST)
ENDPOINTS = {
    "predict": Endpoint(
        "Predict the emotion of a recording, a video, a text or several of these, or of rows.",
        {"video": video_or_base64, "embedding": flag},
        _predict,
        is_predict=True,
    ),
    "timeline": Endpoint(
        "Predict for every window of a recording.",
        {"window_seconds": _LENGTH, "hop_seconds": _LENGTH},
        _timeline,
    ),
    "explain": Endpoint(
        "Weigh the words of a text and the segments of a recording.",
        {"start": _SECOND, "end": _SECOND},
        _explain,
    ),
    "conversation": Endpoint(
        "Predict for the turns of a recording.",
        {
            "turns": file_bytes,
            "turns_format": one_of(*FORMATS),
            "speakers": one_of(NO_SPEAKERS, AUTO, CHANNELS, *_NUMBERS),
            "recording": line_up_to(_NAME_CHARACTERS),
        },
        _conversation,
    ),
}
