"""All that is needed to run a trained model beside its weights: what it reads and what it predicts.

fairseq-train keeps it in every checkpoint (``task_state``, with the options of the task beside it),
an export in ``config.json``. From either it is loaded without a task and without a data dir::

    saved = checkpoint_utils.load_checkpoint_to_cpu("checkpoint_best.pt", {"task": TASK_NAME})
    state = TaskState.from_checkpoint(saved)
    model = build_for_inference(saved["cfg"].model, state)
    model.load_state_dict(saved["model"])
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field

from data_prep.errors import ManifestError
from data_prep.files.documents import Count, Document, validate
from emo_fairseq.data.frame_statistics import FrameStatistics
from emo_fairseq.data.input_limits import InputLimits
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.option_values import BY_TRAIN, transductive_note
from emo_fairseq.options import legacy_flags
from emo_fairseq.targets import LabeledTarget, Target, auxiliary_targets

NO_DIALOGUE_ENCODER = "none"  # of --dialogue-encoder
DEFAULT_FRAMES_PER_SECOND = 5.0  # of videos


class TaskOptions(Document):
    """The options of the task that a trained model depends on; the others act in training only.

    :class:`emo_fairseq.tasks.config.EmotionPredictionConfig` takes their defaults from here.
    """

    model_config = ConfigDict(frozen=True)

    modality: str | None = None
    target: str | None = None
    num_classes: int = -1
    auxiliary_targets: str | None = None
    max_text_tokens: int | None = None
    max_speech_tokens: int | None = None
    max_frames: int | None = None
    max_speech_seconds: float = 20.0
    frames_per_second: Annotated[float, Field(gt=0)] = DEFAULT_FRAMES_PER_SECOND
    max_video_seconds: Annotated[float, Field(gt=0)] = 20.0
    face_detector: str | None = None
    context_past: Count = 0
    context_future: Count = 0
    context_speakers: bool = False
    context_pooling: str = "turn"
    dialogue_encoder: str = NO_DIALOGUE_ENCODER
    dialogue_causal: bool = False
    dialogue_window: Annotated[int, Field(ge=1)] = 64
    # Flags of the legacy layout; see emo_fairseq.options.legacy_flags.
    a_only: bool = False
    t_only: bool = False
    v_only: bool = False
    all_in: bool = False
    binary_target_iemocap: bool = False
    softmax_target_meld: bool = False
    regression_target_mos: bool = False
    regression_target: bool = False
    eval_metric: bool = False

    @property
    def has_dialogue_encoder(self) -> bool:
        """Whether the turns of a dialogue are encoded together."""
        return self.dialogue_encoder != NO_DIALOGUE_ENCODER

    @classmethod
    def from_config(cls, config: object) -> Self:
        """Select them among all options of the task.

        Args:
            config: the task's dataclass, its DictConfig, or a mapping of plain values; what is
                missing has its default.

        Raises:
            UsageError: a value of another type.
        """
        given = config if isinstance(config, Mapping) else vars(config)
        values = {
            name: value.value if isinstance(value, Enum) else value  # a choice of fairseq's
            for name in cls.model_fields
            if (value := given.get(name)) is not None
        }
        try:
            return validate(values, cls, name="the options of the task", remedy="correct it")
        except ManifestError as error:
            raise UsageError(str(error), "task-option-invalid") from error


@dataclass(frozen=True)
class TaskState:
    """What a model reads, in which form, and what it predicts.

    Everything here follows from the train split and the options of a training, and never changes
    after it. What changes as training goes on (prototypes, queues, patience) is kept beside it.

    Attributes:
        options: of the task, those that a trained model depends on.
        labels: in the order of the class ids, or the axes of a target of numbers.
        encoders: for each modality which encoder reads it.
        vocabularies: of the modalities read as tokens.
        frame_statistics: of the train split, for the modalities read as frames.
        normalize_by: whose statistics normalize frames; see
            :mod:`emo_fairseq.data.normalization`.
        auxiliary_labels: labels or axes of each auxiliary target, by name.
        class_counts: of each label in the train split; None where the target has no labels.
        feature_contents: digests of the features on disk that the model was trained with, by
            modality and split; see :func:`emo_fairseq.tasks.encoders.feature_contents`.
        corpus: that it was trained on; None where that has no name.
        fold: PROTOCOL/FOLD that it was trained on; None without.
        provenance: record of the rows that it was made from, as
            :class:`data_prep.manifest.provenance.Provenance` writes it; None where there is none.
    """

    options: TaskOptions
    labels: list[str]
    encoders: Mapping[str, EncoderSpec]
    vocabularies: Mapping[str, Vocabulary] = field(default_factory=dict)
    frame_statistics: Mapping[str, FrameStatistics] = field(default_factory=dict)
    normalize_by: str = BY_TRAIN
    auxiliary_labels: Mapping[str, list[str]] = field(default_factory=dict)
    class_counts: list[int] | None = None
    feature_contents: Mapping[str, Mapping[str, list[str]]] = field(default_factory=dict)
    corpus: str | None = None
    fold: str | None = None
    provenance: Mapping[str, Any] | None = None

    @classmethod
    def from_checkpoint(cls, saved: Mapping[str, Any]) -> Self:
        """Load from what ``checkpoint_utils.load_checkpoint_to_cpu`` has read.

        Raises:
            UsageError: the checkpoint is of another task, or its parts contradict each other.
        """
        return cls.from_state(saved["cfg"].task, saved.get("task_state", {}))

    @classmethod
    def from_state(cls, options: object, state: Mapping[str, Any]) -> Self:
        """Load from options and state: in a checkpoint, or ``task`` and ``state`` in config.json.

        Args:
            options: of the task; see :meth:`TaskOptions.from_config`.
            state: plain values of the schema :class:`emo_fairseq.state_schema.CoreState`.

        Raises:
            UsageError: the state is of another task, or does not fit the options.
        """
        if "labels" not in state:
            raise UsageError("the checkpoint is not of the task emotion_prediction", "task-other")
        vocabularies = state.get("vocabulary", {}).items()
        statistics = state.get("frame_statistics", {}).items()
        loaded = cls(
            options=TaskOptions.from_config(options),
            labels=list(state["labels"]),
            encoders={name: EncoderSpec(**spec) for name, spec in state["encoders"].items()},
            vocabularies={name: Vocabulary.from_state(entry) for name, entry in vocabularies},
            frame_statistics={name: FrameStatistics(**entry) for name, entry in statistics},
            normalize_by=state.get("normalize_by", BY_TRAIN),
            auxiliary_labels=state.get("auxiliary_labels", {}),
            class_counts=state.get("class_counts"),
            feature_contents=state.get("feature_contents", {}),
            corpus=state.get("corpus"),
            fold=state.get("fold"),
            provenance=state.get("provenance"),
        )
        loaded.target.check_num_classes(loaded.options.num_classes, loaded.labels)
        return loaded

    def to_state(self) -> dict[str, Any]:
        """Return the plain values that :meth:`from_state` reads; the options are kept elsewhere."""
        state = {
            "labels": self.labels,
            "encoders": {name: spec.to_state() for name, spec in self.encoders.items()},
            "vocabulary": {name: entry.to_state() for name, entry in self.vocabularies.items()},
            "frame_statistics": {
                name: asdict(entry) for name, entry in self.frame_statistics.items()
            },
            "normalize_by": self.normalize_by,
            "auxiliary_labels": self.auxiliary_labels,
            "feature_contents": self.feature_contents,
            "corpus": self.corpus,
            "fold": self.fold,
            "provenance": self.provenance,
        }
        return state if self.class_counts is None else {**state, "class_counts": self.class_counts}

    @cached_property
    def modalities(self) -> tuple[str, ...]:
        """Names of what the model reads, in the order in which a fusion gets them."""
        return legacy_flags.modalities(self.options)

    @cached_property
    def target(self) -> Target:
        """What the model predicts."""
        return legacy_flags.target(self.options)

    @cached_property
    def auxiliary(self) -> dict[str, LabeledTarget]:
        """What it predicts beside that, by name."""
        targets = auxiliary_targets(self.options.auxiliary_targets, self.target)
        return {
            target.name: LabeledTarget(target, self.auxiliary_labels[target.name])
            for target in targets
        }

    @property
    def transductive_note(self) -> str:
        """The sentence below every figure of the model that depends on other held-out rows."""
        return transductive_note(self.normalize_by, list(self.frame_statistics))

    @property
    def n_outputs(self) -> int:
        """Width of the model's output."""
        return self.target.n_outputs(len(self.labels))

    @cached_property
    def limits(self) -> InputLimits:
        """How much of each input is read."""
        limits = InputLimits(self.options, self.modalities)
        limits.set_encoders(self.encoders)
        return limits
