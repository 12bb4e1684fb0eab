"""``python -m emo_fairseq.report PREDICTIONS...``: metrics of what ``--save-predictions`` wrote.

A table of each split, and its metrics as JSON beside each file: metrics.json for predictions.tsv,
NAME.metrics.json for NAME.tsv. With ``--output FOLDER`` that goes into a folder: ``report.html``,
every figure as PNG and SVG, metrics.json with intervals, training_log.csv, and a list of
what could not be drawn. It draws more the more it is given:

    --data DATA_DIR     texts, speakers, corpora, VAD and prototypes of the same utterances, and the
                        recordings of the worst errors
    --log FILE          of fairseq-train --log-format json --log-file FILE: curves by epoch
    --log FOLDER        of fairseq-train --tensorboard-logdir FOLDER: the same
    --embeddings FILE   of fairseq-validate --save-embeddings FILE: their maps
    --attention FILE    of fairseq-validate --save-attention FILE: attention maps
    --baseline FILE     predictions of a simpler model on the same split: its metrics beside

With fairseq-hydra-train these are common.log_format=json common.log_file=FILE and
common.tensorboard_logdir=FOLDER. Several predictions files of one split and target are one
table: mean and standard deviation over the files, a column for each, and, if no utterance is in two
of them (folds of a corpus), the metrics of all utterances together.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_prep.number_types import positive_int
from emo_fairseq.compat import excepthook
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.names import N_RESAMPLES
from emo_fairseq.report.recordings import INLINE, MAX_BYTES, MAX_SECONDS, MODES

_OF_FOLDER = ("data", "log", "embeddings", "attention", "baseline", "audio", "data_raw")
_OF_DATA = ("audio", "data_raw")


def main() -> None:
    """Command line."""
    excepthook.apply()
    args = _parser().parse_args()
    given = _given(args, _OF_FOLDER)
    if args.output is None and given:
        raise UsageError(
            f"{', '.join(given)}: only a folder shows it; add --output", "output-missing"
        )
    if args.data is None and (of_data := _given(args, _OF_DATA)):
        raise UsageError(
            f"{', '.join(of_data)}: recordings are those of a data dir; add --data",
            "report-audio-without-data",
        )
    from emo_fairseq.report.output import write_report

    write_report(args)


def _given(args: argparse.Namespace, names: Sequence[str]) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name in names if getattr(args, name) is not None]


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
    raw = "folder that audio paths start from (default: as corpus.yaml records it)"
    add("--data-raw", type=Path, metavar="DIR", help=raw)
    audio = (
        "the recordings of the worst errors: inline, inside of the page, at most "
        f"{MAX_SECONDS} s of each and {MAX_BYTES // 1_000_000} MB together; link, links to their "
        f"files; or none (default: {INLINE}, if --data has audio)"
    )
    add("--audio", choices=MODES, help=audio)
    add("--log", type=Path, metavar="FILE", help="of fairseq-train; or a TensorBoard folder")
    add("--embeddings", type=Path, metavar="FILE", help="an .npz of ids and embeddings")
    add("--attention", type=Path, metavar="FILE", help="an .npz of attention weights")
    simpler = "predictions of a simpler model on the same split, such as a linear one"
    add("--baseline", type=Path, metavar="FILE", help=simpler)
    add("--title", default=None, help="heading (default: the file's name)")
    add("--date", default="", metavar="TEXT", help="written on the page; nothing else is dated")
    resamples = f"of the bootstrap (default: {N_RESAMPLES})"
    add("--resamples", type=positive_int, default=N_RESAMPLES, metavar="N", help=resamples)
    return parser


if __name__ == "__main__":
    main()
