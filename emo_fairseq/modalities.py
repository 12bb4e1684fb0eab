"""Modalities, and the kinds of input that their encoders read."""

from collections.abc import Collection

from emo_fairseq.errors import UsageError

TEXT = "text"
SPEECH = "speech"
VIDEO = "video"
MODALITIES = (TEXT, SPEECH, VIDEO)  # also the order in which a fusion gets them
MODALITY_LETTERS = {TEXT: "T", SPEECH: "A", VIDEO: "V"}

# What an encoder reads.
TOKENS = "tokens"
WAVEFORM = "waveform"
LOG_MEL = "log_mel"
FRAMES = "frames"  # pre-extracted ones
PIXELS = "pixels"  # of the pictures of a video
INPUTS = (TOKENS, WAVEFORM, LOG_MEL, FRAMES, PIXELS)


def parse_modalities(text: str, option: str = "--modality") -> tuple[str, ...]:
    """Parse ``--modality``: names joined by ``+``, or the letters T (text), A (audio), V (video).

    >>> parse_modalities("text+speech")
    ('text', 'speech')
    >>> parse_modalities("A+T")
    ('text', 'speech')

    Raises:
        UsageError: an unknown or repeated name.
    """
    by_letter = {letter: name for name, letter in MODALITY_LETTERS.items()}
    names = [by_letter.get(part.strip(), part.strip()) for part in text.split("+")]
    unknown = [name for name in names if name not in MODALITIES]
    if unknown or len(set(names)) != len(names):
        raise UsageError(
            f"{option} {text!r} is not understood; join any of {', '.join(MODALITIES)} "
            "by '+', each once (T, A and V are short for text, speech and video)",
            "modality-unknown",
        )
    return tuple(name for name in MODALITIES if name in names)


def masked_modalities(text: str | None, read: tuple[str, ...]) -> tuple[str, ...]:
    """Return the modalities that ``--mask-modality`` takes for missing.

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
            "not all",
            "mask-invalid",
        )
    return masked


def missing_warning(missing: Collection[str], modality_dropout: float) -> str:
    """Return the warning of a prediction without some modalities; empty for none."""
    if not missing or modality_dropout:
        return ""
    return (
        f"without {' and '.join(missing)}: the model was trained without --modality-dropout, "
        "and may not have been trained on such inputs"
    )
