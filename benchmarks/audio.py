"""An epoch of reading audio: decoded from files, and from packed audio, in turn.

``python -m benchmarks.audio`` makes a corpus of ``--clips`` short FLAC files, a fifth of them at
48 kHz, or takes the train split of ``--data``; packs it with one process and with two; and reads
every clip in random order in batches of 16, as the data loader of a training does, without a model.
Prints what packing costs a clip, the start of the command included, and for both ways of reading
clips a second, seconds until the first batch and the peak of the resident set; each in a process of
its own.
"""

import argparse
import logging
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import soundfile

from benchmarks.results import Ratio, add_json_option, save_ratios
from data_prep.audio.segment import AudioRows
from data_prep.manifest.audio_root import audio_root
from data_prep.manifest.table import counts, ids_of
from data_prep.packed_audio.opening import open_packed
from data_prep.schema import SAMPLE_RATE, Corpus, Utterance, read_manifest, write_corpus
from emo_fairseq.data.audio import PackedWaveforms, WaveformDataset

BATCH = 16
MAX_SAMPLES = 20 * SAMPLE_RATE
FILES, PACKED = "files", "packed audio"


@dataclass(frozen=True)
class Reading:
    """What reading all clips took.

    Attributes:
        opening: seconds until the dataset is there.
        first: seconds from there to the first batch.
        epoch: seconds of all batches.
        peak: of the resident set, MiB, less that before.
    """

    opening: float
    first: float
    epoch: float
    peak: float


def write_clips(folder: Path, n_clips: int) -> None:
    """Write a data dir of clips from half a second to 3.5 s; the same number gives the same one."""
    draw = np.random.default_rng(1)
    rows = []
    (folder / "audio").mkdir(parents=True)
    for number in range(n_clips):
        rate = 48_000 if number % 5 == 0 else SAMPLE_RATE
        time_axis = np.arange(round(draw.uniform(0.5, 3.5) * rate)) / rate
        pitch = 120 + 30 * np.sin(2 * np.pi * draw.uniform(1, 4) * time_axis)
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        voice = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 12))
        samples = 0.2 * voice + 0.01 * draw.normal(size=len(time_axis))
        name = f"audio/{number:06d}.flac"
        soundfile.write(folder / name, samples, rate, subtype="PCM_16")
        n_samples = round(len(samples) * SAMPLE_RATE / rate)
        emotion = ("sad", "glad")[number % 2]
        rows.append(Utterance(f"u{number:06d}", audio=name, n_samples=n_samples, emotion=emotion))
    write_corpus(folder, Corpus("clips", labels={"emotion": ("sad", "glad")}), {"train": rows})


def open_dataset(data_dir: Path, packed: Path | None) -> WaveformDataset:
    """Open the train split, of files or of packed audio."""
    manifest, root = data_dir / "train.tsv", audio_root(data_dir)
    rows = read_manifest(manifest)
    of_rows = AudioRows(rows, root), counts(rows, "n_samples"), MAX_SAMPLES, ids_of(rows)
    if packed is None:
        return WaveformDataset(*of_rows)
    opened = open_packed(packed, manifest, rows, root, SAMPLE_RATE)
    assert opened is not None
    return PackedWaveforms([opened], *of_rows)


def read_all(data_dir: Path, packed: Path | None, seed: int) -> Reading:
    """Read every clip once, in batches, in random order."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    dataset = open_dataset(data_dir, packed)
    opened = time.perf_counter()
    order = np.random.default_rng(seed).permutation(len(dataset)).tolist()
    first = 0.0
    for start in range(0, len(order), BATCH):
        dataset.collater([dataset[row] for row in order[start : start + BATCH]])
        first = first or time.perf_counter() - opened
    ended = time.perf_counter()
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return Reading(opened - began, first, ended - opened, peak)


def main() -> None:
    """Command line."""
    logging.getLogger().setLevel(logging.WARNING)  # fairseq sets DEBUG on import
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=2_000, help="of the corpus that is made")
    parser.add_argument("--data", type=Path, help="data dir whose train split is read instead")
    parser.add_argument("--rounds", type=int, default=3, help="of both ways, in turn")
    add_json_option(parser)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data_dir = args.data or Path(scratch) / "clips"
        if args.data is None:
            write_clips(data_dir, args.clips)
        n_clips = len(read_manifest(data_dir / "train.tsv"))
        packed = Path(scratch) / "packed"
        for workers in (1, 2):
            packed = Path(scratch) / f"packed{workers}"
            began = time.perf_counter()
            words = [str(data_dir), "--out-dir", str(packed), "--workers", str(workers)]
            command = [sys.executable, "-m", "data_prep.pack_audio", *words]
            subprocess.run(command, check=True, capture_output=True)
            seconds = time.perf_counter() - began
            print(f"packing, {workers} processes: {1e3 * seconds / n_clips:.2f} ms a clip")
        readings: dict[str, list[Reading]] = {FILES: [], PACKED: []}
        for number in range(args.rounds):
            for name, folder in ((FILES, None), (PACKED, packed)):
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    readings[name].append(pool.apply(read_all, (data_dir, folder, number)))
    print(f"{'':<14}{'clips/s':>10}{'open s':>9}{'batch s':>9}{'MiB':>8}")
    for name, all_of in readings.items():
        speed = n_clips / median(x.epoch for x in all_of)
        opening, first = median(x.opening for x in all_of), median(x.first for x in all_of)
        peak = median(x.peak for x in all_of)
        print(f"{name:<14}{speed:>10.0f}{opening:>9.2f}{first:>9.3f}{peak:>8.0f}")
    pairs = zip(readings[FILES], readings[PACKED], strict=True)
    ratio = median(of_files.epoch / of_packed.epoch for of_files, of_packed in pairs)
    print(f"an epoch of {n_clips} clips from packed audio is {ratio:.1f} times as fast")
    speed = n_clips / median(x.epoch for x in readings[PACKED])
    save_ratios(args.json, [Ratio("audio, packed", speed, "clips/s", "files", ratio)])


if __name__ == "__main__":
    main()
