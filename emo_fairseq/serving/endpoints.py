"""Endpoints of the JSON API: from the fields of a request to a dictionary that JSON can hold.

    POST /api/predict    audio, video and text, or some of these, or rows of these; embedding=true
                         adds the embedding
    POST /api/timeline   audio; window_seconds, hop_seconds, text
    POST /api/explain    audio and/or text; start, end: of a segment of the audio
    POST /api/conversation  audio; turns, turns_format: a file of turns; speakers, recording

The "truncated" of a response are sentences on inputs that were truncated; its "transcript", and
that of each window of a timeline, is what the server transcribed of audio without a text, null
where it did not. A new endpoint is a function and a row of :data:`ENDPOINTS`.

The functions run in a thread of the workers, and use nothing of HTTP but :class:`HttpError`.
"""

from data_prep.schema import SAMPLE_RATE
from data_prep.segmentation.formats import FORMATS
from emo_fairseq.diarization.options import AUTO, CHANNELS, NO_SPEAKERS, TurnOptions
from emo_fairseq.inference.occlusion import explain
from emo_fairseq.inference.stopping import ShouldStop, StoppedError
from emo_fairseq.inference.transcribing import Transcript
from emo_fairseq.serving.api import (
    Api,
    Endpoint,
    Fields,
    Outputs,
    Samples,
    describe_truncations,
    prediction_outputs,
    read_item,
    samples_of,
)
from emo_fairseq.serving.http_errors import HttpError
from emo_fairseq.serving.request_fields import (
    file_bytes,
    flag,
    line_up_to,
    number_between,
    one_of,
    video_or_base64,
)
from emo_fairseq.serving.segmentation_uploads import read_turns

_WINDOW, _HOP = 4.0, 2.0  # seconds, where the model reads so many at once
_SHORTEST, _LONGEST = 0.25, 60.0  # seconds of a window or a hop
_NAME_CHARACTERS = 255  # of a recording
_NUMBERS = [str(number) for number in range(1, 21)]  # of speakers
_TABLE = "csv"  # format of a file of turns, unless another is named
_OVERLAP = 8  # windows that may contain the same sample


def _predict(api: Api, fields: Fields, should_stop: ShouldStop) -> Outputs:
    limits = api.limits
    item, warnings = read_item(api, fields, limits.audio_seconds, limits.video_seconds, should_stop)
    (prediction,) = api.predictor.predict_items([item], 1, should_stop=should_stop)
    return prediction_outputs(fields, prediction, warnings, item.seconds is not None)


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
        sample_rate=SAMPLE_RATE,
        text=text,
        transcribe=api.transcribe(should_stop, words=True),
        should_stop=should_stop,
    )
    return {
        "seconds": audio.seconds,
        "segments": [segment.as_dict() for segment in segments],
        "warnings": list(audio.warnings),
        "truncated": describe_truncations(segments[0].prediction.truncations),
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
    samples, text, transcript = _transcribed(api, samples_of(audio), text, should_stop)
    explanation = explain(api.predictor, samples, text, SAMPLE_RATE, should_stop)
    outputs = explanation.as_dict(from_second=start)
    truncated = describe_truncations(explanation.truncations)  # left_out is about audio
    transcribed = None if transcript is None else transcript.text
    warnings = [] if audio is None else list(audio.warnings)
    return {**outputs, "transcript": transcribed, "warnings": warnings, "truncated": truncated}


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
