"""Names that every package shares: modalities, inputs of encoders, tuning modes and targets."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from data_prep.schema import AXES
from emo_fairseq.errors import UsageError

TEXT = "text"
SPEECH = "speech"
VIDEO = "video"
MODALITIES = (TEXT, SPEECH, VIDEO)  # also the order in which a fusion sees them

_LETTERS = {"T": TEXT, "A": SPEECH, "V": VIDEO}


def parse_modalities(text: str, option: str = "--modality") -> tuple[str, ...]:
    """Read ``--modality``: names joined by ``+``, or the letters T (text), A (audio), V (video).

    >>> parse_modalities("text+speech")
    ('text', 'speech')
    >>> parse_modalities("A+T")
    ('text', 'speech')

    Args:
        text: what the option says.
        option: its name, for messages.

    Raises:
        UsageError: an unknown or repeated name.
    """
    names = [_LETTERS.get(part.strip(), part.strip()) for part in text.split("+")]
    unknown = [name for name in names if name not in MODALITIES]
    if unknown or len(set(names)) != len(names):
        raise UsageError(
            f"{option} {text!r} is not understood; join any of {', '.join(MODALITIES)} "
            "by '+', each once (T, A and V are short for text, speech and video)"
        )
    return tuple(name for name in MODALITIES if name in names)


def masked_modalities(text: str | None, read: tuple[str, ...]) -> tuple[str, ...]:
    """Those that ``--mask-modality`` takes for missing.

    >>> masked_modalities("A", ("text", "speech"))
    ('speech',)

    Raises:
        UsageError: one of them is not read, or none would be left.
    """
    if text is None:
        return ()
    masked = parse_modalities(text, "--mask-modality")
    if not set(masked) < set(read):
        raise UsageError(
            f"--mask-modality {text}: the model reads {'+'.join(read)}; mask some of these, and "
            "not all"
        )
    return masked


# -- What an encoder reads: the one word that its card, its leaf and its builder agree on ----------

TOKENS = "tokens"
WAVEFORM = "waveform"
LOG_MEL = "log_mel"
FRAMES = "frames"  # pre-extracted ones
INPUTS = (TOKENS, WAVEFORM, LOG_MEL, FRAMES)


# -- What of an encoder is trained: the values of ``--{modality}-tuning`` --------------------------

FULL, FROZEN, LORA = TUNINGS = ("full", "frozen", "lora")


# -- What can be predicted: one row a ``--target`` -------------------------------------------------
# Every part that depends on the target (columns read, width of the head, choice of criterion, names
# of metrics) asks this table, so that a new target is a new row.


class TargetKind(enum.Enum):
    """The form of a target: it decides the head's width, the loss and the metrics."""

    CATEGORICAL = "categorical"  # one of K labels: K logits
    BINARY_PER_LABEL = "binary_per_label"  # K yes/no questions: 2 K logits, (no, yes) per label
    CONTINUOUS = "continuous"  # A real numbers: A values


@dataclass(frozen=True)
class Target:
    """One row of :data:`TARGETS`.

    Attributes:
        name: the value of ``--target``.
        kind: see :class:`TargetKind`.
        columns: the manifest columns that hold the truth; for labels exactly one.
    """

    name: str
    kind: TargetKind
    columns: tuple[str, ...]

    @property
    def has_labels(self) -> bool:
        """True if the truth is a label name, False if it is a number for each column."""
        return self.kind is not TargetKind.CONTINUOUS

    def n_outputs(self, n_labels: int) -> int:
        """Width of the head, given the number of labels (ignored for continuous targets)."""
        if self.kind is TargetKind.CATEGORICAL:
            return n_labels
        if self.kind is TargetKind.BINARY_PER_LABEL:
            return 2 * n_labels
        return len(self.columns)

    def check_num_classes(self, num_classes: int, labels: Sequence[str]) -> None:
        """Refuse a ``--num-classes`` that does not fit; a negative one means "as the data say".

        Raises:
            UsageError: the number differs from what the target and its labels need.
        """
        needed = self.n_outputs(len(labels))
        if num_classes >= 0 and num_classes != needed:
            names = ", ".join(labels) if self.has_labels else ", ".join(self.columns)
            raise UsageError(
                f"--num-classes {num_classes} does not fit --target {self.name}, which has "
                f"{needed} outputs ({names}); give --num-classes {needed} or leave it out",
                "num-classes-mismatch",
            )


@dataclass(frozen=True)
class LabeledTarget:
    """A target, and the names of its labels or axes."""

    target: Target
    labels: Sequence[str]

    @property
    def n_outputs(self) -> int:
        """Width of its head."""
        return self.target.n_outputs(len(self.labels))


def auxiliary_targets(names: str | None, primary: Target) -> list[Target]:
    """Read ``--auxiliary-targets vad,sentiment``.

    Raises:
        UsageError: a name that is no target, occurs twice, or is what is predicted anyway.
    """
    found: list[Target] = []
    for name in (word.strip() for word in (names or "").split(",") if word.strip()):
        target = TARGETS.get(name)
        if target is None or target.kind is TargetKind.BINARY_PER_LABEL:
            others = [t.name for t in TARGETS.values() if t.kind is not TargetKind.BINARY_PER_LABEL]
            raise UsageError(
                f"--auxiliary-targets {names}: {name!r} is not one of {', '.join(others)}"
            )
        if target in found or target.columns == primary.columns:
            raise UsageError(
                f"--auxiliary-targets {names}: {name} is predicted anyway; leave it out"
            )
        found.append(target)
    return found


TARGETS = {
    target.name: target
    for target in (
        Target("emotion", TargetKind.CATEGORICAL, ("emotion",)),
        Target("sentiment", TargetKind.CATEGORICAL, ("sentiment",)),
        Target("binary_emotion", TargetKind.BINARY_PER_LABEL, ("emotion",)),
        Target("sentiment_score", TargetKind.CONTINUOUS, ("sentiment_score",)),
        Target("vad", TargetKind.CONTINUOUS, AXES),
    )
}
