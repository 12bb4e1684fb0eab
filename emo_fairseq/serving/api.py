"""Endpoints of the JSON API: from the fields of a request to what JSON can hold.

The functions run in a thread of the workers; of HTTP they know only :class:`HttpError`.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.audio.loading import SILENCE
from data_prep.messages import sentence
from emo_fairseq.compat.excepthook import find_mistake
from emo_fairseq.inference.occlusion import explain
from emo_fairseq.inference.prediction import Prediction, Truncation
from emo_fairseq.inference.predictor import (
    EmotionPredictor,
    ShouldStop,
)
from emo_fairseq.serving.audio_uploads import (
    Sound,
    read_sound,
)
from emo_fairseq.serving.http_errors import RefusalError
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.request_body import (
    JSON,
    Reader,
    audio_bytes,
    flag,
    json_pairs,
    media_type,
    number_between,
    read_fields,
    read_parts,
    text_up_to,
)

_CARD = "README.md"


@dataclass(frozen=True)
class About:
    """A model's name, and its card in Markdown (empty if there is none)."""

    name: str = "model"
    card: str = ""


def about_model(place: Path) -> About:
    """Of a model folder, its name and its README.md without the front matter; of a file, its name.

    >>> about_model(Path("checkpoints/toy/checkpoint_best.pt"))
    About(name='checkpoint_best', card='')
    """
    if not place.is_dir():
        return About(place.stem)
    file = place / _CARD
    card = file.read_text(encoding="utf-8") if file.is_file() else ""
    if card.startswith("---\n"):
        card = card.partition("\n---\n")[2]
    return About(place.resolve().name, card.strip())


def describe(predictor: EmotionPredictor, limits: Limits, about: About) -> dict[str, Any]:
    """The answer of ``GET /api/model``."""
    heard = predictor.max_seconds()
    return {
        "name": about.name,
        "card": about.card,
        "modalities": list(predictor.modalities),
        "labels": list(predictor.labels),
        "axes": list(predictor.axes),
        "auxiliary": {name: list(answers) for name, answers in predictor.auxiliary.items()},
        "heard_seconds": heard if math.isfinite(heard) else None,
        "limits": {
            "upload_bytes": limits.upload_bytes,
            "audio_seconds": limits.audio_seconds,
            "text_characters": limits.text_characters,
            "explained_seconds": min(limits.explained_seconds, heard),
        },
    }


# -- The three questions of the API, each a function from read fields to what JSON can hold --------
# They run in a thread of the gate's, and know nothing of HTTP but how to refuse.

_WINDOW, _HOP = 4.0, 2.0  # seconds, where the model hears so many
_FEWEST, _MOST = 0.25, 60.0
_OVERLAP = 8
_ITEM = "item"  # of a batched request, as the predictor reads it; no name of a field
Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """One address of the API: the fields beside audio and text, and what answers them.

    Attributes:
        readers: of the fields.
        answer: one request.
        answer_texts: several requests with a text and no audio, if these are computed together.
    """

    readers: Mapping[str, Reader]
    answer: Callable[["Desk", Fields, ShouldStop], dict[str, Any]]
    answer_texts: Callable[["Desk", Sequence[Fields]], list[dict[str, Any]]] | None = None

    def is_batched(self, fields: Fields) -> bool:
        """Whether a request is computed together with others."""
        return self.answer_texts is not None and "audio" not in fields


class Desk:
    """Answers questions about one predictor, within limits."""

    def __init__(self, predictor: EmotionPredictor, limits: Limits) -> None:
        self.predictor = predictor
        self.limits = limits

    def read(self, question: Question, content_type: str, body: bytes) -> Fields:
        """Read the fields of a body; of a request that is batched, all that can be wrong with it.

        Raises:
            RefusalError: the body is malformed, or holds no text that the predictor can use.
        """
        kind = media_type(content_type)
        pairs = json_pairs(body) if kind == JSON else read_parts(content_type, body)
        text = text_up_to(self.limits.text_characters)
        readers = {"audio": audio_bytes, "text": text, **question.readers}
        fields: Fields = read_fields(kind, pairs, readers)
        if question.is_batched(fields):
            with _mistakes_refused():
                _, words = _given(self, fields)
                fields = {**fields, _ITEM: self.predictor.read_item(text=words)}
        return fields

    def answer(
        self, question: Question, many: Sequence[Fields], should_stop: ShouldStop
    ) -> list[dict[str, Any]]:
        """Answer one request, or several that are batched.

        Raises:
            RefusalError: the predictor cannot use what they hold.
            StoppedError: `should_stop` returned True.
        """
        with _mistakes_refused():
            if question.answer_texts is not None and _ITEM in many[0]:
                return question.answer_texts(self, many)
            return [question.answer(self, fields, should_stop) for fields in many]

    def sound(self, fields: Fields) -> Sound | None:
        """The uploaded sound, if there is one."""
        if "audio" not in fields:
            return None
        self._refuse_unread("speech", "audio; send a text")
        return read_sound(fields["audio"], self.limits)

    def text(self, fields: Fields) -> str | None:
        """The text, if there is one."""
        text: str | None = fields.get("text")
        if text is not None:
            self._refuse_unread("text", "text; send audio")
        return text

    def _refuse_unread(self, modality: str, what: str) -> None:
        if modality not in self.predictor.modalities:
            raise RefusalError(422, f"This model does not read {what}.")


