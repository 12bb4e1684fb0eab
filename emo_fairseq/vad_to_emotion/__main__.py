"""From predicted valence, arousal and dominance to emotions, by a random forest.

    python -m emo_fairseq.vad_to_emotion fit --predictions runs/vad/*/predictions.tsv --data DATA \
--output forest.skops
    python -m emo_fairseq.vad_to_emotion apply --forest forest.skops --predictions TEST.tsv \
--data DATA --output emotions.tsv

fit takes the predictions that a sweep over folds of the train split wrote of each fold's test set,
so that no row was seen by the model that predicted it; nothing else is accepted.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from data_prep.number_types import positive_int
from emo_fairseq.compat import excepthook
from emo_fairseq.data.leaks import OPTION as ALLOW_LEAK
from emo_fairseq.vad_to_emotion.design import CLASS_WEIGHTS, Design

_UNITS = ("utterance", "speaker")
_OF_SPLIT = {"default": "test", "help": "of the data dir (default: %(default)s)"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    excepthook.apply()
    args = make_parser().parse_args(arguments)
    from emo_fairseq.vad_to_emotion.subcommands import SUBCOMMANDS

    SUBCOMMANDS[args.subcommand](args)
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m emo_fairseq.vad_to_emotion",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subcommands = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> Callable[..., None]:
        subparser = subcommands.add_parser(name, help=text, description=text)
        subparser.add_argument("--data", type=Path, required=True, help="the data dir")
        return subparser.add_argument  # type: ignore[return-value]

    _add_fit(add("fit", "a forest on predictions of rows that the models have not seen"))
    _add_apply(add("apply", "emotions of a split's predicted VAD, and metrics of both"))
    _add_gold(add("gold", "the same forest on gold VAD of train and test: an upper bound"))
    _add_zero_shot(add("zero-shot", "VAD of a split's texts by a model of NLI"))
    _add_compare(add("compare", "one table of all systems"))
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


if __name__ == "__main__":
    raise SystemExit(main())
