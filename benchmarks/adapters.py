"""Full tuning, LoRA and DoRA beside peft: ``python -m benchmarks.adapters MODEL DATA_DIR``.

The same weights, batches of 32 grouped by length, layers (queries and values) and rank, through
fairseq-train and through :mod:`benchmarks.plain_loop` with peft's adapters. Prints utterances a
second of each, measured in turn, and the ratio to full tuning. With ``--epochs`` each is then
trained to its end, and its weighted F1 on the test split is printed, by the epoch that was best on
the valid split. Without peft its rows are left out.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.in_turn import measure_in_turn, print_ratios, train_speed
from benchmarks.results import Ratio, add_json_option, save_ratios

FULL, LORA, DORA = "full tuning", "LoRA", "DoRA"
_LEARNING_RATES = {FULL: "5e-5", LORA: "5e-4", DORA: "5e-4"}
_TUNING: Mapping[str, Sequence[str]] = {
    FULL: (),
    LORA: ("--text-tuning", "lora"),
    DORA: ("--text-tuning", "lora", "--lora-dora"),
}
_OF_LOOP: Mapping[str, Sequence[str]] = {
    FULL: (),
    LORA: ("--peft", "lora"),
    DORA: ("--peft", "dora"),
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapters")
    parser.add_argument("model", help="folder of a Hugging Face encoder")
    parser.add_argument("data", help="data dir, tokenized with --bpe hf: of that folder")
    parser.add_argument("--updates", type=int, default=100, help="of each measurement of speed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--text-tokens", help="name of the tokens, where the data dir has several")
    parser.add_argument("--epochs", type=int, default=0, help="train so long for the figures")
    parser.add_argument("--name", default="MiniLM", help="of the encoder, in the table")
    add_json_option(parser)
    args = parser.parse_args()
    loops = _OF_LOOP if importlib.util.find_spec("peft") else {FULL: ()}
    peers: dict[str, Callable[[], float]] = {
        **{f"plugin, {kind}": partial(_plugin_speed, args, kind) for kind in _TUNING},
        **{f"plain loop, {kind}": partial(_loop_speed, args, kind) for kind in loops},
    }
    speeds = measure_in_turn(peers, args.rounds)
    print_ratios(speeds, f"plugin, {FULL}")
    if args.epochs:
        epochs = str(args.epochs)
        for kind in _TUNING:
            _print(f"plugin, {kind}", _figures(args, kind))
        for kind in loops:
            _print(f"plain loop, {kind}", _loop(args, kind, "--epochs", epochs)["weighted_f1"])
    medians = {name: sorted(values)[len(values) // 2] for name, values in speeds.items()}
    reference = f"plain loop, {LORA}"
    if reference in medians:
        ours = medians[f"plugin, {LORA}"]
        ratio = ours / medians[reference]
        title = f"training, LoRA, {args.name}"
        save_ratios(args.json, [Ratio(title, ours, "utterances/s", "peft in a plain loop", ratio)])


def _plugin(args: argparse.Namespace, kind: str) -> list[str]:
    tokens = ["--text-tokens", args.text_tokens] if args.text_tokens else []
    rank = [] if kind == FULL else [f"--lora-rank={args.rank}", f"--lora-alpha={2 * args.rank}"]
    model = f"--modality text --text-pooling mean --batch-size 32 --lr {_LEARNING_RATES[kind]}"
    where = ["--data", args.data, "--text-encoder", f"hf:{args.model}"]
    return [*where, *tokens, *model.split(), *_TUNING[kind], *rank]


def _plugin_speed(args: argparse.Namespace, kind: str) -> float:
    length = ["--max-update", str(args.updates), "--save-dir", "outputs/adapters"]
    return train_speed(*_plugin(args, kind), *length)


def _loop_speed(args: argparse.Namespace, kind: str) -> float:
    return _loop(args, kind, "--updates", str(args.updates))["utterances_per_second"]


def _loop(args: argparse.Namespace, kind: str, *options: str) -> dict[str, float]:
    words = ["benchmarks.plain_loop", args.model, args.data, "--grouped", *_OF_LOOP[kind]]
    settings = ["--rank", str(args.rank), "--lr", _LEARNING_RATES[kind]]
    command = [sys.executable, "-m", *words, *settings, *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _figures(args: argparse.Namespace, kind: str) -> float:
    """Return the weighted F1 on the test split of a training to its end."""
    from sklearn.metrics import f1_score

    from emo_fairseq.evaluation import predictions

    tools = Path(sys.executable).parent
    task = ["--user-dir", "emo_fairseq", "--task", "emotion_prediction", "--cpu"]
    training = (
        f"--arch robertaEMO --criterion emotion_classification --optimizer emotion_adamw "
        f"--weight-decay 0.01 --clip-norm 1.0 --lr-scheduler polynomial_decay "
        f"--warmup-updates {31 * args.epochs} --total-num-update {313 * args.epochs} "
        f"--max-epoch {args.epochs} --num-workers 0 --best-checkpoint-metric weighted_f1 "
        "--maximize-best-checkpoint-metric --no-epoch-checkpoints --no-last-checkpoints"
    )
    with tempfile.TemporaryDirectory() as folder:
        train = [str(tools / "fairseq-train"), *task, *_plugin(args, kind), *training.split()]
        subprocess.run([*train, "--save-dir", folder], check=True, capture_output=True)
        saved = Path(folder) / "test.tsv"
        best = ["--path", f"{folder}/checkpoint_best.pt", "--data", args.data]
        score = [str(tools / "fairseq-validate"), *task, *best, "--valid-subset", "test"]
        words = [*score, "--batch-size", "32", "--save-predictions", str(saved)]
        subprocess.run(words, check=True, capture_output=True)
        rows = predictions.read(saved)
    truth, predicted = ([row[key] for row in rows] for key in ("truth", "prediction"))
    return float(f1_score(truth, predicted, average="weighted"))


def _print(name: str, weighted_f1: float) -> None:
    print(f"{name:28s} weighted F1 {weighted_f1:.4f}", flush=True)


if __name__ == "__main__":
    main()
