"""``python -m emo_fairseq.report PREDICTIONS``: print a table, and write metrics.json beside it."""

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path

from emo_fairseq import predictions
from emo_fairseq.report.figures import figures_of
from emo_fairseq.report.table import print_table


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m emo_fairseq.report", description=__doc__)
    parser.add_argument(
        "predictions", type=Path, help="file of fairseq-validate --save-predictions"
    )
    parser.add_argument("--title", default=None, help="heading (default: the file's name)")
    args = parser.parse_args()
    rows = predictions.read(args.predictions)
    by_split = {}
    for split in sorted({row["split"] for row in rows}):
        part = [row for row in rows if row["split"] == split]
        by_split[split] = figures_of(part)
        title = f"{args.title or args.predictions.stem}: {split}"
        print_table(by_split[split], title, len(part))
    target = args.predictions.with_name("metrics.json")
    content = {split: _without_nan(figures) for split, figures in by_split.items()}
    target.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    sys.stdout.write(f"figures: {target}\n")


def _without_nan(figures: Mapping[str, float]) -> dict[str, float | None]:
    """JSON knows no NaN: a figure that is not defined becomes null."""
    return {name: None if math.isnan(value) else value for name, value in figures.items()}


if __name__ == "__main__":
    main()
