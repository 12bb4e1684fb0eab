"""The table of the toy corpus: ``python -m benchmarks.vad_forest [--modality text+speech]``.

Makes the corpus, trains the regressor on five folds of its train split and on all of it, fits the
forest and prints the table. There is no zero-shot row: no model of entailment comes with us.
Finished runs are not run again.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from data_prep.number_types import positive_int
from examples.vad_forest import run

OUTPUTS = Path("outputs/benchmarks/vad_forest")
_PREPARE = (
    "data_prep.toy {data}",
    "examples.vad_forest.toy_tokenizer {tokenizer}",
    "data_prep.tokenize_text {data} --bpe hf:{tokenizer}",
    "data_prep.extract_features {data}",
)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vad_forest", description=__doc__)
    parser.add_argument("--modality", choices=("text", "text+speech"), default="text")
    parser.add_argument("--jobs", type=positive_int, default=1, help="trainings at a time")
    args = parser.parse_args()
    data = OUTPUTS / "data"
    for words in _PREPARE if not (data / "features").is_dir() else ():
        filled = words.format(data=data, tokenizer=OUTPUTS / "tokenizer").split()
        subprocess.run([sys.executable, "-m", *filled], check=True)
    reads = [f"task.modality={args.modality}"]
    if "speech" in args.modality:
        reads.append("+task.speech_input=log_mel")
    folders = ["--data", str(data), "--runs", str(OUTPUTS / args.modality)]
    return run.main([*folders, "--jobs", str(args.jobs), *reads])


if __name__ == "__main__":
    raise SystemExit(main())
