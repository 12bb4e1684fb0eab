"""The description of an encoder, from which it can be built without the files that it came from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import VIDEO

if TYPE_CHECKING:
    from data_prep.video.preparing import PictureSize

PRETRAINED = ("hf", "fairseq")
KINDS = ("scratch", *PRETRAINED, "features")
STORED_LAYERS = "layers"  # in the architecture of features, if they are of several
WHISPER = "whisper"  # the model type of Hugging Face
# The values of --whisper-padding: silence up to 30 s after a recording, whose frames are cut off
# after the encoder; none; or silence whose frames are kept.
WHISPER_FULL, WHISPER_NONE, WHISPER_KEPT = "full", "none", "kept"
WHISPER_PADDINGS = (WHISPER_FULL, WHISPER_NONE, WHISPER_KEPT)
DEFAULT_WHISPER_PADDING = WHISPER_FULL
_DROPOUT = "dropout"
_WHISPER_PADDING = "whisper_padding"  # in an architecture, unless it is the full one


@dataclass(frozen=True)
class EncoderSpec:
    """What an encoder reads, and how it is built.

    The task's state, and so every checkpoint, holds it as plain values.

    >>> spec = EncoderSpec("hf:models/mpnet", "tokens", {"hidden_size": 768})
    >>> spec.kind, spec.source, spec.is_pretrained
    ('hf', 'models/mpnet', True)

    Attributes:
        spec: the value of ``--{modality}-encoder``, such as ``hf:models/mpnet``.
        input: what it reads, one of :data:`emo_fairseq.modalities.INPUTS`.
        architecture: plain values, nested; each kind of encoder has its own.
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
        """Whether its weights were trained elsewhere."""
        return self.kind in PRETRAINED

    @property
    def source(self) -> str:
        """What follows the kind in the spec: a folder, a file, a name or a size."""
        return self.spec.partition(":")[2]

    def with_dropout(self, probability: float | None) -> "EncoderSpec":
        """Return the spec with one probability for every dropout within the encoder.

        Layerdrop, which leaves out whole layers, does not change.

        Args:
            probability: None changes nothing.
        """
        if probability is None:
            return self
        return replace(self, architecture=_with_dropout(self.architecture, float(probability)))

    @property
    def stored_layers(self) -> int:
        """Number of layers side by side in a frame of stored features."""
        return int(self.architecture.get(STORED_LAYERS, 1)) if self.kind == "features" else 1

    @property
    def is_whisper(self) -> bool:
        """Whether it is a Whisper of Hugging Face."""
        config = self.architecture.get("config")
        return isinstance(config, Mapping) and config.get("model_type") == WHISPER

    @property
    def whisper_padding(self) -> str:
        """Padding of the recordings that a Whisper reads; specs of older versions have none."""
        return str(self.architecture.get(_WHISPER_PADDING, WHISPER_FULL))

    def with_whisper_padding(self, padding: str) -> "EncoderSpec":
        """Return the spec with this padding; the same one, if it is not a Whisper.

        Args:
            padding: one of :data:`WHISPER_PADDINGS`.
        """
        if not self.is_whisper:
            return self
        architecture = {k: v for k, v in self.architecture.items() if k != _WHISPER_PADDING}
        if padding != WHISPER_FULL:
            architecture[_WHISPER_PADDING] = padding
        return replace(self, architecture=architecture)

    @property
    def picture_size(self) -> "PictureSize":
        """The pictures that an encoder of videos reads."""
        from data_prep.video.preparing import PictureSize  # which needs numpy

        front_end = self.architecture["front_end"]
        names = ("height", "width", "shortest_edge", "resample")
        return PictureSize(**{name: front_end[name] for name in names})

    def to_state(self) -> dict[str, Any]:
        """Return plain values, for a checkpoint."""
        return asdict(self)


def _with_dropout(architecture: Mapping[str, Any], probability: float) -> dict[str, Any]:
    """Replace every number in nested settings whose name has "dropout" in it."""
    changed = dict(architecture)
    for name, value in architecture.items():
        if isinstance(value, Mapping):
            changed[name] = _with_dropout(value, probability)
        elif _DROPOUT in name and isinstance(value, int | float) and not isinstance(value, bool):
            changed[name] = probability
    return changed


def features_name(spec: str | None) -> str:
    """Return the name of the stored features that a spec reads; empty for any other encoder.

    >>> features_name("features:wavlm"), features_name("hf:wavlm"), features_name(None)
    ('wavlm', '', '')
    """
    kind, _, source = (spec or "").partition(":")
    return source if kind == "features" else ""


def check_spec(modality: str, spec: str) -> str:
    """Return `spec` if it is of the form that ``--{modality}-encoder`` takes.

    Raises:
        UsageError: an unknown kind, nothing behind the colon, or a video encoder from scratch.
    """
    kind, _, source = spec.partition(":")
    if kind not in KINDS or not source:
        raise UsageError(
            f"--{modality}-encoder {spec!r} is not understood; write hf:FOLDER, "
            "fairseq:CHECKPOINT, features:NAME or scratch:SIZE",
            "encoder-spec-invalid",
        )
    if modality == VIDEO and kind not in ("hf", "features"):
        raise UsageError(
            f"--video-encoder {spec!r}: video is read by hf:FOLDER or as features:NAME",
            "encoder-spec-invalid",
        )
    return spec
