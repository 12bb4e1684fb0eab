"""Training speed beside a plain loop: ``python -m benchmarks.text_throughput MODEL DATA_DIR``.

The same weights, texts, batch size and number of updates through fairseq-train, through
:mod:`benchmarks.plain_loop`, and through that loop with batches grouped by length; in turn, several
rounds in one run, so that whatever else the machine does falls on all of them. Prints utterances a
second of each, the median over rounds, and the plugin's ratio to either.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.in_turn import Speeds, measure_in_turn, medians_of, print_speed
from benchmarks.results import Ratio, add_json_option, save_ratios

PLUGIN_NAME = "plugin"
PLAIN = "plain Hugging Face loop"
GROUPED = "the same, grouped by length"
PLUGIN = (
    "--user-dir emo_fairseq --task emotion_prediction --modality text --text-pooling mean "
    "--arch robertaEMO --criterion emotion_classification --optimizer emotion_adamw "
    "--weight-decay 0.01 --clip-norm 1.0 --lr 5e-5 --lr-scheduler polynomial_decay "
    "--warmup-updates 93 --total-num-update 939 --batch-size 32 --cpu --num-workers 0 "
    "--no-save --disable-validation --log-format json --log-interval 1000000"
)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text_throughput")
    parser.add_argument("model", help="folder of a Hugging Face encoder")
    parser.add_argument("data", help="data dir, tokenized with --bpe hf: of that folder")
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--text-tokens", help="name of the tokens, where the data dir has several")
    parser.add_argument("--name", default="MiniLM", help="of the encoder, in the table")
    parser.add_argument("--bf16", action="store_true", help="and in bfloat16, ours and a loop")
    add_json_option(parser)
    args = parser.parse_args()
    further = ["--text-tokens", args.text_tokens] if args.text_tokens else []
    peers: dict[str, Callable[[], float]] = {
        PLUGIN_NAME: lambda: plugin(args.model, args.data, args.updates, *further),
        PLAIN: lambda: loop(args.model, args.data, args.updates),
        GROUPED: lambda: loop(args.model, args.data, args.updates, "--grouped"),
    }
    if args.bf16:
        bf16 = [*further, "--bf16", "--fp16-no-flatten-grads"]
        peers |= {
            f"{PLUGIN_NAME}, bf16": lambda: plugin(args.model, args.data, args.updates, *bf16),
            f"{GROUPED}, bf16": lambda: loop(
                args.model, args.data, args.updates, "--grouped", "--bf16"
            ),
        }

    def measured(name: str, speeds: Speeds) -> None:
        print_speed(name, speeds)
        save_ratios(args.json, ratios_of(args.name, speeds))

    speeds = measure_in_turn(peers, args.rounds, measured)
    for ratio in ratios_of(args.name, speeds):
        print(f"{ratio.of} is {ratio.ratio:.2f} x {ratio.against}")


def ratios_of(name: str, speeds: Speeds) -> Sequence[Ratio]:
    """Return the ratios of the plugin to either loop, of what has been measured so far."""
    medians = medians_of(speeds)
    pairs = [
        (PLUGIN_NAME, PLAIN),
        (PLUGIN_NAME, GROUPED),
        (f"{PLUGIN_NAME}, bf16", f"{GROUPED}, bf16"),
    ]
    return [
        Ratio(
            f"training, text, {name}{ours.removeprefix(PLUGIN_NAME)}",
            medians[ours],
            "utterances/s",
            theirs,
            medians[ours] / medians[theirs],
        )
        for ours, theirs in pairs
        if ours in medians and theirs in medians
    ]


def plugin(model: str, data: str, updates: int, *further: str) -> float:
    """Utterances a second of fairseq-train, as its log has it at the end of the epoch."""
    tool = str(Path(sys.executable).parent / "fairseq-train")
    length = ["--max-update", str(updates), "--save-dir", "outputs/throughput"]
    encoder = ["--text-encoder", f"hf:{model}"]
    command = [tool, *PLUGIN.split(), "--data", data, *encoder, *length, *further]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    matches = re.findall(r'"train_wps": "([\d.]+)"', done.stdout + done.stderr)
    return float(matches[-1])


def loop(model: str, data: str, updates: int, *options: str) -> float:
    """Utterances a second of the plain loop."""
    command = [sys.executable, "-m", "benchmarks.plain_loop", model, data]
    length = ["--updates", str(updates)]
    done = subprocess.run([*command, *length, *options], check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1])["utterances_per_second"])


if __name__ == "__main__":
    main()
