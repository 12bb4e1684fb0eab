"""How well turns are found, and what that costs, on recordings stitched from RAVDESS.

    python benchmarks/diarization.py RAVDESS [--speakers given|auto] [--actors test|dev]
    python benchmarks/diarization.py RAVDESS --missed

Clips of one, two, three and four actors, in turn, with pauses of .1 to 1 s; the reference is each
clip from its first to its last sample above -30 dB of its peak. The thresholds of diarization were
chosen on the actors 1 to 12 (`--actors dev`). Prints the diarization error rate, its parts, and the
seconds of CPU and the memory for an hour of audio. With `--missed` the share of frames above -30 dB
of the loudest one that are not taken for speech, by emotion and threshold.
"""

import argparse
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from data_prep.audio.decoding import FloatArray
from data_prep.audio.loading import load_audio
from data_prep.schema import SAMPLE_RATE
from data_prep.segmentation.turn import Turn
from emo_fairseq.diarization.activity import measure_activity
from emo_fairseq.diarization.options import TurnOptions
from emo_fairseq.diarization.turns import find_turns

ACTORS = {"dev": range(1, 13), "test": range(13, 25)}
COUNTS = (1, 2, 3, 4)
CLIPS = 40  # of a recording
PAUSES = (0.1, 1.0)  # seconds
CHANGE = 0.8  # probability that the next clip is of another actor
FLOOR = 10 ** (-30 / 20)  # of the peak
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
THRESHOLDS = (0.5, 0.3)
PARTS = ("missed detection", "false alarm", "confusion")


@dataclass(frozen=True)
class Recording:
    """A recording, with who speaks when."""

    samples: FloatArray
    reference: Annotation
    n_speakers: int


def trimmed(path: Path) -> FloatArray:
    """Load a clip without what is before and after its speech."""
    samples = load_audio(path)
    loud = np.flatnonzero(np.abs(samples) > FLOOR * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]


def stitch(root: Path, actors: Sequence[int], noise: np.random.Generator) -> Recording:
    """Stitch clips of actors with pauses of faint noise."""
    files = {a: list(noise.permutation(sorted((root / f"Actor_{a:02}").iterdir()))) for a in actors}
    parts: list[np.ndarray] = [noise.normal(scale=1e-4, size=SAMPLE_RATE // 2)]
    position, speaker = len(parts[0]), actors[0]
    reference = Annotation()
    for number in range(CLIPS):
        others = [actor for actor in actors if actor != speaker]
        if number < len(actors):
            speaker = actors[number]
        elif others and noise.random() < CHANGE:
            speaker = int(noise.choice(others))
        clip = trimmed(Path(files[speaker].pop()))
        span = Segment(position / SAMPLE_RATE, (position + len(clip)) / SAMPLE_RATE)
        reference[span] = str(speaker)
        parts += [clip, noise.normal(scale=1e-4, size=int(noise.uniform(*PAUSES) * SAMPLE_RATE))]
        position += len(clip) + len(parts[-1])
    return Recording(np.concatenate(parts).astype(np.float32), reference, len(actors))


def annotation(turns: Sequence[Turn]) -> Annotation:
    """Return turns as pyannote.metrics reads them."""
    result = Annotation()
    for number, turn in enumerate(turns):
        result[Segment(float(turn.start), float(turn.end)), number] = turn.speaker
    return result


def print_missed(root: Path) -> None:
    """Print how much speech of each emotion and intensity is missed, of all actors."""
    missed: dict[str, list[list[float]]] = {}
    for path in sorted(root.glob("Actor_*/*")):
        activity = measure_activity(path).channels[0]
        is_loud = activity.powers > FLOOR**2 * activity.powers.max()
        _, _, emotion, intensity, *_ = path.stem.split("-")
        name = EMOTIONS[int(emotion) - 1] + (", strong" if intensity == "02" else "")
        shares = [float(np.mean(activity.probabilities[is_loud] < t)) for t in THRESHOLDS]
        missed.setdefault(name, []).append(shares)
    for name, rows in missed.items():
        means = ", ".join(f"{mean:.3f}" for mean in np.mean(rows, axis=0))
        print(f"{name}: {means} at thresholds of {', '.join(map(str, THRESHOLDS))}")


def main(args: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("root", type=Path, help="folder with Actor_01 to Actor_24")
    parser.add_argument("--speakers", choices=("given", "auto", "none"), default="given")
    parser.add_argument("--actors", choices=sorted(ACTORS), default="test")
    parser.add_argument("--collar", type=float, default=0.0, help="seconds on each side")
    parser.add_argument("--recordings", type=int, default=8, help="for each number of speakers")
    parser.add_argument("--missed", action="store_true", help="speech that is missed, by emotion")
    options = parser.parse_args(args)
    if options.missed:
        print_missed(options.root)
        return
    torch.set_num_threads(1)
    noise = np.random.default_rng(2 if options.actors == "test" else 1)
    for n_speakers in COUNTS:
        # A collar of pyannote.metrics is that of both sides together.
        rate = DiarizationErrorRate(collar=2 * options.collar)
        totals = dict.fromkeys((*PARTS, "total"), 0.0)
        counts, seconds, cpu = [], 0.0, 0.0
        for _ in range(options.recordings):
            actors = noise.choice(list(ACTORS[options.actors]), n_speakers, replace=False).tolist()
            recording = stitch(options.root, actors, noise)
            speakers = n_speakers if options.speakers == "given" else options.speakers
            start = time.process_time()
            turns = find_turns(recording.samples, TurnOptions(speakers=speakers)).turns
            cpu += time.process_time() - start
            seconds += len(recording.samples) / SAMPLE_RATE
            counts.append(len({turn.speaker for turn in turns}))
            uem = Timeline([Segment(0, len(recording.samples) / SAMPLE_RATE)])
            parts = rate(recording.reference, annotation(turns), uem=uem, detailed=True)
            for name in totals:
                totals[name] += parts[name]
        shares = {name: totals[name] / totals["total"] for name in PARTS}
        listed = ", ".join(f"{name} {share:.3f}" for name, share in shares.items())
        right = np.mean(np.equal(counts, n_speakers))
        print(f"{n_speakers} speakers: DER {sum(shares.values()):.3f} ({listed})")
        print(f"  found {np.mean(counts):.1f}, the right number in {right:.2f} of the recordings")
        print(f"  {cpu / seconds * 3600:.0f} s of CPU for an hour of audio", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
