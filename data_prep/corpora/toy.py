"""A made-up corpus in which neither the words nor the voice suffices, and the best score is known.

Four emotions are the quadrants of valence and arousal: happy (+, +), angry (-, +), sad (-, -),
neutral (+, -). Valence is in the words, behind cues that are sometimes wrong or absent; arousal is
in the voice (`toy_voice`), always. So text alone or speech alone can at best tell two pairs of
classes apart, and both together come near 0.9. The exact ceilings are in corpus.yaml.

    python -m data_prep.toy OUT_DIR

Nothing is downloaded; one seed always gives the same bytes. Speakers differ between the splits.
Another corpus for tests across corpora has another --name, --seed and --speaker-shift X: all its
voices are X semitones higher and X / 2 dB louder, so that what is learned of pitch and level in one
does not hold in the other. Arousal, which is in the manner of speaking, sounds the same in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_prep.audio.writing import write_flac
from data_prep.commands.command_line import (
    make_parser,
    run,
)
from data_prep.corpora.toy_chances import (
    QUADRANTS,
    SENTIMENTS,
    Draw,
    bayes_ceilings,
    draw_split,
    draw_vad,
    oracle_score,
)
from data_prep.corpora.toy_text import write_sentence
from data_prep.corpora.toy_voice import (
    SAMPLE_RATE,
    Rng,
    Voice,
    draw_voice,
    shift_voice,
    synthesize,
)
from data_prep.schema import CORPUS_FILE, SPLITS, Corpus, Utterance, write_corpus

NAME = "toy"
MAX_SHIFT = 12.0  # semitones: an octave


def make_toy(
    out_dir: str | Path,
    seed: int = 1,
    sizes: Sequence[int] = (480, 120, 240),
    speakers: Sequence[int] = (12, 4, 6),
    name: str = NAME,
    speaker_shift: float = 0.0,
) -> Corpus:
    """Write the corpus (manifests, corpus.yaml, audio/{split}/*.flac); sizes by split.

    `speaker_shift` is in semitones, see `toy_voice.shift_voice`; 0 leaves the voices as drawn.

    Raises ValueError for a split that cannot be balanced or has no speaker, for a name that names
    nothing, and for a shift beyond an octave.
    """
    if min(speakers) < 1:
        raise ValueError(f"speakers are {tuple(speakers)}; every split needs at least one")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"--name {name!r}: give letters, digits, and . _ - after the first")
    if not abs(speaker_shift) <= MAX_SHIFT:
        raise ValueError(
            f"--speaker-shift {speaker_shift:g} is beyond an octave; give -12 to 12 semitones"
        )
    out_dir = Path(out_dir)
    # One stream of random numbers a split: the size of one changes nothing in the others.
    streams = [np.random.default_rng([seed, i]) for i in range(len(SPLITS))]
    draws = [draw_split(n, rng) for n, rng in zip(sizes, streams, strict=True)]
    (out_dir / CORPUS_FILE).unlink(missing_ok=True)  # its sound is about to change
    splits: dict[str, list[Utterance]] = {}
    with tqdm(total=sum(sizes), desc="toy corpus", unit="utt", disable=None) as bar:
        for i, split in enumerate(SPLITS):
            splits[split] = []
            voices = [
                shift_voice(draw_voice(streams[i]), speaker_shift) for _ in range(speakers[i])
            ]
            for utterance in _utterances(out_dir, split, draws[i], voices, streams[i]):
                splits[split].append(utterance)
                bar.update()
    corpus = _card(name, seed, speaker_shift, draws[SPLITS.index("test")])
    write_corpus(out_dir, corpus, splits)
    return corpus


def _utterances(
    out_dir: Path, split: str, draws: Sequence[Draw], voices: Sequence[Voice], rng: Rng
) -> Iterable[Utterance]:
    """Voice the draws of one split, dialogue by dialogue, and write their audio."""
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: see the module's docstring."""
    parser = make_parser("toy", __doc__ or "", audio=False)
    parser.add_argument("out_dir", type=Path, help="the data dir to write")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    for split, n in zip(SPLITS, (480, 120, 240), strict=True):
        what = f"utterances in {split}, a multiple of 4 (default: {n})"
        parser.add_argument(f"--n-{split}", type=int, default=n, metavar="N", help=what)
    parser.add_argument(
        "--speakers",
        type=int,
        nargs=3,
        default=(12, 4, 6),
        metavar=("TRAIN", "VALID", "TEST"),
        help="speakers in each split (default: 12 4 6)",
    )
    what = "of the corpus, in corpus.yaml (default: %(default)s)"
    parser.add_argument("--name", default=NAME, help=what)
    what = "all voices higher by X semitones and louder by X / 2 dB (default: 0)"
    parser.add_argument("--speaker-shift", type=float, default=0.0, metavar="X", help=what)
    options = parser.parse_args(arguments)
    sizes = (options.n_train, options.n_valid, options.n_test)
    named = options.name, options.speaker_shift
    return run(lambda: make_toy(options.out_dir, options.seed, sizes, options.speakers, *named))
