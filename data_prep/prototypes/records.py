"""Prototypes in memory, and those that were published."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from data_prep.errors import CodedError
from data_prep.prototypes.maths import Floats, Ids
from data_prep.schema import AXES

logger = logging.getLogger(__name__)
ALL, CORPUS = SCOPES = ("all", "corpus")


@dataclass(frozen=True, slots=True)
class Centroid:
    """One class's prototype, from how many rows, and their mean distance to it."""

    valence: float
    arousal: float
    dominance: float
    n: int
    mean_difficulty: float

    @classmethod
    def at(cls, vad: Iterable[float], n: int = 0, mean_difficulty: float = 0.0) -> Centroid:
        """From valence, arousal and dominance in this order."""
        valence, arousal, dominance = vad
        return cls(valence, arousal, dominance, n, mean_difficulty)


Centroids = Mapping[str, Centroid]  # label -> its prototype, where it has one


@dataclass(frozen=True)
class Prototypes:
    """The content of prototypes.json.

    Attributes:
        label: the manifest column that names the class.
        statistic: "mean", "median" or "published".
        labels: every class, in the order of corpus.yaml, with or without a prototype.
        overall: prototypes of all rows together.
        corpora: of each corpus, where the rows name theirs.
        quantiles: scope ("all", "corpus") -> "0.1" to "0.9" -> difficulty of the train rows.
        rows: how many rows were used.
        fold: PROTOCOL/FOLD whose train set they are of; None for the train split.
        left_out: reason -> how many rows were not.
        warnings: what looks wrong with the annotation.
    """

    label: str
    statistic: str
    labels: tuple[str, ...]
    overall: Centroids
    corpora: Mapping[str, Centroids] = field(default_factory=dict)
    quantiles: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    rows: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    fold: str | None = None

    def array(self, labels: Sequence[str], scope: str | None = None) -> Floats:
        """Return the prototypes of these classes, (K, 3); a row of NaN for a class without one.

        A label that is not in the file is looked up under its synonyms.

        Args:
            labels: K names.
            scope: a corpus, or None for all of them together.

        Raises:
            ValueError: there are no prototypes of that corpus.
        """
        rows = [self._centroid(label, scope) for label in labels]
        missing = (np.nan,) * len(AXES)
        values = [missing if r is None else [getattr(r, axis) for axis in AXES] for r in rows]
        return np.array(values, dtype=np.float64).reshape(len(labels), len(AXES))

    def missing(self, labels: Sequence[str], scope: str | None = None) -> list[str]:
        """Return the labels without a prototype."""
        return [label for label in labels if self._centroid(label, scope) is None]

    def by_corpus(self, labels: Sequence[str]) -> Floats:
        """Return the prototypes of each corpus and, last, of all together: (Dm + 1, K, 3)."""
        return np.stack([self.array(labels, scope) for scope in (*self.corpora, None)])

    def domains(self, corpora: Sequence[str | None]) -> Ids:
        """Return each row's index in `by_corpus`, (N,); -1, all together, if unknown."""
        index = {name: number for number, name in enumerate(self.corpora)}
        return np.array([-1 if name is None else index.get(name, -1) for name in corpora], np.int64)

    def _centroid(self, label: str, scope: str | None) -> Centroid | None:
        if scope is not None and scope not in self.corpora:
            known = ", ".join(self.corpora) or "none"
            message = f"no prototypes of corpus {scope!r}; those there are of {known}"
            raise CodedError(message, "corpus-unknown")
        centroids = self.overall if scope is None else self.corpora[scope]
        if label in self.labels:
            return centroids.get(label)
        meant = [name for name in self.labels if canonical_label(name) == canonical_label(label)]
        return centroids.get(meant[0]) if len(meant) == 1 else None  # two would be a guess


def published_prototypes() -> Prototypes:
    """Return the published prototypes of four classes; their defects are logged."""
    logger.warning("%s", PUBLISHED_WARNING)
    return Prototypes(
        label="emotion",
        statistic=PUBLISHED_NAME,
        labels=tuple(PUBLISHED),
        overall={name: Centroid.at(vad) for name, vad in PUBLISHED.items()},
        warnings=(PUBLISHED_WARNING,),
    )


# -- Prototypes as they were published, and the names that corpora have for the same class ---------
# Not truth, and not the default (fit your own: `data_prep.fit_prototypes`). Two defects are known:
#
# - the dominance column repeats the arousal column: the published script that prints the centroids
#   writes the arousal twice;
# - they average IEMOCAP, MSP-Improv and MSP-Podcast, though MSP-Improv's arousal looks inverted:
#   its class means correlate with those of the others at -0.94.

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
    """Return the name that a class has in all corpora; an unknown label is unchanged.

    >>> canonical_label("Anger"), canonical_label("joy"), canonical_label("excited")
    ('angry', 'happy', 'excited')
    """
    return _CANONICAL.get(label.lower(), label.lower())
