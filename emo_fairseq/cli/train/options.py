"""The options of ``emotion-recognize train``: ``--help`` has those that matter most."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_prep.number_types import positive_int, positive_number
from data_prep.tables.options import add_preparation_options
from emo_fairseq.cli import processes
from emo_fairseq.targets import TARGETS

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
_SHORT = (
    "source",
    "--help",
    "--help-all",
    "--modality",
    "--target",
    "--text-encoder",
    "--speech-encoder",
    "--freeze",
    "--lora",
    "--quick",
    "--epochs",
    "--batch-size",
    "--lr",
    "--column",
    "--fold",
    "--data-raw",
    "--label-map",
    "--output",
    "--dry-run",
)
_EPILOG = """A table, a folder of recordings or a corpus is prepared first, as data/NAME; then come
a linear baseline, the training, its score on the test split, and a report. Every command that is
run is printed, and can be run without this one; the same command continues after an interruption.

  emotion-recognize train labels.csv
  emotion-recognize train labels.csv --quick
  emotion-recognize train data/meld --modality T --text-encoder hf:models/mpnet --freeze

Options after -- are passed to fairseq-train unchanged, and win:

  emotion-recognize train labels.csv -- --dropout 0.3 --label-smoothing 0.1"""


class _Help(argparse.Action):
    """Prints the help of a parser and exits: all options, or those that matter most."""

    def __init__(
        self,
        option_strings: Sequence[str],
        dest: str,
        is_short: bool,
        help: str,  # noqa: A002
    ) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=help)
        self._is_short = is_short

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        if self._is_short:
            for action in parser._actions:
                if not {*action.option_strings, action.dest} & {*_SHORT}:
                    action.help = argparse.SUPPRESS
        parser.print_help()
        parser.exit()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``train`` to a parser without any."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    given = "table, folder of recordings, corpus, data dir, or hf:NAME of a data set"
    add("source", metavar="SOURCE", help=given)
    short = "print the options that matter most, and exit"
    add("-h", "--help", action=_Help, is_short=True, help=short)
    add("--help-all", action=_Help, is_short=False, help="print all options, and exit")
    add(
        "--quick",
        action="store_true",
        help="fit the linear baseline alone, for a first figure in minutes",
    )
    _add_model(parser.add_argument_group("model"))
    _add_optimization(parser.add_argument_group("optimization"))
    _add_run(parser.add_argument_group("run and output"))
    _add_data(parser.add_argument_group("data"))
    add_preparation_options(parser)


def _add_model(group: Any) -> None:
    add = group.add_argument
    add(
        "--modality",
        metavar="M",
        help="text T, audio A, video V, or sums such as T+A (default: what the data have)",
    )
    add("--modal", dest="modality", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    target = "what to predict: %(choices)s (default: emotion, or the one that the data have)"
    add("--target", choices=list(TARGETS), metavar="NAME", help=target)
    spelling_of_bert_like = {"choices": list(TARGETS), "default": argparse.SUPPRESS}
    add("--label-type", dest="target", help=argparse.SUPPRESS, **spelling_of_bert_like)
    spec = "hf:FOLDER or hf:ORG/NAME, fairseq:CHECKPOINT, features:NAME (default: from scratch"
    add("--text-encoder", metavar="SPEC", help=f"{spec})")
    add("--speech-encoder", metavar="SPEC", help=f"{spec}, over log-mel frames)")
    add(
        "--video-encoder",
        metavar="SPEC",
        help="hf:FOLDER or hf:ORG/NAME, features:NAME (required for V)",
    )
    tuning = group.add_mutually_exclusive_group().add_argument
    tuning("--freeze", action="store_true", help="train no weights of pretrained encoders")
    tuning(
        "--lora", action="store_true", help="train pretrained encoders by LoRA (default: in full)"
    )
    about = (
        "fusion of several modalities (default: concat where encoders are frozen or read stored "
        "features, else cross_attention)"
    )
    add("--fusion", metavar="NAME", help=about)
    arch = (
        "robertaEMO, robertaEMO_large, robertaEMO_tiny (default: tiny if an encoder is from "
        "scratch)"
    )
    add("--arch", metavar="NAME", help=arch)
    add(
        "--text-tokens",
        metavar="NAME",
        help="read the tokens in DATA/text/NAME (default: by the encoder)",
    )
    add("--speech-tokens", metavar="NAME", help="read the tokens in DATA/speech/NAME")


def _add_optimization(group: Any) -> None:
    add = group.add_argument
    by_tuning = "(default: by the recipe of the encoders)"
    add("--epochs", type=positive_int, metavar="N", help=f"passes over the data {by_tuning}")
    add("--batch-size", type=positive_int, metavar="N", help=f"utterances in an update {by_tuning}")
    add("--lr", type=positive_number, metavar="X", help=f"highest learning rate {by_tuning}")
    patience = "stop after N validations without a better one (default: never)"
    add("--patience", type=positive_int, metavar="N", help=patience)
    precision = "%(choices)s; auto: bf16 where it is faster (default: %(default)s)"
    add("--precision", choices=PRECISIONS, default="auto", metavar="NAME", help=precision)
    help_text = (
        "compute in the largest batches that fit into memory; an update keeps its --batch-size"
    )
    add("--find-batch-size", action="store_true", help=help_text)
    limit = "memory for --find-batch-size on a CPU, in GB (default: 4/5 of what is free)"
    add("--memory-limit", type=positive_number, metavar="GB", help=limit)
    add(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="seed of weights and batches (default: %(default)s)",
    )


def _add_run(group: Any) -> None:
    add = group.add_argument
    output = "write to DIR/MODEL, named after the model (default: checkpoints/NAME/MODEL)"
    add("--output", type=Path, metavar="DIR", help=output)
    add("--dry-run", action="store_true", help="print the commands, and run none")
    add("--no-probe", action="store_true", help="leave out the linear baseline")
    add("--no-report", action="store_true", help="leave out report.html")
    add("--cpu", action="store_true", help="run on the CPU, even if there is a GPU")
    processes.add_verbose(group)


def _add_data(group: Any) -> None:
    add = group.add_argument
    prepared = "write the prepared data to DIR (default: data/NAME)"
    add("--data-dir", type=Path, metavar="DIR", help=prepared)
    fold = (
        "train on the sets of one fold, such as k_fold/1, or on those of every fold, such as "
        "leave_one_session_out; folds that are not there are made"
    )
    add("--fold", metavar="PROTOCOL[/FOLD]", help=fold)
