"""A split on which systems are scored: its rows, its labels, and what intervals are over."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.schema import Utterance, read_corpus
from emo_fairseq.data.naming import first_few
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.bootstrap import Speakers
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.vad_to_emotion.answers import read_labels, read_rows
from emo_fairseq.vad_to_emotion.forest import Forest
from emo_fairseq.vad_to_emotion.rows import VadRows, check_truth, read_vad
from emo_fairseq.vad_to_emotion.table import METHODS, PREDICTED, ZERO_SHOT
from emo_fairseq.vad_to_emotion.unseen import MADE_BY_ZERO_SHOT, TRAIN

Units = Callable[[Sequence[str]], Speakers | None]  # from N ids to their speakers


def read_scored(file: Path, data: Path) -> VadRows:
    """Predictions of a split that no forest is fitted on.

    Raises:
        UsageError: they are of train or of one of its folds, or of another data dir.
    """
    vad = read_vad(file)
    refuse_train(vad.split, file)
    if fold := (read_facts(file).get("options") or {}).get("task.fold"):
        raise UsageError(
            f"{file}: of fold {fold}, which divides the rows that the forest is fitted on; give "
            "the predictions of the regressor that was trained on the whole train split"
        )
    check_truth(vad, read_rows(data, vad.split), data)
    return vad


def refuse_train(split: str, source: object) -> None:
    """Raise a `UsageError` for the split that forests are fitted on."""
    if split == TRAIN:
        raise UsageError(
            f"{source}: of the split {TRAIN}, which forests are fitted on; give another"
        )


def missing_rows(vad: VadRows, rows: Mapping[str, Utterance]) -> list[str]:
    """A note on rows of the split that the file does not have."""
    there = set(vad.ids)
    left = [name for name in rows if name not in there]
    what = f"{vad.file}: {len(left)} of {len(rows)} rows of {vad.split} have no prediction"
    return [f"{what}, and are not measured: {first_few(left)}"] if left else []


def other_corpus(forest: Forest | None, facts: Mapping[str, Any], data: Path) -> list[str]:
    """Notes if the forest, or the model of VAD, is of another corpus than the one it is given."""
    name = read_corpus(data).name
    fitted = {"the forest was fitted": forest.about["corpus"]} if forest else {}
    trained = {"the model of VAD was trained": facts.get("trained_on") or name}
    where = {**fitted, **trained}
    return [f"{what} on {x}, these rows are of {name}" for what, x in where.items() if x != name]


def source_of(file: Path) -> str:
    """Where the VAD of a file is from, as tables say it."""
    return ZERO_SHOT if MADE_BY_ZERO_SHOT in read_facts(file) else PREDICTED


def shared_labels(forest: Forest, data: Path) -> tuple[str, ...]:
    """The forest's labels. Raises a `UsageError` where the corpus has others: none is guessed."""
    own = read_labels(data)
    if set(own) != set(forest.labels):
        raise UsageError(
            f"{data}: has the emotions {', '.join(own)}, the forest {', '.join(forest.labels)}; "
            "fit a forest on this label set"
        )
    return forest.labels


def units_by(by: str, rows: Mapping[str, Utterance]) -> Units:
    """What intervals are over: None for utterances, or the speakers of these.

    What is returned raises a `UsageError` where speakers are asked for, and are unknown or too few.
    """

    def units(ids: Sequence[str]) -> Speakers | None:
        if by != "speaker":
            return None
        speakers = Speakers.named([rows[name].speaker for name in ids])
        if speakers.refusal:
            raise UsageError(f"--units speaker: {speakers.refusal}; use --units utterance")
        return speakers

    return units


def title(data: Path, split: str, n: int, by: str) -> str:
    """The heading of a table."""
    name = read_corpus(data).name
    return f"{name}, {split}, {n} rows; in brackets 95 %, {METHODS[by]}"
