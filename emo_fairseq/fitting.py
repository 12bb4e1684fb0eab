"""Train from Python, in a notebook for instance: what ``emotion-recognize train`` does, quietly.

::

    import emo_fairseq

    fitted = emo_fairseq.fit("labels.csv", modality="A")
    fitted  # shows metrics with intervals beside the baselines
    fitted.predict("call.wav").label
    fitted.evaluate("valid")["uar"].value
    fitted.report("report")

The same commands run, fairseq-train among them, in processes of their own, and write the same
folders: ``data/NAME`` and ``checkpoints/NAME``, in the folder in which Python works.
"""

import argparse
import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, overload

from data_prep.messages import INTERRUPTED_CODE
from emo_fairseq.cli import processes
from emo_fairseq.cli.train.folds import is_all_folds
from emo_fairseq.cli.train.options import add_options
from emo_fairseq.cli.train.training import Outcome, train
from emo_fairseq.errors import UsageError

if TYPE_CHECKING:
    import pandas

    from emo_fairseq.evaluation.bootstrap import Estimate
    from emo_fairseq.inference.item_audio import Audio
    from emo_fairseq.inference.prediction import Prediction
    from emo_fairseq.inference.predictor import EmotionPredictor

_FRAMES = Path("data")  # where tables in memory are written, beside their data dirs
_ERROR = "error: "  # with which commands begin the sentence on a mistake


def fit(
    table: "str | Path | pandas.DataFrame",
    *,
    modality: str | None = None,
    target: str | None = None,
    further: Sequence[str] = (),
    **options: Any,
) -> "Fitted":
    """Prepare a table, train a model on it, score it on its test split, and return it.

    A second call with the same arguments continues where the first one stopped, or returns the
    model that it trained.

    Args:
        table: a table, a folder of recordings, a corpus, a data dir, or ``hf:NAME``; or a DataFrame
            with the same columns as a table, whose audio paths start from the working folder. An
            index that has a name is a column.
        modality: ``T``, ``A``, ``V`` or their sums; by default what the data have.
        target: what to predict; by default the emotion, or the one target that the data have.
        further: words for fairseq-train, such as ``["--dropout", "0.3"]``.
        **options: of ``emotion-recognize train --help-all``, with underscores: ``epochs=3``,
            ``fold="k_fold/1"``, ``freeze=True``, ``column={"emotion": "label"}``,
            ``label_order=["calm", "angry"]``.

    Raises:
        UsageError: an option that there is not; or a step that has failed, with its sentence.
        data_prep.errors.CodedError: a source that cannot be prepared.
    """
    given = {"modality": modality, "target": target, **options}
    parser = _Parser("emo_fairseq.fit", add_help=False)
    add_options(parser)
    words = [word for name, value in given.items() for word in _words(parser, name, value)]
    parsed = parser.parse_args([str(_file_of(table)), *words])
    parsed.further = list(further)
    parsed.words = ["emotion-recognize", "train", str(parsed.source), *words]
    if is_all_folds(parsed):
        raise UsageError(
            f"fold={parsed.fold!r}: fit trains one model; give one fold, such as "
            f"{parsed.fold}/1, or train on all by `emotion-recognize train --fold {parsed.fold}`",
            "fold-incomplete",
        )
    with _quiet() as log:
        outcome = train(parsed)
    _finish(log, outcome.code or int(outcome.predictions is None))
    return Fitted(parsed, outcome)


