"""The schema of the task's state in a checkpoint: the model's description, and tensors."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor

from data_prep.files.documents import Count, Document, validate
from emo_fairseq.state_schema import PARAMETERS, CoreState, Modality

HEAD = "head."  # names of the parameters of the output layer begin with it
_LOST = "train it again, or take another checkpoint of the training"


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


def _queued(value: Any) -> Tensor:
    """Embeddings (N, D) are finite; NaN marks a row whose difficulty, of (N,), is not known."""
    tensor = _tensor(value)
    if tensor.ndim > 1:
        return _finite(tensor)
    if bool(torch.isinf(tensor).any()):
        raise ValueError("holds infinity")
    return tensor


def _points(value: Any) -> Tensor:
    tensor = _without_infinity(value)
    if tensor.ndim != 3 or tensor.size(-1) != PARAMETERS:
        raise ValueError(f"is of shape {tuple(tensor.shape)}, and not (scopes, classes, 3)")
    is_nan = torch.isnan(tensor)
    if bool((is_nan.any(dim=-1) != is_nan.all(dim=-1)).any()):
        raise ValueError("holds a point with NaN on some of its axes")
    return tensor


_Finite = Annotated[Any, AfterValidator(_finite)]
_Points = Annotated[Any, AfterValidator(_points)]
_Queued = Annotated[Any, AfterValidator(_queued)]
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
    embedding_queue: list[_Queued] = Field(default_factory=list)
    confidence: ConfidenceState = Field(default_factory=ConfidenceState)
    patience: PatienceState = Field(default_factory=PatienceState)
    probe: ProbeState = Field(default_factory=ProbeState)


def check_task_state(state: object, file: str | Path) -> None:
    """Check the task's part of a checkpoint.

    Raises:
        UsageError: a key is missing, unknown, or of another type or range.
    """
    values = dict(state) if isinstance(state, Mapping) else state
    validate(values, CheckpointState, name=file, remedy=_LOST, at="task_state")


def head_digest(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the output layer of a model, by which two trained models differ.

    It is the same in a checkpoint and in the model folder that is exported from it. Empty of a
    model without an output layer.

    Args:
        weights: of the model, by name.
    """
    digest = hashlib.sha256()
    head = {
        name: value
        for name, value in weights.items()
        if name.startswith(HEAD) and isinstance(value, Tensor)
    }
    for name in sorted(head):
        value = head[name].detach().cpu().float().contiguous()
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest() if head else ""
