"""Dialogues of the toy corpus, whose turns cannot be classified without the turns around them.

A dialogue is a hidden Markov chain. The state of a turn is its emotion, valence and arousal; which
state follows depends on whether the same speaker goes on or the other one answers:

| | valence is | arousal is |
|---|---|---|
| the same speaker | that of the turn before (`P_KEPT`) | that of the turn before (`P_KEPT`) |
| the other speaker | negative after an aroused turn, positive after a calm one (`P_ANSWERED`) | \
high after a negative turn, low after a positive one (`P_ANSWERED`) |

each with the probability in parentheses, else the opposite. Who speaks next is drawn independently
(`P_CHANGE`), and everybody can see it. As in single utterances, the words show valence, but here
they are wrong or neutral more often, and the voice shows arousal. So the voice of a turn
depends on the words that it answers, and the words on the voice: from the dialogue, text alone
predicts arousal, and speech alone valence.

Both transitions map the uniform distribution onto itself, so the four emotions are equally frequent
at every turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data_prep.corpora.toy_draws import QUADRANTS, Draw
from data_prep.corpora.toy_voice import Rng

Array = npt.NDArray[np.float64]

P_CHANGE = 0.6  # that the other speaker has the next turn
P_KEPT = 0.95
P_ANSWERED = 0.9
P_FLIPPED = 0.1  # the words' cue is wrong
P_AMBIGUOUS = 0.3  # they have none
TURNS = (8, 24)  # of a dialogue, fewest and most

EMOTIONS = tuple(QUADRANTS)
CUES = (True, False, None)

_SIMULATED = 4000  # dialogues from which ceilings are computed


@dataclass(frozen=True)
class Turn:
    """A turn of a dialogue.

    Attributes:
        dialogue: number of the dialogue.
        turn: number within it.
        speaker: number among those of the split.
        draw: what it shows.
    """

    dialogue: int
    turn: int
    speaker: int
    draw: Draw


def draw_turns(n: int, n_speakers: int, rng: Rng) -> list[Turn]:
    """Draw dialogues until there are `n` turns; the last dialogue may be cut.

    Args:
        n: turns.
        n_speakers: of the split, an even number. Speakers 0 and 1 share a session, 2 and 3, and so
            on.
        rng: source of the draws.
    """
    turns: list[Turn] = []
    dialogue = 0
    while len(turns) < n:
        first = 2 * int(rng.integers(n_speakers // 2))
        length = int(rng.integers(TURNS[0], TURNS[1] + 1))
        is_change = rng.uniform(size=length) < P_CHANGE
        speaking = np.cumsum(is_change) % 2
        states = _draw_states(is_change[None], rng)[0]
        cues = _draw_cues(states[None], rng)[0]
        for turn in range(min(length, n - len(turns))):
            draw = Draw(EMOTIONS[states[turn]], CUES[cues[turn]])
            turns.append(Turn(dialogue, turn, first + int(speaking[turn]), draw))
        dialogue += 1
    return turns


# -- the chain -------------------------------------------------------------------------------------


def transitions() -> Array:
    """Return P(state | state before), (2, 4, 4): of the same speaker, and of the other one."""
    matrices = np.empty((2, len(EMOTIONS), len(EMOTIONS)))
    for before, (was_positive, was_high) in enumerate(QUADRANTS.values()):
        expected = (was_positive, was_high), (not was_high, not was_positive)
        for kind, (p, (positive, high)) in enumerate(
            zip((P_KEPT, P_ANSWERED), expected, strict=True)
        ):
            for after, (is_positive, is_high) in enumerate(QUADRANTS.values()):
                chances = [p if is_positive is positive else 1 - p, p if is_high is high else 1 - p]
                matrices[kind, before, after] = np.prod(chances)
    return matrices


def emissions() -> Array:
    """Return P(cue | state), (4, 3), with the cues in the order of `CUES`."""
    clear = 1 - P_FLIPPED - P_AMBIGUOUS
    rows = [
        [clear if cue is positive else P_AMBIGUOUS if cue is None else P_FLIPPED for cue in CUES]
        for positive, _ in QUADRANTS.values()
    ]
    return np.array(rows)


def likelihoods(
    cues: npt.NDArray[np.int64], aroused: npt.NDArray[np.bool_], *, text: bool, speech: bool
) -> Array:
    """Return P(what a turn shows | state), (N, T, 4).

    Args:
        cues: (N, T), numbers in `CUES`.
        aroused: (N, T), as the voice shows.
        text: whether the words are read.
        speech: whether the voice is used.
    """
    shown = np.ones((*cues.shape, len(EMOTIONS)))
    if text:
        shown = shown * emissions().T[cues]
    if speech:
        is_high = np.array([high for _, high in QUADRANTS.values()])
        shown = shown * (aroused[..., None] == is_high)
    return shown


def posteriors(shown: Array, steps: Array, *, past: bool, future: bool) -> Array:
    """Return P(state | what the turns show), (N, T, 4), by the forward-backward algorithm.

    Rabiner 1989, "A tutorial on hidden Markov models", section III A and B. Turns after the end of
    a dialogue show 1 for every state, which has no information.

    Args:
        shown: (N, T, 4), see `likelihoods`.
        steps: (N, T, 4, 4), P(state of turn t | that of turn t - 1); the first is not used.
        past: take the turns before into account.
        future: take those after into account.
    """
    n_turns = shown.shape[1]
    before = np.full_like(shown, 1 / len(EMOTIONS))  # P(state | turns before)
    after = np.ones_like(shown)  # in proportion to P(turns after | state)
    for t in range(1, n_turns if past else 0):
        forward = _normalize(before[:, t - 1] * shown[:, t - 1])
        before[:, t] = np.einsum("ni,nij->nj", forward, steps[:, t])
    for t in reversed(range(n_turns - 1 if future else 0)):
        backward = after[:, t + 1] * shown[:, t + 1]
        after[:, t] = _normalize(np.einsum("nj,nij->ni", backward, steps[:, t + 1]))
    return _normalize(before * shown * after)


def _normalize(weights: Array) -> Array:
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


# -- the best possible scores ----------------------------------------------------------------------

_READ = {
    "text": {"text": True, "speech": False},
    "speech": {"text": False, "speech": True},
    "both": {"text": True, "speech": True},
}
_CONTEXTS = {
    "": {"past": False, "future": False},
    "_past": {"past": True, "future": False},
    "_dialogue": {"past": True, "future": True},
}
_NO_SPEAKERS = "_dialogue_no_speakers"


def ceilings(seed: int = 0) -> dict[str, float]:
    """Return the highest UAR that a model can expect, by what it reads.

    ``text`` reads single turns, ``text_past`` the turns before, too, ``text_dialogue`` all turns,
    and ``text_dialogue_no_speakers`` all turns without their speakers; `speech` and `both`
    likewise. All emotions are equally frequent, so the expected UAR of Bayes's rule is its expected
    accuracy: the mean, over dialogues that are drawn here, of the largest posterior. Its standard
    error is below 0.001.
    """
    rng = np.random.default_rng(seed)
    lengths = rng.integers(TURNS[0], TURNS[1] + 1, _SIMULATED)
    is_turn = np.arange(TURNS[1]) < lengths[:, None]
    is_change = rng.uniform(size=is_turn.shape) < P_CHANGE
    states = _draw_states(is_change, rng)
    return {
        name: round(float(posterior.max(axis=2)[is_turn].mean()), 3)
        for name, posterior in _all_posteriors(
            _draw_cues(states, rng), _is_high(states), is_change, is_turn
        )
    }


def oracle_scores(turns: Sequence[Turn]) -> dict[str, float]:
    """Return the accuracy of Bayes's rules on these turns (ties count in part)."""
    dialogues: dict[int, list[Turn]] = {}
    for turn in turns:
        dialogues.setdefault(turn.dialogue, []).append(turn)
    shape = len(dialogues), max(map(len, dialogues.values()))
    states, cues = np.zeros(shape, dtype=int), np.zeros(shape, dtype=int)
    is_turn, is_change = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for row, parts in enumerate(dialogues.values()):
        for t, part in enumerate(parts):
            states[row, t] = EMOTIONS.index(part.draw.emotion)
            cues[row, t] = CUES.index(part.draw.cue)
            is_turn[row, t] = True
            is_change[row, t] = t > 0 and parts[t - 1].speaker != part.speaker
    scores = {}
    for name, posterior in _all_posteriors(cues, _is_high(states), is_change, is_turn):
        is_best = posterior >= posterior.max(axis=2, keepdims=True) - 1e-9
        is_right = np.take_along_axis(is_best, states[..., None], axis=2)[..., 0]
        scores[name] = float((is_right / is_best.sum(axis=2))[is_turn].mean())
    return scores


