"""The schema of what describes a model, in a checkpoint and in the config.json of a model folder.

What a checkpoint holds beside it, as tensors, is in :mod:`emo_fairseq.checkpoint_schema`.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from data_prep.files.documents import Count, Document, JsonObject
from data_prep.tokens.folder import SpecialsDocument
from emo_fairseq.modalities import INPUTS, MODALITIES
from emo_fairseq.option_values import BY_TRAIN, NORMALIZATIONS

MAX_VOCABULARY = 2**24  # symbols; the largest published ones have 2**18

PARAMETERS = 3  # valence, arousal, dominance


def _one_of(names: Sequence[str]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"{name!r} is none of {', '.join(names)}")
        return name

    return AfterValidator(check)


def _distinct(names: list[str]) -> list[str]:
    if not names or not all(names):
        raise ValueError("there is none, or one without a name")
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise ValueError(f"{', '.join(twice)} is there twice")
    return names


Modality = Annotated[str, _one_of(MODALITIES)]
Labels = Annotated[list[str], Field(max_length=100_000), AfterValidator(_distinct)]
VocabularySize = Annotated[int, Field(ge=0, le=MAX_VOCABULARY)]


class EncoderState(Document):
    """An :class:`emo_fairseq.encoder_spec.EncoderSpec`."""

    spec: str
    input: Annotated[str, _one_of(INPUTS)]
    architecture: dict[str, Any] = Field(default_factory=dict)
    weights: str = ""
    vocabulary_size: VocabularySize = 0
    vocabulary_digest: str = ""
    max_tokens: Count = 0


class VocabularyState(Document):
    """An :class:`emo_fairseq.data.vocabulary.Vocabulary`."""

    size: Annotated[int, Field(ge=1, le=MAX_VOCABULARY)]
    digest: str
    source: str
    specials: SpecialsDocument | None = None
    tokenizer: str = ""

    @model_validator(mode="after")
    def _check_specials(self) -> Self:
        largest = max((self.specials.model_dump() if self.specials else {"": 0}).values())
        if largest >= self.size:
            raise ValueError(f"{largest} is the id of a special token, of {self.size} symbols")
        return self


class FrameState(Document):
    """An :class:`emo_fairseq.data.frame_statistics.FrameStatistics`."""

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
    normalize_by: Annotated[str, _one_of(NORMALIZATIONS)] = BY_TRAIN
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


# In JSON a class without a prototype has nulls.
_Point = Annotated[list[float | None], Field(min_length=PARAMETERS, max_length=PARAMETERS)]


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