@contextmanager
def _mistakes_refused() -> Iterator[None]:
    try:
        yield
    except RefusalError:
        raise
    except Exception as error:
        mistake = find_mistake(error)
        if mistake is None:
            raise
        raise RefusalError(422, sentence(mistake)) from error


def _predict(desk: Desk, fields: Fields, should_stop: ShouldStop) -> dict[str, Any]:
    sound, text = _given(desk, fields)
    samples, rate = _samples(sound)
    prediction = desk.predictor.predict(
        audio=samples, text=text, sample_rate=rate, should_stop=should_stop
    )
    return _predicted(desk, fields, prediction, sound)


def _predict_texts(desk: Desk, many: Sequence[Fields]) -> list[dict[str, Any]]:
    predictions = desk.predictor.predict_items(
        [fields[_ITEM] for fields in many], batch_size=len(many)
    )
    answers = zip(many, predictions, strict=True)
    return [_predicted(desk, fields, prediction) for fields, prediction in answers]


def _predicted(
    desk: Desk, fields: Fields, prediction: Prediction, sound: Sound | None = None
) -> dict[str, Any]:
    answer: dict[str, Any] = prediction.as_dict(embedding=fields.get("embedding", False))
    warnings = _warnings(sound, prediction.warnings)
    return {**answer, "warnings": warnings, "cut": _cuts(prediction.truncations)}


def _timeline(desk: Desk, fields: Fields, should_stop: ShouldStop) -> dict[str, Any]:
    sound, text = _given(desk, fields)
    if sound is None:
        raise RefusalError(422, "A timeline needs audio; send a file.")
    window = fields.get("window_seconds", min(_WINDOW, desk.predictor.max_seconds()))
    hop = fields.get("hop_seconds", min(_HOP, window / 2))
    if window > _OVERLAP * hop:  # each second of sound would be heard that many times
        raise RefusalError(422, "hop_seconds has to be at least an eighth of window_seconds.")
    if sound.seconds / hop > desk.limits.segments:
        most = desk.limits.segments
        raise RefusalError(422, f"This would be more than {most} windows; make hop_seconds longer.")
    segments = desk.predictor.timeline(
        sound.samples,
        window_seconds=window,
        hop_seconds=hop,
        sample_rate=sound.sample_rate,
        text=text,
        should_stop=should_stop,
    )
    return {
        "seconds": sound.seconds,
        "segments": [segment.as_dict() for segment in segments],
        "warnings": list(sound.warnings),
        "cut": _cuts(segments[0].prediction.truncations),
    }


def _explain(desk: Desk, fields: Fields, should_stop: ShouldStop) -> dict[str, Any]:
    sound, text = _given(desk, fields)
    start = fields.get("start", 0.0)
    if "start" in fields or "end" in fields:
        if sound is None:
            raise RefusalError(422, "start and end are of audio; send a file.")
        sound = sound.between(start, fields.get("end", sound.seconds))
    if sound is not None and sound.seconds > (most := desk.limits.explained_seconds):
        sentence = f"At most {most:g} s are explained at once; name a part by start and end."
        raise RefusalError(422, sentence)
    samples, rate = _samples(sound)
    explanation = explain(desk.predictor, samples, text, rate, should_stop)
    answer = explanation.as_dict(from_second=start)
    cuts = _cuts(explanation.truncations)  # left_out is about sound
    return {**answer, "warnings": _warnings(sound), "cut": cuts}


def _given(desk: Desk, fields: Fields) -> tuple[Sound | None, str | None]:
    sound, text = desk.sound(fields), desk.text(fields)
    if sound is None and text is None:
        needed = {"speech": "audio", "text": "a text"}
        read = [needed[name] for name in desk.predictor.modalities if name in needed]
        raise RefusalError(422, f"There is nothing to recognize; send {' or '.join(read)}.")
    return sound, text


def _samples(sound: Sound | None) -> tuple[npt.NDArray[np.float32] | None, int | None]:
    return (None, None) if sound is None else (sound.samples, sound.sample_rate)


def _warnings(sound: Sound | None, others: Sequence[str] = ()) -> list[str]:
    """Of the file, whose channels are gone from its samples, and any of the prediction beside."""
    if sound is None:
        return list(others)
    return [*sound.warnings, *(other for other in others if other != SILENCE)]


def _cuts(truncations: Sequence[Truncation]) -> list[str]:
    """Return a sentence for each input that was truncated."""
    described = [truncation.describe() for truncation in truncations]
    return [f"{text[0].upper()}{text[1:]}." for text in described]


_SECOND = number_between(0, 1e6)
_LENGTH = number_between(_FEWEST, _MOST)
QUESTIONS = {
    "predict": Question({"embedding": flag}, _predict, _predict_texts),
    "timeline": Question({"window_seconds": _LENGTH, "hop_seconds": _LENGTH}, _timeline),
    "explain": Question({"start": _SECOND, "end": _SECOND}, _explain),
}