def _all_posteriors(
    cues: npt.NDArray[np.int64],
    aroused: npt.NDArray[np.bool_],
    is_change: npt.NDArray[np.bool_],
    is_turn: npt.NDArray[np.bool_],
) -> Iterator[tuple[str, Array]]:
    """Yield the name of each ceiling, and the posteriors (N, T, 4) that it follows from."""
    same, other = matrices = transitions()
    steps = matrices[is_change.astype(int)]
    unseen = np.broadcast_to((1 - P_CHANGE) * same + P_CHANGE * other, steps.shape)
    for channel, read in _READ.items():
        shown = np.where(is_turn[..., None], likelihoods(cues, aroused, **read), 1.0)
        for context, turns in _CONTEXTS.items():
            yield f"{channel}{context}", posteriors(shown, steps, **turns)
        yield f"{channel}{_NO_SPEAKERS}", posteriors(shown, unseen, past=True, future=True)


def _draw_states(is_change: npt.NDArray[np.bool_], rng: Rng) -> npt.NDArray[np.int64]:
    """Draw states (N, T); the first of each dialogue is uniform."""
    n, n_turns = is_change.shape
    cumulative = transitions().cumsum(axis=2)
    states = np.empty((n, n_turns), dtype=np.int64)
    states[:, 0] = rng.integers(len(EMOTIONS), size=n)
    for t in range(1, n_turns):
        below = cumulative[is_change[:, t].astype(int), states[:, t - 1]]  # (N, 4)
        states[:, t] = (rng.uniform(size=(n, 1)) > below[:, :-1]).sum(axis=1)
    return states


def _draw_cues(states: npt.NDArray[np.int64], rng: Rng) -> npt.NDArray[np.int64]:
    """Draw what the words of states (N, T) show, as numbers in `CUES`."""
    below = emissions().cumsum(axis=1)[states]  # (N, T, 3)
    drawn: npt.NDArray[np.int64] = (rng.uniform(size=(*states.shape, 1)) > below[..., :-1]).sum(-1)
    return drawn


def _is_high(states: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return whether states (N, T) are aroused."""
    high: npt.NDArray[np.bool_] = np.array([high for _, high in QUADRANTS.values()])[states]
    return high
