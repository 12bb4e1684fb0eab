"""The subcommands, from the options of their command lines to files and tables."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from data_prep.schema import TRAIN, read_corpus, vad_scale
from emo_fairseq.errors import UsageError
from emo_fairseq.vad_to_emotion.apply import apply, gold
from emo_fairseq.vad_to_emotion.compare import Sources, compare, vad_table
from emo_fairseq.vad_to_emotion.design import Design
from emo_fairseq.vad_to_emotion.fit import fit
from emo_fairseq.vad_to_emotion.forest import read_forest, write_forest
from emo_fairseq.vad_to_emotion.outputs import check_outputs, check_predictions, of_data, with_facts
from emo_fairseq.vad_to_emotion.table import SystemTable, print_table, write_table


def _fit(args: argparse.Namespace) -> None:
    design = Design(args.trees, args.seed, args.class_weight, args.min_samples_leaf)
    check_outputs({"--output": args.output}, [*with_facts(*args.predictions), *of_data(args.data)])
    forest, notes = fit(args.predictions, args.data, design, args.allow_leak)
    write_forest(forest, args.output)
    counts = ", ".join(f"{name} {n}" for name, n in forest.about["rows_by_label"].items())
    lines = [f"{args.output}: {design.trees} trees, {forest.about['rows']} rows ({counts})", *notes]
    sys.stdout.write("\n  ".join(lines) + "\n")


def _apply(args: argparse.Namespace) -> None:
    check_predictions(
        args.output, [args.forest, *with_facts(args.predictions), *of_data(args.data)]
    )
    forest = read_forest(args.forest)
    table = apply(forest, args.predictions, args.data, args.output, args.units, args.allow_leak)
    _show(table, args.output)


def _gold(args: argparse.Namespace) -> None:
    check_predictions(args.output, [args.forest, *of_data(args.data)])
    design = read_forest(args.forest).design
    _show(gold(design, args.data, args.split, args.output, args.units), args.output)


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
        _show(vad_table(args.output, args.data, args.units), args.output)


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
    sources = Sources(args.regressor, args.zero_shot, forest, other)
    scale = vad_scale(read_corpus(args.data)) if args.own_scale else (0.0, 1.0)
    table = compare(sources, args.data, args.units, scale, args.allow_leak)
    print_table(table)
    write_table(table, files)


def _show(table: SystemTable, output: Path) -> None:
    print_table(table)
    sys.stdout.write(f"predictions: {output}\n")


SUBCOMMANDS: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "fit": _fit,
    "apply": _apply,
    "gold": _gold,
    "zero-shot": _zero_shot,
    "compare": _compare,
}
