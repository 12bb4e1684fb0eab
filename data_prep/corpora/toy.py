"""Toy: a generated corpus that needs both words and voice, and whose best score is known.

Four emotions are the quadrants of valence and arousal: happy (+, +), angry (-, +), sad (-, -),
neutral (+, -). Valence is in the words, as cues that are sometimes wrong or absent; arousal is
always in the voice (`toy_voice`). Text alone or speech alone can at best separate two pairs of
classes, and both together come near a UAR of 0.9. The exact ceilings are in corpus.yaml.

    python -m data_prep.toy OUT_DIR

Nothing is downloaded; a seed always gives the same bytes. Speakers differ between the splits. For a
second corpus, in tests across corpora, give another --name, --seed and --speaker-shift X: all its
voices are X semitones higher and X / 2 dB louder, so that pitch and level do not transfer between
the two. Arousal, which is in the manner of speaking, is the same in both.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.audio.writing import write_flac
from data_prep.corpora.toy_voice import SAMPLE_RATE, Rng, Voice, draw_voice, shift_voice, synthesize
from data_prep.errors import CodedError
from data_prep.progress import show_progress
from data_prep.schema import CORPUS_FILE, SPLITS, Corpus, Utterance, write_corpus

NAME = "toy"
SIZES = (480, 120, 240)  # utterances of train, valid and test
SPEAKERS = (12, 4, 6)
MAX_SHIFT = 12.0  # semitones: an octave


def prepare_toy(
    out_dir: str | Path,
    *,
    seed: int = 1,
    n_train: int = SIZES[0],
    n_valid: int = SIZES[1],
    n_test: int = SIZES[2],
    speakers: Sequence[int] = SPEAKERS,
    name: str = NAME,
    speaker_shift: float = 0.0,
) -> Corpus:
    """Generate the corpus: manifests, corpus.yaml and audio/{split}/*.flac.

    Args:
        out_dir: data dir to write.
        seed: the same seed generates the same bytes.
        n_train: utterances in train, a multiple of 4; `n_valid` and `n_test` likewise.
        n_valid: see there.
        n_test: see there.
        speakers: of train, valid and test.
        name: of the corpus.
        speaker_shift: semitones that all voices are shifted by, see `toy_voice.shift_voice`.

    Raises:
        CodedError: a split that cannot be balanced or has no speaker, a malformed name, or a shift
            beyond an octave.
    """
    if min(speakers) < 1:
        raise CodedError(
            f"--speakers {' '.join(map(str, speakers))}: every split needs at least one",
            "speakers-too-few",
        )
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise CodedError(
            f"--name {name!r}: give letters, digits, and . _ - after the first", "name-malformed"
        )
    if not abs(speaker_shift) <= MAX_SHIFT:
        raise CodedError(
            f"--speaker-shift {speaker_shift:g} is beyond an octave; give -12 to 12 semitones",
            "shift-out-of-range",
        )
    sizes = n_train, n_valid, n_test
    out_dir = Path(out_dir)
    # One stream of random numbers a split: the size of one changes nothing in the others.
    streams = [np.random.default_rng([seed, i]) for i in range(len(SPLITS))]
    draws = [draw_split(n, rng) for n, rng in zip(sizes, streams, strict=True)]
    (out_dir / CORPUS_FILE).unlink(missing_ok=True)  # its sound is about to change
    splits: dict[str, list[Utterance]] = {}
    with show_progress("toy corpus", sum(sizes), "utterance") as update:
        for i, split in enumerate(SPLITS):
            splits[split] = []
            voices = [
                shift_voice(draw_voice(streams[i]), speaker_shift) for _ in range(speakers[i])
            ]
            for utterance in _utterances(out_dir, split, draws[i], voices, streams[i]):
                splits[split].append(utterance)
                update(1)
    corpus = _card(name, seed, speaker_shift, draws[SPLITS.index("test")])
    write_corpus(out_dir, corpus, splits)
    return corpus


def _utterances(
    out_dir: Path, split: str, draws: Sequence[Draw], voices: Sequence[Voice], rng: Rng
) -> Iterable[Utterance]:
    """Synthesize the draws of a split by dialogue, write their audio, and yield their rows."""
    (out_dir / "audio" / split).mkdir(parents=True, exist_ok=True)
    n_speakers = len(voices)
    left = list(draws)
    dialogue = 0
    while left:
        # A dialogue is 4 to 8 turns of the two speakers of one session (the last session of an odd
        # number of speakers has one). Its emotions are independent: context does not help here.
        session = 2 * int(rng.integers((n_speakers + 1) // 2))
        pair = range(session, min(session + 2, n_speakers))
        for turn in range(min(int(rng.integers(4, 9)), len(left))):
            speaker = pair[turn % len(pair)]
            draw = left.pop()
            waveform = synthesize(voices[speaker], draw.aroused, rng)
            name = f"{split}_{dialogue:03d}_{turn}"
            audio = f"audio/{split}/{name}.flac"
            write_flac(out_dir / audio, waveform, SAMPLE_RATE)
            valence, arousal, dominance = draw_vad(draw.emotion, rng)
            yield Utterance(
                id=name,
                audio=audio,
                n_samples=len(waveform),
                text=write_sentence(draw.cue, rng),
                speaker=f"{split}_speaker{speaker:02d}",
                session=f"{split}_session{session // 2:02d}",
                dialogue=f"{split}_{dialogue:03d}",
                turn=turn,
                emotion=draw.emotion,
                sentiment=SENTIMENTS[QUADRANTS[draw.emotion][0]],
                valence=valence,
                arousal=arousal,
                dominance=dominance,
            )
        dialogue += 1


def _card(name: str, seed: int, speaker_shift: float, test: Sequence[Draw]) -> Corpus:
    luck = ", ".join(f"{key} {value:.4f}" for key, value in oracle_score(test).items())
    ceilings = {key: round(value, 6) for key, value in bayes_ceilings().items()}
    both = ceilings["both"]
    shift = [f"all voices are shifted by {speaker_shift:g} semitones"] if speaker_shift else []
    return Corpus(
        name=name,
        labels={"emotion": tuple(QUADRANTS), "sentiment": SENTIMENTS},
        vad={"scale": [0.0, 1.0], "mapping": "as drawn: quadrant center plus noise"},
        disjoint=("speaker", "dialogue"),
        protocol="one fixed split, speakers and dialogues disjoint",
        licence="CC0-1.0 (made by data_prep.toy)",
        citation=f"made by data_prep.toy, seed {seed}",
        ceilings=ceilings,
        notes=[
            "ceilings: the highest UAR over the 4 emotions that a model can expect (toy.py: why)",
            f"on the test split as drawn, the rules that reach them score {luck}",
            f"sentiment is the sign of valence: ceilings {both}, 0.5 and {both}",
            *shift,
        ],
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `prepare_toy`."""
    add = parser.add_argument
    add("--seed", type=int, default=1, help="default: %(default)s")
    for split, n in zip(SPLITS, SIZES, strict=True):
        about = f"utterances in {split}, a multiple of 4 (default: {n})"
        add(f"--n-{split}", type=int, default=n, metavar="N", help=about)
    add(
        "--speakers",
        type=int,
        nargs=3,
        default=SPEAKERS,
        metavar=("TRAIN", "VALID", "TEST"),
        help="speakers in each split (default: 12 4 6)",
    )
    add("--name", default=NAME, help="of the corpus, in corpus.yaml (default: %(default)s)")
    shift = "all voices higher by X semitones and louder by X / 2 dB (default: 0)"
    add("--speaker-shift", type=float, default=0.0, metavar="X", help=shift)


# -- Draws, and the best possible score ------------------------------------------------------------

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

    Text says nothing of A (right in 1/2), speech nothing of V (1/2), and the two channels err
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
    """Draw `n` utterances, equally many of each emotion, in random order."""
    if n <= 0 or n % len(QUADRANTS):
        raise CodedError(
            f"a split of {n} cannot be balanced; give a multiple of 4", "split-not-balanced"
        )
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


# -- Sentences: a cue word of known polarity in a frame that is independent of it ------------------
# Topic, time and frame are drawn independently of the cue, and no word is in two lists.

POSITIVE = (
    "wonderful",
    "lovely",
    "great",
    "delightful",
    "brilliant",
    "charming",
    "pleasant",
    "superb",
    "excellent",
    "sweet",
)
NEGATIVE = (
    "awful",
    "terrible",
    "horrible",
    "dreadful",
    "hopeless",
    "nasty",
    "miserable",
    "rotten",
    "lousy",
    "bitter",
)
PLAIN = ("ordinary", "usual", "average", "typical")
TOPICS = (
    "trip",
    "dinner",
    "meeting",
    "party",
    "letter",
    "concert",
    "garden",
    "lesson",
    "weekend",
    "news",
    "house",
    "film",
)
TIMES = ("today", "yesterday", "this morning", "last night", "again", "after all")
TEMPLATES = (
    "the {topic} was {cue} {time}",
    "{time} I thought the {topic} was {cue}",
    "they told me that the {topic} had been {cue}",
    "well the {topic} turned out {cue} {time}",
    "you know what, the {topic} is {cue}",
    "so {time} we had a really {cue} {topic}",
    "my sister said it was one {cue} {topic}",
    "I have never seen so {cue} a {topic}",
)


def write_sentence(cue: bool | None, rng: Rng) -> str:
    """Write a sentence with a cue; an ambiguous one has a plain word, or a cue of each kind."""
    if cue is None:
        pair = rng.permutation([rng.choice(POSITIVE), rng.choice(NEGATIVE)])
        word = str(rng.choice(PLAIN)) if rng.uniform() < 0.5 else " and ".join(pair)
    else:
        word = str(rng.choice(POSITIVE if cue else NEGATIVE))
    template = str(rng.choice(TEMPLATES))
    sentence = template.format(cue=word, topic=rng.choice(TOPICS), time=rng.choice(TIMES))
    return sentence[0].upper() + sentence[1:] + "."
