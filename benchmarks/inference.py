"""Speed of predictions: ``python -m benchmarks.inference MODEL_FOLDER DATA_DIR``.

A warm model predicts the rows of a split one by one, which gives the latency, and in batches, which
gives utterances a second. Each is measured twice: whole, from files and texts to labels, and of the
model alone, whose inputs are ready. The graphs of the folder run in turn with the model in torch,
round by round in one process, so that whatever else the machine does falls on all. Prints medians
over rounds.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.results import Ratio, add_json_option, save_ratios
from data_prep.audio.segment import audio_of
from data_prep.manifest.audio_root import audio_root
from data_prep.schema import read_manifest
from emo_fairseq.inference.engine import ModelEngine
from emo_fairseq.inference.model_folder.files import GRAPH_FILES
from emo_fairseq.inference.predictor import EmotionPredictor, load_predictor

TORCH = "torch"
BATCH = 32


class Speed(NamedTuple):
    """What one round measured."""

    p50: float  # milliseconds an utterance, one by one
    p95: float
    throughput: float  # utterances a second, in batches
    model_p50: float  # the same of the model alone
    model_throughput: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference")
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("data", type=Path, help="data dir whose rows are predicted")
    parser.add_argument(
        "--data-raw", type=Path, help="folder of the audio (default: that of corpus.yaml)"
    )
    parser.add_argument("--split", default="test")
    parser.add_argument("--items", type=int, default=200, help="rows at most")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--name", help="of the model, in the table (default: its folder's)")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # of the graphs
    peers = _peers(options.model, options.device)
    root = audio_root(options.data, options.data_raw)
    items = _items(options.data, root, options.split, options.items, peers[TORCH])
    prepared = {name: _Prepared.of(predictor, items) for name, predictor in peers.items()}
    for name, predictor in peers.items():
        _round(predictor, items, prepared[name])  # warms up
    measured: dict[str, list[Speed]] = {name: [] for name in peers}
    for _ in range(options.rounds):
        for name, predictor in peers.items():
            measured[name].append(_round(predictor, items, prepared[name]))
    n_items = len(next(iter(items.values())))
    print(f"{n_items} rows, {options.threads} threads, {options.device}, {options.rounds} rounds")
    medians = {name: _median(speeds) for name, speeds in measured.items()}
    _print(medians)
    save_ratios(options.json, _ratios(options.name or options.model.resolve().name, medians))


def _peers(folder: Path, device: str) -> dict[str, EmotionPredictor]:
    peers = {TORCH: load_predictor(folder, device, onnx=False)}
    if device != "cpu":
        print(f"graphs are not run on {device} here: torch alone is measured")
        return peers
    for precision, file in GRAPH_FILES.items():
        if (folder / file).is_file():
            peers[f"ONNX {precision}"] = load_predictor(folder, onnx=True, precision=precision)
    return peers


def _items(data: Path, root: Path, split: str, most: int, predictor: Any) -> dict[str, list[Any]]:
    """Return the inputs that the model reads of the rows, by the name of predict's argument."""
    rows = read_manifest(data / f"{split}.tsv")
    columns: dict[str, list[Any]] = {
        "audio": [audio_of(row, root) for row in rows],
        "text": [row.text for row in rows],
    }
    read = {"audio": "speech" in predictor.modalities, "text": "text" in predictor.modalities}
    columns = {name: column for name, column in columns.items() if read[name]}
    usable = [n for n in range(len(rows)) if any(x[n] is not None for x in columns.values())]
    print(f"{len(usable)} of {len(rows)} rows have what the model reads; of them {most} at most")
    return {name: [column[n] for n in usable[:most]] for name, column in columns.items()}


class _Prepared(NamedTuple):
    """Inputs of the model alone: of each item by itself, and of all in batches."""

    single: list[Any]
    batches: list[Any]

    @classmethod
    def of(cls, predictor: EmotionPredictor, items: dict[str, list[Any]]) -> "_Prepared":
        engine = predictor.engine
        assert isinstance(engine, ModelEngine), "an ensemble has no graphs"
        columns = [items.get(name) or [None] * _length(items) for name in ("audio", "text")]
        read = [predictor.read_item(*pair) for pair in zip(*columns, strict=True)]
        batches = engine.preprocessor.batches
        single = [batch.net_input for item in read for batch in batches([item], 1)]
        return cls(single, [batch.net_input for batch in batches(read, BATCH)])


def _length(items: dict[str, list[Any]]) -> int:
    return len(next(iter(items.values())))


def _round(predictor: Any, items: dict[str, list[Any]], prepared: _Prepared) -> Speed:
    n_items = _length(items)
    single = []
    for number in range(n_items):
        row = {name: column[number] for name, column in items.items()}
        single.append(1000 * _seconds(partial(predictor.predict, **row)))
    seconds = _seconds(partial(predictor.predict, **items, batch_size=BATCH))
    forward = predictor.engine.forward
    alone = [1000 * _seconds(partial(forward, inputs)) for inputs in prepared.single]
    model_seconds = sum(_seconds(partial(forward, inputs)) for inputs in prepared.batches)
    p50, p95 = np.percentile(single, [50, 95])
    return Speed(
        float(p50), float(p95), n_items / seconds, statistics.median(alone), n_items / model_seconds
    )


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _median(speeds: Sequence[Speed]) -> Speed:
    return Speed(*(statistics.median(column) for column in zip(*speeds, strict=True)))


def _print(speeds: dict[str, Speed]) -> None:
    first = speeds[TORCH]
    head = ("p50 ms", "p95 ms", f"utt/s, {BATCH}", "model ms", "model utt/s")
    print(
        f"{'':10s} {' '.join(f'{name:>11s}' for name in head)}   times torch: p50, batches; model"
    )
    for name, speed in speeds.items():
        faster = (
            first.p50 / speed.p50,
            speed.throughput / first.throughput,
            first.model_p50 / speed.model_p50,
            speed.model_throughput / first.model_throughput,
        )
        columns = " ".join(f"{value:11.2f}" for value in speed)
        print(
            f"{name:10s} {columns}   {faster[0]:.2f}, {faster[1]:.2f}; "
            f"{faster[2]:.2f}, {faster[3]:.2f}"
        )


def _ratios(model: str, speeds: dict[str, Speed]) -> list[Ratio]:
    first = speeds[TORCH]
    ratios = []
    for name, speed in speeds.items():
        if name == TORCH:
            continue
        title = f"prediction, {model}, {name}"
        single, batches = first.p50 / speed.p50, speed.throughput / first.throughput
        ratios += [
            Ratio(f"{title}, one by one", speed.p50, "ms", TORCH, single),
            Ratio(f"{title}, {BATCH} a batch", speed.throughput, "utterances/s", TORCH, batches),
        ]
    return ratios


if __name__ == "__main__":
    main()
