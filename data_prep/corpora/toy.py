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

With --dialogues, the emotion of a turn depends on the turn before it and on who speaks, and the
turn alone leaves it ambiguous (`toy_dialogues`): for models that read whole dialogues. corpus.yaml
then has a ceiling for single turns, for the turns before, for all turns, and for all turns without
knowing who speaks. --no-audio writes the words alone, in a second.

With --annotators N, simulated annotators disagree (`toy_annotators`): rows have votes, and their
emotion is the majority, if there is one. For soft labels; corpus.yaml then has the lowest
cross-entropy to the votes in place of the ceilings.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from data_prep.audio.writing import write_flac
from data_prep.corpora import toy_annotators, toy_dialogues
from data_prep.corpora.toy_dialogues import Turn
from data_prep.corpora.toy_draws import (
    QUADRANTS,
    SENTIMENTS,
    Draw,
    bayes_ceilings,
    draw_split,
    draw_vad,
    oracle_score,
)
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
    dialogues: bool = False,
    with_audio: bool = True,
    annotators: int = 0,
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
        dialogues: let emotions depend on the turn before; see `toy_dialogues`.
        with_audio: synthesize voices; else the corpus has text alone.
        annotators: number of simulated ones, whose votes make the labels; 0 for the true emotions.

    Raises:
        CodedError: a split that cannot be balanced or has too few speakers, a malformed name, or a
            shift beyond an octave.
    """
    sizes = n_train, n_valid, n_test
    _check_sizes(sizes, dialogues)
    _check(speakers, name, speaker_shift, dialogues, with_audio)
    toy_annotators.check_annotators(annotators, dialogues)
    out_dir = Path(out_dir)
    # One stream of random numbers a split: the size of one changes nothing in the others.
    streams = [np.random.default_rng([seed, i]) for i in range(len(SPLITS))]
    of_splits = list(zip(sizes, speakers, streams, strict=True))
    drawn: list[Iterable[Turn]]
    if dialogues:
        chains = [toy_dialogues.draw_turns(*of_split) for of_split in of_splits]
        drawn, ceilings = [*chains], toy_dialogues.ceilings()
        scores = toy_dialogues.oracle_scores(chains[SPLITS.index("test")])
    else:
        draws = [draw_split(n, rng) for n, _, rng in of_splits]
        drawn = [
            _independent_turns(draw, n_speakers, rng)
            for draw, (_, n_speakers, rng) in zip(draws, of_splits, strict=True)
        ]
        ceilings, scores = bayes_ceilings(), oracle_score(draws[SPLITS.index("test")])
    (out_dir / CORPUS_FILE).unlink(missing_ok=True)  # its sound is about to change
    splits: dict[str, list[Utterance]] = {}
    with show_progress("toy corpus", sum(sizes), "utterance") as update:
        for i, (turns, (_, n_speakers, rng)) in enumerate(zip(drawn, of_splits, strict=True)):
            split = SPLITS[i]
            splits[split] = []
            votes_rng = np.random.default_rng([seed, len(SPLITS) + i])
            voices = [shift_voice(draw_voice(rng), speaker_shift) for _ in range(n_speakers)]
            for turn in turns:
                voice = voices[turn.speaker] if with_audio else None
                row = _utterance(out_dir, split, turn, voice, rng)
                if annotators:
                    row = toy_annotators.annotate(row, turn.draw, annotators, votes_rng)
                splits[split].append(row)
                update(1)
    shift = [f"all voices are shifted by {speaker_shift:g} semitones"] if speaker_shift else []
    corpus = _card(name, seed, ceilings, scores, dialogues, shift)
    if annotators:
        corpus.ceilings = None  # they are of the true emotions
        corpus.notes = [*toy_annotators.describe_annotators(annotators, splits), *shift]
    write_corpus(out_dir, corpus, splits)
    return corpus


def _check_sizes(sizes: Sequence[int], dialogues: bool) -> None:
    """Raise a `CodedError` for a split that cannot be balanced; one of dialogues has any size."""
    step = 1 if dialogues else len(QUADRANTS)
    for split, n in zip(SPLITS, sizes, strict=True):
        if n < 1 or n % step:
            remedy = "1 or more" if dialogues else f"a multiple of {step}"
            raise CodedError(
                f"--n-{split} {n}: the emotions cannot be equally frequent; give {remedy}",
                "split-not-balanced",
            )


def _check(
    speakers: Sequence[int], name: str, speaker_shift: float, dialogues: bool, with_audio: bool
) -> None:
    given = f"--speakers {' '.join(map(str, speakers))}"
    if min(speakers) < 1:
        raise CodedError(f"{given}: every split needs at least one", "speakers-too-few")
    if dialogues and any(number % 2 for number in speakers):
        raise CodedError(
            f"{given}: with --dialogues, every split needs an even number, two a session",
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
    if speaker_shift and not with_audio:
        raise CodedError(
            f"--speaker-shift {speaker_shift:g}: with --no-audio there are no voices; leave one of "
            "the two out",
            "options-conflict",
        )


def _independent_turns(draws: Sequence[Draw], n_speakers: int, rng: Rng) -> Iterator[Turn]:
    """Yield the draws of a split by dialogue, whose context does not help; draw as they are read.

    A dialogue is 4 to 8 turns of the two speakers of one session (the last session of an odd number
    of speakers has one).
    """
    left = list(draws)
    dialogue = 0
    while left:
        session = 2 * int(rng.integers((n_speakers + 1) // 2))
        pair = range(session, min(session + 2, n_speakers))
        for turn in range(min(int(rng.integers(4, 9)), len(left))):
            yield Turn(dialogue, turn, pair[turn % len(pair)], left.pop())
        dialogue += 1


def _utterance(out_dir: Path, split: str, turn: Turn, voice: Voice | None, rng: Rng) -> Utterance:
    """Write and voice a turn; without a voice it has no audio."""
    name = f"{split}_{turn.dialogue:03d}_{turn.turn}"
    audio, n_samples = None, None
    if voice is not None:
        waveform = synthesize(voice, turn.draw.aroused, rng)
        audio, n_samples = f"audio/{split}/{name}.flac", len(waveform)
        (out_dir / audio).parent.mkdir(parents=True, exist_ok=True)
        write_flac(out_dir / audio, waveform, SAMPLE_RATE)
    emotion = turn.draw.emotion
    valence, arousal, dominance = draw_vad(emotion, rng)
    return Utterance(
        id=name,
        audio=audio,
        n_samples=n_samples,
        text=write_sentence(turn.draw.cue, rng),
        speaker=f"{split}_speaker{turn.speaker:02d}",
        session=f"{split}_session{turn.speaker // 2:02d}",
        dialogue=f"{split}_{turn.dialogue:03d}",
        turn=turn.turn,
        emotion=emotion,
        sentiment=SENTIMENTS[QUADRANTS[emotion][0]],
        valence=valence,
        arousal=arousal,
        dominance=dominance,
    )


def _card(
    name: str,
    seed: int,
    ceilings: Mapping[str, float],
    scores: Mapping[str, float],
    dialogues: bool,
    notes: Sequence[str],
) -> Corpus:
    scored = ", ".join(f"{key} {value:.4f}" for key, value in scores.items())
    rounded = {key: round(value, 6) for key, value in ceilings.items()}
    both = rounded["both"]
    why = "toy_dialogues.py" if dialogues else "toy.py"
    of_sentiment = [f"sentiment is the sign of valence: ceilings {both}, 0.5 and {both}"]
    return Corpus(
        name=name,
        labels={"emotion": tuple(QUADRANTS), "sentiment": SENTIMENTS},
        vad={"scale": [0.0, 1.0], "mapping": "as drawn: quadrant center plus noise"},
        disjoint=("speaker", "dialogue"),
        protocol="one fixed split, speakers and dialogues disjoint",
        license="CC0-1.0 (made by data_prep.toy)",
        citation=f"made by data_prep.toy, seed {seed}",
        ceilings=rounded,
        notes=[
            f"ceilings: the highest UAR over the 4 emotions that a model can expect ({why}: why)",
            f"on the test split as drawn, the rules that reach them score {scored}",
            *([] if dialogues else of_sentiment),
            *notes,
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
    chain = "let the emotion of a turn depend on the turn before it, and on who speaks"
    add("--dialogues", action="store_true", help=chain)
    silent = "write the words alone, without voices"
    votes = "let N simulated annotators disagree: rows have votes, and their majority as emotion"
    add("--annotators", type=int, default=0, metavar="N", help=votes)
    add("--no-audio", dest="with_audio", action="store_false", help=silent)


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
