"""``python -m emo_fairseq.report PREDICTIONS...``: metrics of what ``--save-predictions`` wrote.

A table of each split, and its metrics as JSON beside each file: metrics.json for predictions.tsv,
NAME.metrics.json for NAME.tsv. With ``--output FOLDER`` that goes into a folder: ``report.html``,
every figure as PNG and SVG, metrics.json with intervals, training_log.csv, and a list of
what could not be drawn. It draws more the more it is given:

    --data DATA_DIR     texts, speakers, corpora, VAD and prototypes of the same utterances
    --log FILE          of fairseq-train --log-format json --log-file FILE: curves by epoch
    --log FOLDER        of fairseq-train --tensorboard-logdir FOLDER: the same
    --embeddings FILE   of fairseq-validate --save-embeddings FILE: their maps
    --attention FILE    of fairseq-validate --save-attention FILE: attention maps

With fairseq-hydra-train these are common.log_format=json common.log_file=FILE and
common.tensorboard_logdir=FOLDER. Several predictions files are several runs: of those on the same
utterances the mean and the standard deviation come first.
"""

import argparse
from pathlib import Path

from data_prep.command_line import positive_int
from emo_fairseq.compat import excepthook
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.names import N_RESAMPLES

_OF_FOLDER = ("data", "log", "embeddings", "attention")


def main() -> None:
    """Command line."""
    excepthook.apply()
    args = _parser().parse_args()
    given = [f"--{name}" for name in _OF_FOLDER if getattr(args, name) is not None]
    if args.output is None and given:
        raise UsageError(
            f"{', '.join(given)}: only a folder shows it; add --output", "output-missing"
        )
    from emo_fairseq.report.output import write_report

    write_report(args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m emo_fairseq.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    written = "of fairseq-validate --save-predictions"
    add("predictions", type=Path, nargs="+", metavar="PREDICTIONS", help=written)
    add("--output", type=Path, metavar="FOLDER", help="write a folder; without it, print a table")
    add("--data", type=Path, metavar="DATA_DIR", help="the data dir that was scored")
    add("--log", type=Path, metavar="FILE", help="of fairseq-train; or a TensorBoard folder")
    add("--embeddings", type=Path, metavar="FILE", help="an .npz of ids and embeddings")
    add("--attention", type=Path, metavar="FILE", help="an .npz of attention weights")
    add("--title", default=None, help="heading (default: the file's name)")
    add("--date", default="", metavar="TEXT", help="written on the page; nothing else is dated")
    resamples = f"of the bootstrap (default: {N_RESAMPLES})"
    add("--resamples", type=positive_int, default=N_RESAMPLES, metavar="N", help=resamples)
    return parser


if __name__ == "__main__":
    main()
