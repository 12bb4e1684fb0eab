"""A whole recording: ``python -m benchmarks.conversations MODEL RAVDESS --minutes 60``.

Stitches a recording of two RAVDESS actors who alternate, and of sentences that espeak-ng speaks
between them where it is installed, with pauses of .3 to 1.5 s. Then ``emotion-recognize analyze``
runs on it in a process of its own, and its table is scored against the turns that are known. Prints
the metrics of ``evaluate --recordings``, WER of each speaker, the CPU time of that process (user,
system, and loading included) and the most memory that it held; and the time-weighted UAR of known
turns, which has no errors of finding them. The actors have to be none that the model was trained
on: by default two of the test set of fold 0.

Clips of RAVDESS begin and end in silence, which is cut off where a window of 20 ms stays below 1/30
of the clip's loudest one. Each clip is used as often as the length asks for, in another order each
time. The voice of espeak-ng is a third speaker, whose turns have a text and no emotion. Needs
Linux.
"""

import argparse
import csv
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from data_prep.audio.loading import load_audio
from data_prep.corpora.ravdess import EMOTIONS, STATEMENTS
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.cli.evaluate.recordings import table_lines
from emo_fairseq.evaluation.recording_scores import score_recordings
from emo_fairseq.evaluation.tables import format_number
from emo_fairseq.evaluation.turn_files import TurnFiles, pair_recordings, read_turns
from emo_fairseq.evaluation.word_errors import word_error_rows

ACTORS = (5, 10)  # of fold 0's test set: a man and a woman
VOICE = "espeak-ng"
RECORDING = "conversation.flac"
COLUMNS = ("recording", "start", "end", "speaker", "text", "emotion")
PAUSES = (0.3, 1.5)  # seconds
NOISE = 1e-4  # standard deviation
PEAK = 0.1  # of the sentences; the clips are as loud as they are
WINDOW = SAMPLE_RATE // 50
QUIET = 1 / 30  # of the loudest window
SENTENCES = (
    "The train to the coast leaves at nine in the morning.",
    "She put the letters back into the wooden box.",
    "Please close the window before the rain begins.",
    "Nobody has opened this door for many years.",
    "Our neighbors are painting their fence again.",
    "He wrote the number on a piece of paper.",
    "There is fresh bread on the kitchen table.",
    "The meeting was moved to Thursday afternoon.",
    "Two children were playing near the river.",
    "I would like to exchange these shoes.",
    "The museum is closed until the end of March.",
    "Her brother works in a hospital in the city.",
)


class Clip(NamedTuple):
    """What one turn is made of."""

    samples: np.ndarray  # (n_samples,) float32
    speaker: str
    text: str
    emotion: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conversations")
    parser.add_argument("model", type=Path, help="model folder that reads speech")
    parser.add_argument("ravdess", type=Path, help="folder of Actor_01 and so on")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the recording")
    parser.add_argument("--actors", type=int, nargs=2, default=ACTORS)
    parser.add_argument("--sentence-every", type=int, default=5, help="turns; 0 for none")
    parser.add_argument("--speakers", default="auto", help="of analyze")
    parser.add_argument("--transcribe", help="of analyze: a Whisper")
    parser.add_argument("--collar", type=float, default=0.0, help="of DER, in seconds")
    parser.add_argument("--keep", type=Path, help="folder for the recording and the tables")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        _stitch(folder, options)
        _measure(folder, options)
        reference, predicted = read_turns(folder / "turns.csv"), read_turns(folder / "analyzed")
        scores = score_recordings(reference, predicted, collar=options.collar)
        for line in (*table_lines(scores), *predicted.notes, *scores.notes):
            print(line)
        if "wer" in scores.estimates:
            _print_words(reference, predicted)
        _analyze(folder, "known", options, ["--segments", str(folder / "turns.csv")])
        known = score_recordings(reference, read_turns(folder / "known")).estimates["time_uar"]
        print(f"time-weighted UAR of the known turns {format_number(known.value)}")


def _print_words(reference: TurnFiles, predicted: TurnFiles) -> None:
    """Print WER of each speaker."""
    (recording,) = pair_recordings(reference, predicted).recordings
    rows = word_error_rows(recording)
    speakers = [turn.turn.speaker for turn in recording.reference]
    for name in dict.fromkeys(speakers):
        errors, words = rows[[speaker == name for speaker in speakers]].sum(axis=0)
        print(f"WER of {name} {format_number(errors / words)} ({words:.0f} words)")


# -- the recording ---------------------------------------------------------------------------------


