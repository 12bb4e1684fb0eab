"""What the utterances of the toy corpus show, and the best score that can be reached from it.

Utterances are drawn independently of each other here; `toy_dialogues` draws whole dialogues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.corpora.toy_voice import Rng

# emotion -> (valence positive?, arousal high?). Sentiment is the sign of valence and nothing more:
# the toy's "neutral" is the calm, contented quadrant and therefore counts as positive.
QUADRANTS = {
    "neutral": (True, False),
    "happy": (True, True),
    "sad": (False, False),
    "angry": (False, True),
}
SENTIMENTS = ("negative", "positive")

# How the words speak of valence: the wrong cue, no usable cue, else the right one.
P_FLIPPED = 0.05
P_AMBIGUOUS = 0.08

LOW, HIGH = 0.25, 0.75  # centers of the quadrants on the VAD axes
DOMINANCE = {"neutral": 0.5, "happy": 0.625, "sad": 0.25, "angry": 0.75}
VAD_NOISE = 0.07  # standard deviation; clipped to [0, 1]


def bayes_ceilings(flipped: float = P_FLIPPED, ambiguous: float = P_AMBIGUOUS) -> dict[str, float]:
    """Return the highest expected UAR over the four emotions, from text, speech and both.

    Valence V and arousal A are independent fair bits, and the emotion is the pair (V, A). Given V,
    the words show V with probability 1 - flipped - ambiguous, not V with `flipped`, and nothing
    otherwise; everything else in the sentence is independent of (V, A). The voice shows A
    without error, and nothing of V. The best guess of V from the words follows the cue, and tosses
    a coin without one (as long as flipped <= 1 - flipped - ambiguous):

        P(V right | text) = (1 - flipped - ambiguous) + ambiguous / 2

    Text has no information on A (right in 1/2), speech none on V (1/2), and the two channels err
    independently, so the chance of getting the pair right is a product. No rule beats Bayes's in
    accuracy, and with four equally frequent classes the expected UAR is the expected accuracy.
    """
    clear = 1 - flipped - ambiguous
    if not 0 <= flipped <= clear:
        raise ValueError(f"flipped {flipped} and ambiguous {ambiguous} leave no cue to follow")
    valence = clear + ambiguous / 2
    return {"text": valence / 2, "speech": 1 / 2, "both": valence}


@dataclass(frozen=True)
class Draw:
    """One utterance before it is written and voiced. `cue` is what the words show of valence."""

    emotion: str
    cue: bool | None  # True positive, False negative, None ambiguous

    @property
    def aroused(self) -> bool:
        """Whether the voice is aroused."""
        return QUADRANTS[self.emotion][1]


def draw_split(n: int, rng: Rng) -> list[Draw]:
    """Draw `n` utterances, a multiple of 4: equally many of each emotion, in random order."""
    emotions = rng.permutation(np.repeat(list(QUADRANTS), n // len(QUADRANTS)))
    draws = []
    for emotion, chance in zip(emotions.tolist(), rng.uniform(size=n), strict=True):
        valence = QUADRANTS[emotion][0]
        cue = None if chance < P_AMBIGUOUS else valence
        if P_AMBIGUOUS <= chance < P_AMBIGUOUS + P_FLIPPED:
            cue = not valence
        draws.append(Draw(emotion, cue))
    return draws


def oracle_score(draws: Sequence[Draw]) -> dict[str, float]:
    """Return the scores of the Bayes rules on these draws (coin tosses count half)."""
    valence = np.mean([0.5 if d.cue is None else d.cue == QUADRANTS[d.emotion][0] for d in draws])
    return {"text": float(valence) / 2, "speech": 0.5, "both": float(valence)}


def draw_vad(emotion: str, rng: Rng) -> list[float]:
    """Draw valence, arousal and dominance: the quadrant's center plus noise, within [0, 1]."""
    center = [HIGH if positive else LOW for positive in QUADRANTS[emotion]]
    values = rng.normal([*center, DOMINANCE[emotion]], VAD_NOISE)
    return [round(float(value), 4) for value in np.clip(values, 0, 1)]
