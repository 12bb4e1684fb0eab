"""Run the whole of the mutations and print the verdicts by format as a Markdown table.

    cd tests && python -m fuzz [--cases N] [--family NAME] [--seed S]

`make fuzz` does. Exits 1 if any case is a failure, and lists each so that it can be repeated.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from fuzz.families import families
from fuzz.harness import Outcome, run_family, silenced, summarize
from fuzz.models import train_models

VERDICTS = ("refused", "same", "accepted")


def main() -> int:
    """Run the mutations."""
    parser = argparse.ArgumentParser("fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100, help="of each format (default: 100)")
    parser.add_argument("--family", action="append", help="name of a format (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        outcomes = _run(place, options)
    print(table(outcomes))
    failures = [outcome for outcome in outcomes if outcome.is_failure]
    for outcome in failures:
        print(outcome, file=sys.stderr)
    return 1 if failures else 0


def _run(place: Path, options: argparse.Namespace) -> list[Outcome]:
    with silenced():
        every = families(place, train_models(place))
    outcomes: list[Outcome] = []
    for family in every:
        if options.family and family.name not in options.family:
            continue
        start = time.perf_counter()
        found = run_family(
            family, options.cases, place / f"family{len(outcomes)}", seed=options.seed
        )
        outcomes += found
        counts = Counter(outcome.verdict for outcome in found)
        seconds = time.perf_counter() - start
        print(f"{family.name}: {dict(counts)} in {seconds:.1f} s", file=sys.stderr)
    return outcomes


def table(outcomes: list[Outcome]) -> str:
    """Verdicts by format, as Markdown."""
    rows = ["| format | cases | refused | read as before | other values read | failures |"]
    rows.append("|---|---|---|---|---|---|")
    total: Counter[str] = Counter()
    for name, counts in {**summarize(outcomes), "all": total}.items():
        n = sum(counts.values())
        known = [counts[verdict] for verdict in VERDICTS]
        cells = [name, n, *known, n - sum(known)]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
        if counts is not total:
            total.update(counts)
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
