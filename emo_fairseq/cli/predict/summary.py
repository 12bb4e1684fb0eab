"""The line in which ``predict`` sums up what it predicted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from data_prep.errors import CodedError
from data_prep.messages import first_few, one_line, sentence_with_code
from emo_fairseq.cli.predict.rows import Row
from emo_fairseq.evaluation.tables import format_count
from emo_fairseq.modalities import SPEECH

ITEM = "item"
_SHOWN = 3  # failures that are named beside the output


@dataclass
class Summary:
    """Counts of rows, for one line at the end.

    Args:
        unit: what a row is, ``item`` or ``window``.
        modalities: that the model reads, of several; what rows lack of them is counted.
    """

    unit: str = ITEM
    modalities: Sequence[str] = ()
    labels: Counter[str] = field(default_factory=Counter)
    sums: dict[str, float] = field(default_factory=dict)
    codes: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    n_predicted: int = 0
    n_dialogues: int = 0
    n_truncated_recordings: int = 0
    failures: list[str] = field(default_factory=list)  # the first ones, a sentence each

    def add(self, row: Row) -> None:
        """Count a row."""
        if row.item.dialogue is not None and not row.item.n_following:
            self.n_dialogues += 1
        prediction = row.prediction
        if prediction is None:
            self.codes[(row.error and row.error.code) or "without code"] += 1
            if row.error is not None and len(self.failures) < _SHOWN:
                self.failures.append(_located(row.item.name, row.error))
            return
        self.n_predicted += 1
        if prediction.label is not None:
            self.labels[prediction.label] += 1
        for name, value in prediction.values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        transcript = prediction.transcript
        for name in self.modalities:
            self.notes[f"without {name}"] += name not in prediction.modalities
        self.notes["truncated"] += bool(prediction.truncations)
        self.n_truncated_recordings += any(t.modality == SPEECH for t in prediction.truncations)
        self.notes["with a warning"] += bool(prediction.warnings)
        self.notes["transcribed"] += transcript is not None
        self.notes["without words"] += transcript is not None and not transcript.text

    def describe(self) -> str:
        """Return the line.

        >>> counts = Counter(joy=2, anger=1)
        >>> Summary(labels=counts, codes=Counter({"a-b": 1}), n_predicted=3).describe()
        '3 of 4 items predicted (joy 2, anger 1); 1 of 4 items failed (a-b 1), see the column error'
        """
        n_failed = self.codes.total()
        n = self.n_predicted + n_failed
        units = self.unit if n == 1 else f"{self.unit}s"
        counts = [f"{label} {count}" for label, count in self.labels.most_common()]
        counts += [f"mean {k} {total / self.n_predicted:.3f}" for k, total in self.sums.items()]
        inside = f" ({', '.join(counts)})" if counts else ""
        of_all = f"{self.n_predicted} of {n}" if n_failed else str(n)
        among = ""
        if self.n_dialogues:
            among = f" in {self.n_dialogues} dialogue{'' if self.n_dialogues == 1 else 's'}"
        parts = [f"{of_all} {units} predicted{among}{inside}"]
        if n_failed:
            kinds = first_few([f"{code} {count}" for code, count in self.codes.most_common()])
            parts.append(f"{n_failed} of {n} {units} failed ({kinds}), see the column error")
        parts += [f"{name}: {count}" for name, count in self.notes.items() if count]
        if self.n_truncated_recordings and self.unit == ITEM:
            parts.append(
                "only the beginning is predicted of "
                f"{format_count(self.n_truncated_recordings, 'recording')} (emotion-recognize "
                "analyze predicts all turns, --timeline all windows)"
            )
        return "; ".join(parts)


def _located(name: str, error: CodedError) -> str:
    """Return the sentence of an error, which begins with the name of its item."""
    sentence = sentence_with_code(error)
    return one_line(sentence if name in sentence else f"{name}: {sentence}")
