"""The schema of what a task keeps in a checkpoint, and in the config.json of a model folder."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor

from data_prep.errors import ManifestError
from data_prep.files.documents import (
    Count,
    Document,
    JsonObject,
    validate,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.types import BY_TRAIN, INPUTS, MODALITIES, NORMALIZATIONS

MAX_VOCABULARY = 2**24  # symbols; the largest published ones have 2**18

_LOST = "train it again, or take another checkpoint of the training"
_PARAMETERS = 3  # valence, arousal, dominance


def _modality(name: str) -> str:
    if name not in MODALITIES:
        raise ValueError(f"{name!r} is none of {', '.join(MODALITIES)}")
    return name


def _input(name: str) -> str:
    if name not in INPUTS:
        raise ValueError(f"{name!r} is none of {', '.join(INPUTS)}")
    return name


def _normalization(name: str) -> str:
    if name not in NORMALIZATIONS:
        raise ValueError(f"{name!r} is none of {', '.join(NORMALIZATIONS)}")
    return name


def _distinct(names: list[str]) -> list[str]:
    if not names or not all(names):
        raise ValueError("there is none, or one without a name")
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise ValueError(f"{', '.join(twice)} is there twice")
    return names


Modality = Annotated[str, AfterValidator(_modality)]
Labels = Annotated[list[str], Field(max_length=100_000), AfterValidator(_distinct)]
VocabularySize = Annotated[int, Field(ge=0, le=MAX_VOCABULARY)]


class EncoderState(Document):
    """An :class:`emo_fairseq.encoder_spec.EncoderSpec`."""

    spec: str
    input: Annotated[str, AfterValidator(_input)]
    architecture: dict[str, Any] = Field(default_factory=dict)
    weights: str = ""
    vocabulary_size: VocabularySize = 0
    vocabulary_digest: str = ""
    max_tokens: Count = 0


class SpecialsState(Document):
    """A :class:`data_prep.tokens.folder.SpecialIds`."""

    init: Count
    pad: Count
    separator: Count
    unknown: Count


class VocabularyState(Document):
    """An :class:`emo_fairseq.data.vocabulary.Vocabulary`."""

    size: Annotated[int, Field(ge=1, le=MAX_VOCABULARY)]
    digest: str
    source: str
    specials: SpecialsState | None = None
    tokenizer: str = ""

    @model_validator(mode="after")
    def _check_specials(self) -> Self:
        largest = max((self.specials.model_dump() if self.specials else {"": 0}).values())
        if largest >= self.size:
            raise ValueError(f"{largest} is the id of a special token, of {self.size} symbols")
        return self


class FrameState(Document):
    """An :class:`emo_fairseq.data.frames.FrameStatistics`."""

    mean: Annotated[list[float], Field(min_length=1)]
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} numbers and std {len(self.std)}")
        return self


class CoreState(Document):
    """What describes the model, in a checkpoint as in a model folder."""

    labels: Labels
    encoders: dict[Modality, EncoderState]
    vocabulary: dict[Modality, VocabularyState] = Field(default_factory=dict)
    frame_statistics: dict[Modality, FrameState] = Field(default_factory=dict)
    normalize_by: Annotated[str, AfterValidator(_normalization)] = BY_TRAIN
    auxiliary_labels: dict[str, Labels] = Field(default_factory=dict)
    class_counts: list[Count] | None = None
    corpus: str | None = None
    fold: str | None = None
    provenance: JsonObject | None = None

    @model_validator(mode="after")
    def _check_counts(self) -> Self:
        if self.class_counts is not None and len(self.class_counts) != len(self.labels):
            raise ValueError(
                f"class_counts has {len(self.class_counts)} numbers for {len(self.labels)} labels"
            )
        return self


# -- in a checkpoint: tensors ----------------------------------------------------------------------


def _tensor(value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise ValueError(f"a tensor is expected, and it is {type(value).__name__}")
    return value


def _finite(value: Any) -> Tensor:
    tensor = _tensor(value)
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError("holds NaN or infinity")
    return tensor


def _without_infinity(value: Any) -> Tensor:
    """NaN marks a class without a prototype."""
    tensor = _tensor(value)
    if not tensor.is_floating_point() or bool(torch.isinf(tensor).any()):
        raise ValueError("holds infinity, or no floating-point numbers")
    return tensor


def _points(value: Any) -> Tensor:
    tensor = _without_infinity(value)
    if tensor.ndim != _PARAMETERS or tensor.size(-1) != _PARAMETERS:
        raise ValueError(f"is of shape {tuple(tensor.shape)}, and not (scopes, classes, 3)")
    is_nan = torch.isnan(tensor)
    if bool((is_nan.any(dim=-1) != is_nan.all(dim=-1)).any()):
        raise ValueError("holds a point with NaN on some of its axes")
    return tensor


_Finite = Annotated[Any, AfterValidator(_finite)]
_Points = Annotated[Any, AfterValidator(_points)]
_Means = Annotated[Any, AfterValidator(_without_infinity)]


class PrototypesState(Document):
    """See :class:`emo_fairseq.tasks.class_prototypes.ClassPrototypes`; empty until read."""

    fitted: _Points = None
    values: _Points = None
    corpora: list[str] = Field(default_factory=list)
    class_means: _Means = None
    quantiles: dict[float, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_shapes(self) -> Self:
        if (self.fitted is None) != (self.values is None):
            raise ValueError("fitted or values is missing")
        if self.fitted is None:
            return self
        scopes = len(self.corpora) + 1
        if self.fitted.shape != self.values.shape or self.fitted.size(0) != scopes:
            raise ValueError(
                f"fitted is of shape {tuple(self.fitted.shape)} and values of "
                f"{tuple(self.values.shape)}, for {scopes} scopes"
            )
        return self


class ConfidenceState(Document):
    """See :class:`emo_fairseq.tasks.confidence.ModelConfidence`; empty in the first epoch."""

    epoch: Annotated[int, Field(ge=0)] | None = None
    values: _Finite = None

    @model_validator(mode="after")
    def _check_both(self) -> Self:
        if (self.epoch is None) != (self.values is None):
            raise ValueError("epoch or values is missing")
        return self


class PatienceState(Document):
    """See :mod:`emo_fairseq.compat.early_stop`; empty before the first validation."""

    best: float | None = None
    num_runs: Annotated[int, Field(ge=0)] = 0


class ProbeState(Document):
    """See :mod:`emo_fairseq.tasks.probe`; empty of a model that was trained."""

    strength: Annotated[float, Field(gt=0)] | None = None
    rows: Count = 0
    dimensions: Count = 0
    refitted: bool = False


_Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


class CheckpointState(CoreState):
    """The `task_state` of a checkpoint."""

    # Of features on disk, by modality and split: digests of the rows and of the features.
    feature_contents: dict[Modality, dict[str, _Pair]] = Field(default_factory=dict)
    prototypes: PrototypesState = Field(default_factory=PrototypesState)
    embedding_queue: list[_Finite] = Field(default_factory=list)
    confidence: ConfidenceState = Field(default_factory=ConfidenceState)
    patience: PatienceState = Field(default_factory=PatienceState)
    probe: ProbeState = Field(default_factory=ProbeState)


# -- in a model folder: JSON, where a class without a prototype has nulls --------------------------

_Point = Annotated[list[float | None], Field(min_length=_PARAMETERS, max_length=_PARAMETERS)]


class PortablePrototypes(Document):
    """Prototypes for readers of the folder; the model does not use them."""

    fitted: list[list[_Point]] = Field(default_factory=list)
    values: list[list[_Point]] = Field(default_factory=list)
    corpora: list[str] = Field(default_factory=list)
    class_means: list[float | None] = Field(default_factory=list)
    quantiles: dict[str, float] = Field(default_factory=dict)


class PortableState(CoreState):
    """The `state` in the config.json of a model folder."""

    prototypes: PortablePrototypes | None = None


def check_task_state(state: object, file: str | Path) -> None:
    """Check the task's part of a checkpoint.

    Args:
        state: what lay under `task_state`.
        file: the checkpoint, for the message.

    Raises:
        UsageError: a key is missing, unknown, or of another type or range.
    """
    try:
        validate(
            dict(state) if isinstance(state, Mapping) else state,
            CheckpointState,
            name=file,
            remedy=_LOST,
            at="task_state",
        )
    except ManifestError as error:
        raise UsageError.of(error, "task-state-invalid") from error
