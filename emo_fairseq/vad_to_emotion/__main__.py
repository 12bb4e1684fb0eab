"""From predicted valence, arousal and dominance to emotions, by a random forest.

    python -m emo_fairseq.vad_to_emotion fit --predictions runs/vad/*/predictions.tsv --data DATA \
--output forest.skops
    python -m emo_fairseq.vad_to_emotion apply --forest forest.skops --predictions TEST.tsv \
--data DATA --output emotions.tsv

fit takes the predictions that a sweep over folds of the train split wrote of each fold's test set,
so that no row was seen by the model that predicted it; nothing else is accepted.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from data_prep.command_line import positive_int
from data_prep.schema import read_corpus, vad_scale
from emo_fairseq.compat import excepthook
from emo_fairseq.data.leaks import OPTION as ALLOW_LEAK
from emo_fairseq.errors import UsageError
from emo_fairseq.vad_to_emotion import (
    commands,
)
from emo_fairseq.vad_to_emotion.forest import (
    CLASS_WEIGHTS,
    Design,
    read_forest,
    write_forest,
)
from emo_fairseq.vad_to_emotion.out_of_fold import TRAIN
from emo_fairseq.vad_to_emotion.outputs import (
    check_outputs,
    check_predictions,
    of_data,
    with_facts,
)
from emo_fairseq.vad_to_emotion.table import (
    SystemTable,
    print_table,
    write_table,
)

_UNITS = ("utterance", "speaker")
_OF_SPLIT = {"default": "test", "help": "of the data dir (default: %(default)s)"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    excepthook.apply()
    args = make_parser().parse_args(arguments)
    args.run(args)
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m emo_fairseq.vad_to_emotion",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], None], text: str) -> Callable[..., None]:
        subparser = subcommands.add_parser(name, help=text, description=text)
        subparser.set_defaults(run=run)
        subparser.add_argument("--data", type=Path, required=True, help="the data dir")
        return subparser.add_argument  # type: ignore[return-value]

    _add_fit(add("fit", _fit, "a forest on predictions of rows that the models have not seen"))
    _add_apply(add("apply", _apply, "emotions of a split's predicted VAD, and metrics of both"))
    _add_gold(add("gold", _gold, "the same forest on gold VAD of train and test: an upper bound"))
    _add_zero_shot(add("zero-shot", _zero_shot, "VAD of a split's texts by a model of NLI"))
    _add_compare(add("compare", _compare, "one table of all systems"))
    return parser


def _add_fit(option: Callable[..., None]) -> None:
    whose = "of each fold's test set, as the sweep wrote them; or of zero-shot --split train"
    option("--predictions", type=Path, nargs="+", required=True, metavar="FILE", help=whose)
    option("--output", type=Path, required=True, metavar="FILE", help="forest.skops")
    defaults = Design()
    option("--trees", type=positive_int, default=defaults.trees, help="default: %(default)s")
    option("--seed", type=int, default=defaults.seed, help="default: %(default)s")
    option("--class-weight", choices=CLASS_WEIGHTS, default=defaults.class_weight)
    leaf = "the fewest rows in a leaf (default: %(default)s)"
    option("--min-samples-leaf", type=positive_int, default=defaults.min_samples_leaf, help=leaf)
    _add_allow_leak(option)


def _add_apply(option: Callable[..., None]) -> None:
    option("--forest", type=Path, required=True, metavar="FILE")
    option("--predictions", type=Path, required=True, metavar="FILE", help="of VAD")
    option("--output", type=Path, required=True, metavar="FILE", help="predictions of emotions")
    _add_allow_leak(option)
    _add_units(option)


def _add_gold(option: Callable[..., None]) -> None:
    option("--forest", type=Path, required=True, metavar="FILE", help="its design is fitted again")
    option("--split", **_OF_SPLIT)
    named = "predictions of emotions; with upper_bound in its name"
    option("--output", type=Path, required=True, metavar="FILE", help=named)
    _add_units(option)


def _add_zero_shot(option: Callable[..., None]) -> None:
    option("--split", **_OF_SPLIT)
    option("--model", required=True, help="hf:FOLDER or fairseq:CHECKPOINT, fine-tuned on NLI")
    names = "of a fairseq checkpoint's head in its order: contradiction,neutral,entailment"
    option("--nli-labels", default="", help=names)
    option("--output", type=Path, required=True, metavar="FILE", help="predictions of VAD")
    option(
        "--batch-size", type=positive_int, default=64, help="pairs at a time (default: %(default)s)"
    )
    option("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    _add_units(option)


def _add_compare(option: Callable[..., None]) -> None:
    option("--regressor", type=Path, required=True, metavar="FILE", help="its predicted VAD")
    option("--zero-shot", type=Path, metavar="FILE", help="VAD that zero-shot predicted")
    option("--forest", type=Path, metavar="FILE", help="without one, metrics of VAD alone")
    other = "for the zero-shot row: fitted on zero-shot --split train (default: the same)"
    option("--zero-shot-forest", type=Path, metavar="FILE", help=other)
    own = "errors of VAD on the corpus's own scale, such as 1 to 5, instead of 0 to 1"
    option("--own-scale", action="store_true", help=own)
    for form in ("markdown", "csv", "json"):
        option(f"--{form}", type=Path, metavar="FILE")
    _add_allow_leak(option)
    _add_units(option)


def _add_allow_leak(option: Callable[..., None]) -> None:
    text = "accept what has seen the rows it is used on; every table made from it notes that"
    option(ALLOW_LEAK, action="store_true", help=text)


def _add_units(option: Callable[..., None]) -> None:
    text = "the unit of the intervals (default: %(default)s)"
    option("--units", choices=_UNITS, default=_UNITS[0], help=text)


def _fit(args: argparse.Namespace) -> None:
    design = Design(args.trees, args.seed, args.class_weight, args.min_samples_leaf)
    check_outputs({"--output": args.output}, [*with_facts(*args.predictions), *of_data(args.data)])
    forest, notes = commands.fit(args.predictions, args.data, design, args.allow_leak)
    write_forest(forest, args.output)
    counts = ", ".join(f"{name} {n}" for name, n in forest.about["rows_by_label"].items())
    lines = [f"{args.output}: {design.trees} trees, {forest.about['rows']} rows ({counts})", *notes]
    sys.stdout.write("\n  ".join(lines) + "\n")


def _apply(args: argparse.Namespace) -> None:
    check_predictions(
        args.output, [args.forest, *with_facts(args.predictions), *of_data(args.data)]
    )
    forest = read_forest(args.forest)
    table = commands.apply(
        forest, args.predictions, args.data, args.output, args.units, args.allow_leak
    )
    _show(table, args.output)


def _gold(args: argparse.Namespace) -> None:
    check_predictions(args.output, [args.forest, *of_data(args.data)])
    design = read_forest(args.forest).design
    _show(commands.gold(design, args.data, args.split, args.output, args.units), args.output)


def _zero_shot(args: argparse.Namespace) -> None:
    import torch

    from emo_fairseq.vad_to_emotion.entailment import open_entailment
    from emo_fairseq.vad_to_emotion.zero_shot import write_zero_shot

    check_predictions(args.output, [*of_data(args.data), Path(args.model.partition(":")[2])])
    labels = [name.strip() for name in args.nli_labels.split(",") if name.strip()]
    model = open_entailment(args.model, torch.device(args.device), labels)
    notes = write_zero_shot(model, args.model, args.data, args.split, args.output, args.batch_size)
    sys.stdout.write("".join(f"{note}\n" for note in notes))
    if args.split == TRAIN:
        sys.stdout.write(f"VAD: {args.output}\n")
    else:
        _show(commands.vad_table(args.output, args.data, args.units), args.output)


def _compare(args: argparse.Namespace) -> None:
    if args.zero_shot_forest and not (args.zero_shot and args.forest):
        raise UsageError(
            "--zero-shot-forest belongs to --zero-shot and --forest; leave it out",
            "zero-shot-forest-idle",
        )
    files = {form: getattr(args, form) for form in ("markdown", "csv", "json")}
    read = [*with_facts(args.regressor, args.zero_shot), args.forest, args.zero_shot_forest]
    check_outputs({f"--{form}": file for form, file in files.items()}, [*read, *of_data(args.data)])
    forest, other = (file and read_forest(file) for file in (args.forest, args.zero_shot_forest))
    sources = commands.Sources(args.regressor, args.zero_shot, forest, other)
    scale = vad_scale(read_corpus(args.data)) if args.own_scale else (0.0, 1.0)
    table = commands.compare(sources, args.data, args.units, scale, args.allow_leak)
    print_table(table)
    write_table(table, files)


def _show(table: SystemTable, output: Path) -> None:
    print_table(table)
    sys.stdout.write(f"predictions: {output}\n")


if __name__ == "__main__":
    raise SystemExit(main())
