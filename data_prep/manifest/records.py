"""Records of a data dir: `Utterance`, `Corpus`, the VAD scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from data_prep.errors import CodedError
from data_prep.manifest.segment import segment_key

TRAIN, VALID, TEST = SPLITS = ("train", "valid", "test")
CORPUS_FILE = "corpus.yaml"
SAMPLE_RATE = 16_000


@dataclass(frozen=True, slots=True)
class Utterance:
    """One manifest row. None = missing; `extra` holds the corpus's own columns as strings.

    The fields before `extra` are those of `COLUMNS`, in its order.
    """

    id: str
    audio: str | None = None
    n_samples: int | None = None
    text: str | None = None
    speaker: str | None = None
    session: str | None = None
    dialogue: str | None = None
    turn: int | None = None
    emotion: str | None = None
    sentiment: str | None = None
    valence: float | None = None
    arousal: float | None = None
    dominance: float | None = None
    sentiment_score: float | None = None
    corpus: str | None = None  # origin of the row, in a data dir of several corpora
    start: float | None = None  # seconds in the recording `audio`; None = its beginning
    end: float | None = None  # None = its end
    votes: str | None = None  # see manifest/votes.py
    n_annotators: int | None = None
    valence_sd: float | None = None
    arousal_sd: float | None = None
    dominance_sd: float | None = None
    video: str | None = None  # a file, or a folder of pictures
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def is_segment(self) -> bool:
        """Whether the audio of the row is a part of its file."""
        return bool(self.start) or self.end is not None

    @property
    def segment_key(self) -> str:
        """Return the segment as text for digests: "" for a whole file, else " 1.5-2.25"."""
        return segment_key(self.start, self.end)


@dataclass(frozen=True, slots=True)
class DroppedRow:
    """A row of a corpus, or a part of it, that is not in the manifest."""

    split: str
    id: str
    reason: str
    what: str = "row"  # "row", or the part that is missing: "audio", "text", "arousal"...


@dataclass
class Corpus:
    """Content of corpus.yaml. `splits` (counts) is filled by `write_corpus`."""

    name: str
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    vad: dict[str, Any] | None = None
    sample_rate: int = SAMPLE_RATE
    data_raw: str | None = None  # see manifest/audio_root.py
    video_raw: str | None = None  # likewise
    disjoint: tuple[str, ...] = ()
    protocol: str = ""
    folds: dict[str, Any] | None = None
    license: str = ""
    citation: str = ""
    ceilings: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    dropped: list[DroppedRow] = field(default_factory=list)
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)


def scale_vad(value: float, low: float, high: float) -> float:
    """Map `value` from [low, high] to [0, 1]. Raises ValueError outside it, or for NaN.

    >>> scale_vad(4.0, 1.0, 5.0)
    0.75
    """
    if not low < high:
        raise ValueError(f"VAD scale {low:g} to {high:g} is empty; give the lower end first")
    if not low <= value <= high:
        raise ValueError(f"VAD value {value:g} lies outside the scale {low:g} to {high:g}")
    return (value - low) / (high - low)


def unscale_vad(value: float, low: float, high: float) -> float:
    """Invert `scale_vad`; a prediction outside [0, 1] is mapped outside [low, high].

    >>> unscale_vad(0.75, 1.0, 5.0)
    4.0
    """
    if not low < high:
        raise ValueError(f"VAD scale {low:g} to {high:g} is empty; give the lower end first")
    return low + value * (high - low)


def vad_scale(corpus: Corpus) -> tuple[float, float]:
    """Return the VAD scale of the corpus, for `unscale_vad`, such as (1.0, 5.0).

    Raises:
        ValueError: corpus.yaml has none, or several of combined corpora.
    """
    recorded = corpus.vad or {}
    parts = (recorded.get("sources") or {"": recorded}).values()
    scales = {
        tuple(map(float, part.get("source_scale") or part.get("scale") or ())) for part in parts
    }
    if len(scales) > 1:
        raise CodedError(
            f"{corpus.name} joins VAD of several scales, {sorted(scales)}; take [0, 1]",
            "vad-scale-mixed",
        )
    if not (scale := next(iter(scales), ())) or len(scale) != 2:
        raise CodedError(
            f"{CORPUS_FILE} of {corpus.name} records no scale of VAD; name it there",
            "vad-scale-missing",
        )
    return scale
