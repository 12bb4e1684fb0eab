"""Values of options that several packages name: of the tuning, the normalization and the fusion."""

from collections.abc import Sequence

# Which weights of an encoder are trained: --text-tuning, --speech-tuning, --video-tuning.
FULL, FROZEN, LORA = TUNINGS = ("full", "frozen", "lora")

# Whose statistics normalize frames: --normalize-by.
BY_TRAIN, BY_CORPUS, BY_SPEAKER, BY_UTTERANCE = NORMALIZATIONS = (
    "train",
    "corpus",
    "speaker",
    "utterance",
)

CONCAT, CROSS_ATTENTION, MISA = "concat", "cross_attention", "misa"  # of --fusion


def transductive_note(by: str, modalities: Sequence[str]) -> str:
    """Return the sentence below every figure that depends on other held-out rows; empty for none.

    >>> transductive_note("speaker", ["speech"])
    'speech frames are normalized by speaker, from unlabeled rows of the scored split'

    Args:
        by: one of :data:`NORMALIZATIONS`.
        modalities: that are read as frames.
    """
    if not modalities or by not in (BY_CORPUS, BY_SPEAKER):
        return ""
    frames = " and ".join(modalities)
    return f"{frames} frames are normalized by {by}, from unlabeled rows of the scored split"


def default_fusion(n_modalities: int) -> str:
    """Return the fusion that is used without ``--fusion``.

    >>> default_fusion(1), default_fusion(2)
    ('concat', 'cross_attention')
    """
    return CONCAT if n_modalities == 1 else CROSS_ATTENTION