class Fitted:
    """A trained model, and what was measured of it.

    Attributes:
        checkpoint: that was scored.
        data: the data dir.
        split: that was scored, ``test`` if there is one.
        predictions: the predictions file of that split.
        metrics: metric -> value with the ends of its 95 % interval, over speakers where there are
            enough, else over utterances.
    """

    def __init__(self, options: argparse.Namespace, outcome: Outcome) -> None:
        assert outcome.checkpoint is not None
        assert outcome.predictions is not None
        assert outcome.data is not None
        # Absolute: a notebook may change its folder.
        self.data: Path = outcome.data.folder.resolve()
        self.checkpoint = outcome.checkpoint.resolve()
        self.predictions = outcome.predictions.resolve()
        self._options, self._data = options, replace(outcome.data, folder=self.data)
        self.split = outcome.split
        self._summary = outcome.summary
        self.metrics = self._measure(self.predictions, self.split)

    def __repr__(self) -> str:
        return "\n".join(self._summary)

    @cached_property
    def predictor(self) -> "EmotionPredictor":
        """The model in memory, on the GPU if there is one."""
        from emo_fairseq.inference.predictor import load_predictor

        return load_predictor(self.checkpoint, "cpu" if self._options.cpu else None)

    @overload
    def predict(
        self, audio: "Audio | None" = None, text: str | None = None, **options: Any
    ) -> "Prediction": ...

    @overload
    def predict(
        self,
        audio: "Sequence[Audio | None] | None" = None,
        text: Sequence[str | None] | None = None,
        **options: Any,
    ) -> "list[Prediction]": ...

    def predict(
        self, audio: Any = None, text: Any = None, **options: Any
    ) -> "Prediction | list[Prediction]":
        """Predict for one recording or text, or for lists of them.

        See :meth:`emo_fairseq.inference.predictor.EmotionPredictor.predict`.
        """
        return self.predictor.predict(audio, text, **options)

    def evaluate(self, split: str = "test") -> "Mapping[str, Estimate]":
        """Score a split of the data dir with fairseq-validate.

        Returns:
            By metric, such as ``uar``, its value and the ends of its 95 % interval.

        Raises:
            UsageError: there is no such split.
        """
        from emo_fairseq.cli.train.ending import score_words

        predictions = self.predictions.with_name(f"predictions.{split}.tsv")
        words = score_words(self._options, self._data, split, self.checkpoint, predictions)
        self._run(words)
        return self._measure(predictions, split)

    def report(self, folder: str | Path) -> Path:
        """Write the report of the scored split into a folder, and return its page.

        Raises:
            UsageError: matplotlib is not installed.
        """
        words = processes.module("emo_fairseq.report", self.predictions, "--output", folder)
        words += ["--title", self._data.name]
        words += [] if self._data.is_legacy else ["--data", str(self.data)]
        self._run(words)
        return Path(folder) / "report.html"

    def _run(self, words: Sequence[str]) -> None:
        with _quiet() as log:
            code = processes.run(words)
        _finish(log, code)

    def _measure(self, predictions: Path, split: str) -> "Mapping[str, Estimate]":
        from emo_fairseq.cli.score_table import measure, rows_by_id
        from emo_fairseq.evaluation.statistics import read_predictions

        return measure(read_predictions(predictions)[split], rows_by_id(self.data, split)).estimates


# -- options ---------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"fit: {message}", "option-malformed")


def _words(parser: argparse.ArgumentParser, name: str, value: Any) -> Iterator[str]:
    """Yield an option as words of a command line.

    Raises:
        UsageError: there is no such option.
    """
    flag = f"--{name.replace('_', '-')}"
    action = parser._option_string_actions.get(flag)
    if action is None or flag in ("--help", "--help-all", "--dry-run"):
        raise UsageError(
            f"fit has no option {name}; `emotion-recognize train --help-all` lists them, and those "
            "of fairseq-train go into further=[...]",
            "option-unknown",
        )
    if value is None or value is False:
        return
    if action.nargs == 0:
        yield flag
    elif isinstance(value, Mapping):
        for key, of_key in value.items():
            yield from (flag, f"{key}={of_key}")
    elif isinstance(value, list | tuple) and isinstance(action.nargs, int):
        yield from (flag, *map(str, value))
    elif isinstance(value, list | tuple) and isinstance(action, argparse._AppendAction):
        for item in value:
            yield from (flag, str(item))
    else:
        yield from (
            flag,
            ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value),
        )


def _file_of(table: Any) -> Any:
    """Return a path as it is; write a DataFrame to a CSV file, named after its content."""
    if not hasattr(table, "to_csv"):
        return table
    content = table.to_csv(index=any(name is not None for name in table.index.names))
    digest = hashlib.sha256(content.encode()).hexdigest()
    file = _FRAMES / f"table-{digest[:8]}.csv"
    file.parent.mkdir(exist_ok=True)
    file.write_text(content, encoding="utf-8")
    return file


# -- output ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _quiet() -> Iterator[Path]:
    """Write what commands print to a temporary file, and yield it; see `_finish`."""
    number, name = tempfile.mkstemp(prefix="emo_fairseq_fit_", suffix=".log")
    os.close(number)
    log = Path(name)
    try:
        with processes.logged_to(log):
            yield log
    except BaseException:  # whose message is complete without the log
        log.unlink()
        raise


def _finish(log: Path, code: int) -> None:
    """Remove the log of a command, unless the command failed.

    Raises:
        KeyboardInterrupt: it was interrupted.
        UsageError: it failed; the message names the log.
    """
    if code not in (0, INTERRUPTED_CODE):
        raise UsageError(_reason(log), "fit-failed")
    log.unlink()
    if code == INTERRUPTED_CODE:
        raise KeyboardInterrupt


def _reason(log: Path) -> str:
    """Return the first sentence on a mistake in a log, and where the log is."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    sentences = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    return f"{sentences[0] if sentences else 'a step has failed'} (its log is {log})"
