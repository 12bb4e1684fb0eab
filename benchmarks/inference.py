"""Speed of asking: ``python -m benchmarks.inference MODEL_FOLDER DATA_DIR``.

A warm model answers about the rows of a split one by one, which gives the latency, and in batches,
which gives utterances a second; reading of files, tokenizers and front ends are part of both. Where
the folder holds an ONNX graph, that runs in turn with the model, round by round in one process, so
that whatever else the machine does falls on both. Prints medians over rounds.
"""

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from data_prep.audio.segment import audio_of
from data_prep.manifest.audio_root import audio_root
from data_prep.schema import read_manifest
from emo_fairseq.inference.predictor import load_predictor

GRAPH = "model.onnx"
BATCH = 32


class Speed(NamedTuple):
    """What one round found."""

    p50: float  # milliseconds an utterance, one by one
    p95: float
    throughput: float  # utterances a second, in batches


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference")
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("data", type=Path, help="data dir whose rows are asked about")
    parser.add_argument(
        "--data-raw", type=Path, help="folder of the audio (default: that of corpus.yaml)"
    )
    parser.add_argument("--split", default="test")
    parser.add_argument("--items", type=int, default=200, help="rows at most")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # of the graph
    peers = _peers(options.model, options.device)
    root = audio_root(options.data, options.data_raw)
    first = next(iter(peers.values()))
    items = _items(options.data, root, options.split, options.items, first)
    for predictor in peers.values():
        _round(predictor, items)  # warms up
    found: dict[str, list[Speed]] = {name: [] for name in peers}
    for _ in range(options.rounds):
        for name, predictor in peers.items():
            found[name].append(_round(predictor, items))
    n_items = len(next(iter(items.values())))
    print(f"{n_items} rows, {options.threads} threads, {options.device}, {options.rounds} rounds")
    _print({name: _median(speeds) for name, speeds in found.items()})


def _peers(folder: Path, device: str) -> dict[str, Any]:
    peers: dict[str, Any] = {"fairseq": load_predictor(folder, device)}
    if (folder / GRAPH).is_file() and device == "cpu":
        peers["onnx"] = load_predictor(folder, onnx=True)
    else:
        print(f"no {GRAPH} in {folder} to run on {device}, so fairseq alone is measured")
    return peers


def _items(data: Path, root: Path, split: str, most: int, predictor: Any) -> dict[str, list[Any]]:
    """What of the rows the model reads, by the name of predict's argument."""
    rows = read_manifest(data / f"{split}.tsv")
    columns: dict[str, list[Any]] = {
        "audio": [audio_of(row, root) for row in rows],
        "text": [row.text for row in rows],
    }
    read = {"audio": "speech" in predictor.modalities, "text": "text" in predictor.modalities}
    columns = {name: column for name, column in columns.items() if read[name]}
    heard = [n for n in range(len(rows)) if any(x[n] is not None for x in columns.values())]
    print(f"{len(heard)} of {len(rows)} rows have what the model reads; asked: {most} at most")
    return {name: [column[n] for n in heard[:most]] for name, column in columns.items()}


def _round(predictor: Any, items: dict[str, list[Any]]) -> Speed:
    n_items = len(next(iter(items.values())))
    single = []
    for number in range(n_items):
        one = {name: column[number] for name, column in items.items()}
        start = time.perf_counter()
        predictor.predict(**one)
        single.append(1000 * (time.perf_counter() - start))
    start = time.perf_counter()
    predictor.predict(**items, batch_size=BATCH)
    seconds = time.perf_counter() - start
    p50, p95 = np.percentile(single, [50, 95])
    return Speed(float(p50), float(p95), n_items / seconds)


def _median(speeds: Sequence[Speed]) -> Speed:
    return Speed(*(statistics.median(column) for column in zip(*speeds, strict=True)))


def _print(found: dict[str, Speed]) -> None:
    first = next(iter(found.values()))
    print(f"{'':10s} {'p50 ms':>9s} {'p95 ms':>9s} {'utt/s, ' + str(BATCH):>11s}   times the first")
    for name, speed in found.items():
        faster = first.p50 / speed.p50, speed.throughput / first.throughput
        print(
            f"{name:10s} {speed.p50:9.2f} {speed.p95:9.2f} {speed.throughput:11.1f}   "
            f"{faster[0]:.2f} one by one, {faster[1]:.2f} in batches"
        )


if __name__ == "__main__":
    main()
