"""The names of the modalities and the grammar of ``--modality``."""

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
