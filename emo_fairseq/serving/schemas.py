"""Models of what the API takes and returns, of which its OpenAPI description is made.

Requests are read by :mod:`emo_fairseq.serving.request_body`, byte by byte and within limits, and
responses are made by :mod:`emo_fairseq.serving.endpoints`; tests compare both with these models.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from data_prep.segmentation.formats import FORMATS
from emo_fairseq.diarization.options import AUTO, CHANNELS, NO_SPEAKERS

Labels = dict[str, float]
# A part of a form that is a file; and audio within JSON.
File = Annotated[str, Field(json_schema_extra={"format": "binary"})]
Base64 = Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]
_TEXT = Field(default=None, description="A transcript, or any text.")
_AUDIO = Field(default=None, description="WAV, FLAC, Ogg, MP3, AIFF or AU, of any rate.")
_VIDEO = Field(
    default=None,
    description="MP4, MOV, WebM, Matroska or AVI. Its sound is read, too, where the model reads "
    "speech and there is no audio.",
)


class Model(BaseModel):
    """A JSON object without further fields."""

    model_config = ConfigDict(extra="forbid")


# -- requests --------------------------------------------------------------------------------------


class Input(Model):
    """A text, a recording and a video in base64, or some of these."""

    text: str | None = _TEXT
    audio: Base64 | None = _AUDIO
    video: Base64 | None = _VIDEO


class PredictJson(Input):
    """One input, or a list of them."""

    inputs: list[Input] | None = Field(default=None, description="Several, instead of one.")
    embedding: bool = Field(default=False, description="Whether the embedding is returned.")


class InputForm(Model):
    """A recording, a text or both."""

    audio: File | None = _AUDIO
    text: str | None = _TEXT


class PredictForm(InputForm):
    """One input; or rows, with as many entries of each name, of which some may be left out."""

    video: File | None = _VIDEO
    recordings: list[File] | None = Field(default=None, description="Of the rows, in order.")
    videos: list[File] | None = Field(default=None, description="Of the rows, in order.")
    texts: list[str] | None = Field(
        default=None, description="Of the rows, in order; empty where there is none."
    )
    embedding: bool = Field(default=False, description="Whether the embedding is returned.")


class TimelineForm(InputForm):
    """A recording, and how it is divided."""

    window_seconds: float | None = Field(default=None, description="By default 4.", ge=0.25, le=60)
    hop_seconds: float | None = Field(
        default=None, description="From one window to the next; by default 2.", ge=0.25, le=60
    )


class ExplainForm(InputForm):
    """An input, and the segment of the recording that is explained."""

    start: float | None = Field(default=None, description="In seconds.", ge=0)
    end: float | None = Field(default=None, description="In seconds.", ge=0)


class ExplainJson(Model):
    """A text."""

    text: str


class ConversationForm(Model):
    """A recording, and its turns or how they are found."""

    audio: File
    turns: File | None = Field(default=None, description="A file of turns.")
    turns_format: Literal[tuple(FORMATS)] | None = None  # type: ignore[valid-type]
    speakers: str | None = Field(
        default=None,
        description="Of turns that are found: as many, or one of the words.",
        pattern=f"^({NO_SPEAKERS}|{AUTO}|{CHANNELS}|[1-9]|1[0-9]|20)$",
    )
    recording: str | None = Field(default=None, description="Its name.", max_length=255)


# -- responses -------------------------------------------------------------------------------------


class Truncation(Model):
    """What was not read of an input."""

    modality: str
    used: float
    total: float
    unit: str


class PlainPrediction(Model):
    """The prediction for an input; what is not known is null."""

    label: str | None
    probabilities: Labels
    values: Labels
    auxiliary: dict[str, Labels]
    modalities: list[str]
    text: str | None
    seconds: float | None
    transcript: str | None
    transcript_language: str | None
    warnings: list[str]
    truncations: list[Truncation] = Field(description="What was not read, in numbers.")


class Prediction(PlainPrediction):
    """The prediction for an input, with a sentence for each input that was truncated."""

    truncated: list[str] = Field(description="The truncations as sentences.")
    embedding: list[float] | None = Field(default=None, description="If it was requested.")


class RowError(Model):
    """Why there is no prediction for a row."""

    error: str
    code: str


class Predictions(Model):
    """The results of the rows, in their order."""

    predictions: list[Prediction | RowError]


class Segment(PlainPrediction):
    """The prediction for a window, in seconds."""

    start: float
    end: float


class Timeline(Model):
    """The windows of a recording."""

    seconds: float
    segments: list[Segment]
    warnings: list[str]
    truncated: list[str]


class Word(Model):
    """A word with its weight."""

    word: str
    weight: float


class Interval(Model):
    """An interval of the recording with its weight."""

    start: float
    end: float
    weight: float


class Explanation(Model):
    """Weights for the label, above zero, and against it."""

    label: str | None
    words: list[Word]
    intervals: list[Interval]
    left_out: list[str]
    transcript: str | None
    warnings: list[str]
    truncated: list[str]


class Turn(Model):
    """A turn with its prediction, or with an error."""

    start: float
    end: float
    speaker: str | None
    channel: int | None = Field(description="Counted from 1.")
    text: str | None
    label: str | None
    probabilities: Labels
    values: Labels
    confidence: float | None
    shift: bool | None
    truncations: list[str] = Field(description="As sentences.")
    warnings: list[str]
    error: str | None


class Conversation(Model):
    """The turns of a recording."""

    recording: str
    seconds: float | None
    labels: list[str]
    axes: list[str]
    skipped: dict[str, int]
    notes: list[str]
    turns: list[Turn]


class ModelLimits(Model):
    """What an input may have at most."""

    upload_bytes: int
    audio_seconds: float
    video_seconds: float
    video_frames: int
    video_pixels: int
    text_characters: int
    explained_seconds: float
    rows: int


class LiveDescription(Model):
    """Live conversations; `missing` is why there are none, or null."""

    missing: str | None
    warnings: list[str]
    axes: list[str]
    sample_rate: int
    seconds: float
    message_bytes: int
    resume_seconds: float


class ModelDescription(Model):
    """What the model reads and predicts."""

    name: str
    card: str
    modalities: list[str]
    transcribes: str | None
    labels: list[str]
    axes: list[str]
    auxiliary: dict[str, list[str]]
    max_audio_seconds: float | None
    limits: ModelLimits
    live: LiveDescription


class Status(Model):
    """All is well."""

    status: Literal["ok"]


class Error(Model):
    """An error: a sentence for people, and a code that does not change."""

    error: str
    code: str
    request_id: str | None = None


def all_models() -> list[Any]:
    """Return every model, such that each has a schema of its own."""
    models: list[Any] = []
    pending: list[Any] = [Model]
    while pending:
        subclasses = pending.pop().__subclasses__()
        models += [subclass for subclass in subclasses if subclass.__module__ == __name__]
        pending += subclasses
    return sorted(set(models), key=lambda subclass: str(subclass.__name__))
