"""What has to be known of an encoder before, and long after, its files are read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from emo_fairseq.errors import UsageError
from emo_fairseq.types import MODALITIES

PRETRAINED = ("hf", "fairseq")
KINDS = ("scratch", *PRETRAINED, "features")
_DROPOUT = "dropout"


@dataclass(frozen=True)
class EncoderSpec:
    """Enough to build the encoder again without the files that it came from.

    Kept in the task's state, and so in every checkpoint, as plain values.

    Attributes:
        spec: what ``--{modality}-encoder`` said, such as ``hf:models/mpnet``.
        input: one of :data:`emo_fairseq.types.INPUTS`: which leaf of the data it reads.
        architecture: plain values, nested; what they mean is up to the kind of encoder.
        weights: SHA-256 of the weights file; empty for an encoder trained from scratch.
        vocabulary_size: rows of the embedding of tokens; 0 for other inputs.
        vocabulary_digest: of the symbols in order, as
            :class:`emo_fairseq.data.vocabulary.Vocabulary` has it; empty where unknown.
        max_tokens: longest sequence of tokens, boundaries included; 0 = no limit.
    """

    spec: str
    input: str
    architecture: dict[str, Any] = field(default_factory=dict)
    weights: str = ""
    vocabulary_size: int = 0
    vocabulary_digest: str = ""
    max_tokens: int = 0

    @property
    def kind(self) -> str:
        """``hf``, ``fairseq``, ``features`` or ``scratch``."""
        return self.spec.partition(":")[0]

    @property
    def is_pretrained(self) -> bool:
        """Whether its weights come from the files of others."""
        return self.kind in PRETRAINED

    @property
    def place(self) -> str:
        """What follows the kind in the spec: a folder, a file, a name or a size."""
        return self.spec.partition(":")[2]

    def with_dropout(self, probability: float | None) -> "EncoderSpec":
        """The same encoder with one probability for every dropout of its own.

        Whole layers that are left out (layerdrop) stay as they are.

        Args:
            probability: None leaves all as they are.
        """
        if probability is None:
            return self
        return replace(self, architecture=_with_dropout(self.architecture, float(probability)))

    def to_state(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return asdict(self)


def _with_dropout(architecture: Mapping[str, Any], probability: float) -> dict[str, Any]:
    """Nested settings with each number under a name that has "dropout" in it replaced."""
    changed = dict(architecture)
    for name, value in architecture.items():
        if isinstance(value, Mapping):
            changed[name] = _with_dropout(value, probability)
        elif _DROPOUT in name and isinstance(value, int | float) and not isinstance(value, bool):
            changed[name] = probability
    return changed


def check_spec(modality: str, spec: str) -> str:
    """`spec` itself, if it is of the form that ``--{modality}-encoder`` takes.

    Raises:
        UsageError: an unknown kind, or nothing behind the colon.
    """
    kind, _, place = spec.partition(":")
    if kind not in KINDS or not place:
        raise UsageError(
            f"--{modality}-encoder {spec!r} is not understood; write hf:FOLDER, "
            "fairseq:CHECKPOINT, features:NAME or scratch:SIZE"
        )
    if modality == MODALITIES[-1] and kind != "features":
        raise UsageError(f"--{modality}-encoder {spec!r}: {modality} is read as features:NAME only")
    return spec