def _stitch(folder: Path, options: argparse.Namespace) -> None:
    """Write a recording and the table of its turns, a clip at a time."""
    noise = np.random.default_rng(0)
    n_samples = position = 0
    with (
        soundfile.SoundFile(folder / RECORDING, "w", SAMPLE_RATE, 1) as sound,
        (folder / "turns.csv").open("w", newline="", encoding="utf-8") as file,
    ):
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for clip, pause in _turns(options):
            start = position + round(pause * SAMPLE_RATE)
            end = start + len(clip.samples)
            if end > options.minutes * 60 * SAMPLE_RATE:
                break
            samples = np.concatenate([np.zeros(start - position, np.float32), clip.samples])
            sound.write(samples + noise.normal(scale=NOISE, size=len(samples)))
            times = (f"{time / SAMPLE_RATE:.4f}" for time in (start, end))
            table.writerow([RECORDING, *times, clip.speaker, clip.text, clip.emotion])
            position, n_samples = end, n_samples + len(clip.samples)
    minutes = position / SAMPLE_RATE / 60
    print(f"{minutes:.1f} min of audio, {n_samples / SAMPLE_RATE / 60:.1f} min of speech")


def _turns(options: argparse.Namespace) -> Iterator[tuple[Clip, float]]:
    """Yield clips, each with the pause before it, without end."""
    draw = random.Random(0)
    by_actor = [_clips(options.ravdess, actor) for actor in options.actors]
    sentences = _sentences() if options.sentence_every else []
    if options.sentence_every and not sentences:
        print(f"{VOICE} is not installed: no sentences between the clips")
    number = 0
    while True:
        shuffled = [draw.sample(clips, len(clips)) for clips in by_actor]
        for pair in zip(*shuffled, strict=False):
            for clip in pair:
                number += 1
                yield clip, draw.uniform(*PAUSES)
                if sentences and number % options.sentence_every == 0:
                    yield draw.choice(sentences), draw.uniform(*PAUSES)


def _clips(corpus: Path, actor: int) -> list[Clip]:
    files = sorted((corpus / f"Actor_{actor:02}").glob("03-01-*"))
    if not files:
        raise SystemExit(f"{corpus}: no speech of Actor_{actor:02}")
    clips = []
    for file in files:
        _, _, emotion, _, statement, *_ = file.stem.split("-")
        samples = _trimmed(load_audio(file))
        clips.append(Clip(samples, f"actor_{actor:02}", STATEMENTS[statement], EMOTIONS[emotion]))
    return clips


def _sentences() -> list[Clip]:
    if shutil.which(VOICE) is None:
        return []
    clips = []
    with tempfile.TemporaryDirectory() as folder:
        for sentence in SENTENCES:
            file = Path(folder) / "sentence.wav"
            subprocess.run([VOICE, "-w", str(file), sentence], check=True)
            spoken = _trimmed(load_audio(file))
            clips.append(Clip(spoken * (PEAK / np.abs(spoken).max()), VOICE, sentence, ""))
    return clips


def _trimmed(samples: np.ndarray) -> np.ndarray:
    """Return a clip without the silence around it, as loud as it is."""
    windows = samples[: len(samples) // WINDOW * WINDOW].reshape(-1, WINDOW)
    levels = np.sqrt(np.square(windows).mean(axis=1))
    loud = np.flatnonzero(levels > QUIET * levels.max())
    return samples[loud[0] * WINDOW : (loud[-1] + 1) * WINDOW].astype(np.float32)


# -- the analysis ----------------------------------------------------------------------------------


def _measure(folder: Path, options: argparse.Namespace) -> None:
    """Analyze the recording, and print what it takes."""
    words = ["--speakers", options.speakers]
    words += ["--transcribe", options.transcribe] if options.transcribe else []
    start = time.perf_counter()
    used = _analyze(folder, "analyzed", options, words)
    seconds = time.perf_counter() - start
    hours = soundfile.info(folder / RECORDING).duration / 3600
    cpu = (used.ru_utime + used.ru_stime) / 60
    print(
        f"{cpu / hours:.2f} CPU minutes an hour of audio ({cpu:.2f} min, wall {seconds / 60:.2f} "
        f"min), peak memory {used.ru_maxrss / 1024:.0f} MiB"
    )


def _analyze(
    folder: Path, name: str, options: argparse.Namespace, further: Sequence[str]
) -> resource.struct_rusage:
    """Run ``analyze`` with its table in the folder `name`, and return what it used."""
    words = [sys.executable, "-m", "emo_fairseq.cli", "analyze", str(options.model)]
    words += [str(folder / RECORDING), "--output-dir", str(folder / name), "--formats", "csv"]
    process = subprocess.Popen([*words, "--overwrite", *further])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if not any((folder / name).glob("*.csv")):  # 1 may mean that one turn has an error
        raise SystemExit(process.returncode)
    return used


if __name__ == "__main__":
    main()
