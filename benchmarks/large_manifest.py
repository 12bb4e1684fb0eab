"""What a corpus of 100,000 rows costs until its first update.

``python -m benchmarks.large_manifest`` writes a made-up corpus of text and speech (``--rows``; the
rows of a split share a few short recordings, since only their number is at issue), and then, each
in a process of its own, checks it, looks at it, tokenizes it, and trains one update of it, without
validation and without saving. Prints wall time, processor time and the peak of the resident set of
each; and the same of a corpus of ``--small`` rows, so that what all processes pay alike, imports
above all, can be taken off.

The corpus is written by a process of its own, too: Linux counts the pages of a parent as those of
its children until they have started their program, so that this process has to stay small.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

from benchmarks.results import Ratio, add_json_option, save_ratios
from data_prep.schema import SAMPLE_RATE, Corpus, Utterance, write_corpus

EMOTIONS = ("neutral", "happy", "sad", "angry")
SHARES = {"train": 0.96, "valid": 0.02, "test": 0.02}
N_SOUNDS, N_WORDS, N_TURNS = 20, 5_000, 10
MODEL = """--arch robertaEMO_tiny --optimizer adam --lr 1e-3 --criterion emotion_classification
    --batch-size 32 --max-update 1 --disable-validation --no-save --cpu --num-workers 0
    --log-format simple"""


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    wall: float  # seconds
    cpu: float  # seconds, of user and system
    peak: float  # MiB, of its resident set


def write_large(folder: Path, n_rows: int) -> None:
    """Write the data dir; the same number of rows always gives the same one."""
    draw = np.random.default_rng(1)
    splits = {
        split: list(_rows(split, max(40, round(share * n_rows)), draw))
        for split, share in SHARES.items()
    }
    for split in splits:
        (folder / "audio").mkdir(parents=True, exist_ok=True)
        for number in range(N_SOUNDS):
            noise = 0.1 * draw.normal(size=SAMPLE_RATE)
            soundfile.write(folder / _sound(split, number), noise, SAMPLE_RATE, subtype="PCM_16")
    write_corpus(folder, Corpus("large", labels={"emotion": EMOTIONS}), splits)


def _rows(split: str, n_rows: int, draw: np.random.Generator) -> Iterator[Utterance]:
    for row in range(n_rows):
        words = draw.integers(N_WORDS, size=draw.integers(5, 25))
        valence, arousal, dominance = draw.random(3).round(4).tolist()
        yield Utterance(
            f"{split}_{row:06d}",
            audio=_sound(split, row % N_SOUNDS),
            n_samples=SAMPLE_RATE,
            text=" ".join(f"word{word}" for word in words.tolist()),
            speaker=f"{split}_{row // 200:04d}",
            dialogue=f"{split}_{row // N_TURNS:05d}",
            turn=row % N_TURNS,
            emotion=EMOTIONS[int(draw.integers(len(EMOTIONS)))],
            valence=valence,
            arousal=arousal,
            dominance=dominance,
        )


def _sound(split: str, number: int) -> str:
    return f"audio/{split}_{number:02d}.flac"


def steps(folder: Path) -> dict[str, list[str]]:
    """What is measured, by name, in this order."""
    python, train = sys.executable, str(Path(sys.executable).with_name("fairseq-train"))
    plugin = str(Path(__file__).parents[1] / "emo_fairseq")
    common = [train, "--user-dir", plugin, "--task", "emotion_prediction", "--data", str(folder)]
    return {
        "imports": [python, "-c", "import fairseq_cli.train, emo_fairseq; emo_fairseq.register()"],
        "validate": [python, "-m", "data_prep.validate", str(folder)],
        "inspect": [python, "-m", "data_prep.inspect_corpus", str(folder)],
        "tokenize_text": [python, "-m", "data_prep.tokenize_text", str(folder)],
        "train text": [*common, "--modality", "text", *MODEL.split()],
        "train context": [*common, "--modality", "text", "--context-past", "4", *MODEL.split()],
        "train dialogues": [
            *common,
            "--modality",
            "text",
            "--dialogue-encoder",
            "gru",
            *MODEL.split(),
        ],
        "train text+speech": [
            *common,
            "--modality",
            "text+speech",
            "--speech-input",
            "log_mel",
            *MODEL.split(),
        ],
    }


def measure(words: Sequence[str]) -> Cost:
    """Run a command to its end. Raises RuntimeError if it fails, with the end of what it said."""
    began = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{said[-2000:]}")
    wall = time.perf_counter() - began
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--small", type=int, default=1_000)
    add_json_option(parser)
    args = parser.parse_args()
    print(f"{'':<20}{'rows':>9}{'wall s':>9}{'cpu s':>9}{'peak MiB':>10}")
    costs: dict[tuple[str, int], Cost] = {}
    for n_rows in (args.small, args.rows):
        with TemporaryDirectory() as scratch:
            folder = Path(scratch) / "large"
            writing = multiprocessing.get_context("spawn").Process(
                target=write_large, args=(folder, n_rows)
            )
            writing.start()
            writing.join()
            for name, words in steps(folder).items():
                cost = costs[name, n_rows] = measure(words)
                print(
                    f"{name:<20}{n_rows:>9}{cost.wall:>9.1f}{cost.cpu:>9.1f}{cost.peak:>10.0f}",
                    flush=True,
                )
    save_ratios(args.json, list(_ratios(costs, args.small, args.rows)))


def _ratios(costs: Mapping[tuple[str, int], Cost], small: int, large: int) -> Iterator[Ratio]:
    """Yield the processor time of each step on the small corpus over that on the large one."""
    for name in dict.fromkeys(name for name, _ in costs if name != "imports"):
        cpu = costs[name, large].cpu
        peer = f"{small:,} rows"
        yield Ratio(f"{name}, {large:,} rows", cpu, "s CPU", peer, costs[name, small].cpu / cpu)


if __name__ == "__main__":
    main()
