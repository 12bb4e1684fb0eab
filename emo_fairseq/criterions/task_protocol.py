"""What criterions and their terms use of a task."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

from emo_fairseq.data.annotations import Classes
from emo_fairseq.data.manifest import Split
from emo_fairseq.targets import LabeledTarget, Target


@runtime_checkable
class RunsFrozenOnce(Protocol):
    """A model that can be run on a batch several times without what is frozen of it."""

    def encode_frozen_once(self, net_input: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the batch with the outputs of what is frozen in place of its input."""


class PrototypeTable(Protocol):
    """The prototypes of classes in VAD space; see :mod:`emo_fairseq.tasks.class_prototypes`."""

    classes: Classes
    values: Tensor
    """(S, K, 3), the last scope being all corpora together; NaN for a class without one."""

    def exist(self) -> bool:
        """Return whether there are prototypes of any class."""

    def require(self, wanted_by: str) -> None:
        """Read the prototypes, or raise a `UsageError` that names the option `wanted_by`."""

    def check_measured(self, split: Split, wanted_by: str) -> None:
        """Raise a `UsageError` if no row of a split has a difficulty."""

    def quantile(self, split: Split, share: float) -> float:
        """Return the difficulty below which this share of a split's rows is."""

    def distances(self, split: Split) -> np.ndarray:
        """Return (N,) difficulties, NaN = unknown."""

    def scopes(self, split: Split) -> np.ndarray:
        """Return (N,) the scope of each row; -1, the last, where its corpus is unknown."""


class EmotionTask(Protocol):
    """A task whose criterion minimizes a loss of labels or numbers.

    :class:`emo_fairseq.tasks.emotion_prediction.EmotionPredictionTask` is one.
    """

    @property
    def is_training(self) -> bool:
        """Whether the model is trained; terms are added to the loss in training only."""

    @property
    def target(self) -> Target:
        """What is predicted."""

    @property
    def labels(self) -> list[str]:
        """Label names in the order of the class ids, or names of the axes."""

    @property
    def class_counts(self) -> list[int]:
        """How often each label occurs in the train split."""

    @property
    def n_outputs(self) -> int:
        """Width of the model's output."""

    @property
    def auxiliary(self) -> Mapping[str, LabeledTarget]:
        """What is predicted beside the target, by name."""

    @property
    def embedding_dim(self) -> int:
        """Width of the model's embedding."""

    @property
    def fusion(self) -> str:
        """Name of the model's fusion."""

    @property
    def model(self) -> nn.Module:
        """The model that is trained, without wrappers."""

    @property
    def keeps_predictions(self) -> bool:
        """Whether scoring returns predictions, for a file."""

    @property
    def keeps_embeddings(self) -> bool:
        """Whether scoring returns embeddings, for a file or loggers."""

    @property
    def max_update(self) -> int:
        """Updates until the training ends; 0 if that is not known."""

    @property
    def rows_of_a_step(self) -> int | None:
        """The most utterances of a step on all ranks; None if that is not limited."""

    @property
    def embedding_queue(self) -> list[Tensor]:
        """Rows that the contrastive loss keeps from earlier batches; saved with the checkpoint."""

    @property
    def data_folder(self) -> Path:
        """The data dir, for messages."""

    @property
    def class_prototypes(self) -> PrototypeTable:
        """Of the classes of the target, or of the emotions beside a target of numbers.

        Raises:
            UsageError: the data dir names no emotions.
        """

    def class_difficulties(self) -> Tensor:
        """Return the (K,) mean distances of the classes' train rows to their prototypes."""

    def train_split(self) -> Split:
        """Return the rows of the train split."""

    def annotate(self, name: str, annotate: Callable[[Split], np.ndarray]) -> None:
        """Let the batches of the train split carry a value for each utterance.

        Criterions call this when they are built, which is before fairseq loads any split.

        Args:
            name: in ``sample["annotations"]``.
            annotate: from a split to an array (N, ...).
        """

    def read_two_views(self) -> None:
        """Let the batches of every split carry a second view of each utterance, ``other_view``."""

    def mask_text(self, share: float) -> None:
        """Let the tokens of text be masked in every split; see :mod:`emo_fairseq.data.masking`.

        Raises:
            UsageError: there are no tokens of text, or their encoder is not trained.
        """

    def token_embedding(self, modality: str) -> tuple[nn.Embedding, int]:
        """Return the embeddings of a modality's tokens, and the width of its encoder's features.

        Raises:
            UsageError: the encoder has none.
        """

    def teacher_from_predictions(self, path: str) -> Callable[[Split], np.ndarray]:
        """Read the outputs of a teacher from a predictions file: split -> (N, n_outputs)."""

    def teacher_from_checkpoint(self, path: str, data: str | None) -> Callable[[Split], np.ndarray]:
        """Predict with the model of a checkpoint, on its own data dir if given."""
