"""Prototypes as they were published, and the names that corpora have for the same class.

Not truth, and not the default (fit your own: `data_prep.fit_prototypes`). Two defects are known:

- the dominance column repeats the arousal column: the published script that prints the centroids
  writes the arousal twice;
- they average IEMOCAP, MSP-Improv and MSP-Podcast, though MSP-Improv's arousal looks inverted: its
  class means correlate with those of the others at -0.94.
"""

from __future__ import annotations

PUBLISHED_NAME = "published"
# Class -> valence, arousal, dominance, in [0, 1].
PUBLISHED = {
    "neutral": (0.4896, 0.5458, 0.5458),
    "happy": (0.7127, 0.5518, 0.5518),
    "sad": (0.3060, 0.4895, 0.4895),
    "angry": (0.2397, 0.6102, 0.6102),
}
PUBLISHED_WARNING = (
    "the published prototypes repeat arousal in the dominance column, and average MSP-Improv, "
    "whose arousal looks inverted, with IEMOCAP and MSP-Podcast; fit your own with "
    "python -m data_prep.fit_prototypes"
)

# Only other names for one class. Whether excited counts as happy is a choice, and not made here.
SYNONYMS = {
    "neutral": ("neu",),
    "happy": ("happiness", "hap", "joy"),
    "sad": ("sadness",),
    "angry": ("anger", "ang"),
    "fear": ("fearful", "fea"),
    "disgust": ("disgusted", "dis"),
    "surprise": ("surprised", "sur"),
}
_CANONICAL = {other: name for name, others in SYNONYMS.items() for other in others}


def canonical_label(label: str) -> str:
    """The name under which a class is the same in every corpus; an unknown one is its own.

    >>> canonical_label("Anger"), canonical_label("joy"), canonical_label("excited")
    ('angry', 'happy', 'excited')
    """
    return _CANONICAL.get(label.lower(), label.lower())
