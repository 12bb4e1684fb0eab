"""The command fit: a forest on out-of-fold predictions, or on gold VAD, of the train split."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.manifest.provenance import Provenance, seen_rows
from data_prep.schema import TRAIN, read_corpus
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.vad_to_emotion.design import Design
from emo_fairseq.vad_to_emotion.forest import RECORD, Forest, fit_forest
from emo_fairseq.vad_to_emotion.out_of_fold import (
    MADE_BY_ZERO_SHOT,
    leak_notes,
    read_unseen,
)
from emo_fairseq.vad_to_emotion.rows import (
    Notes,
    VadRows,
    emotions_of,
    gold_rows,
    read_labels,
    read_rows,
)
from emo_fairseq.vad_to_emotion.table import UPPER_BOUND


def fit(
    files: Sequence[Path], data: Path, design: Design, allow_leak: bool = False
) -> tuple[Forest, Notes]:
    """Fit a forest on out-of-fold predictions of the train split; see :func:`read_unseen`."""
    vad, regressor, record, notes = read_unseen(files, data, allow_leak)
    is_zero_shot = MADE_BY_ZERO_SHOT in read_facts(files[0])
    about = {
        "fitted_on": f"{'zero-shot' if is_zero_shot else 'out-of-fold'} predictions",
        "regressor": {name: str(value) for name, value in regressor.items()},
    }
    return _fit(vad, data, design, about, [*notes, *leak_notes(record)], record)


def fit_gold(data: Path, design: Design) -> tuple[Forest, Notes]:
    """Fit a forest of this design on the train split's own VAD."""
    vad, notes = gold_rows(read_rows(data, TRAIN), TRAIN)
    return _fit(vad, data, design, {"fitted_on": UPPER_BOUND, "regressor": {}}, notes)


def _fit(
    vad: VadRows,
    data: Path,
    design: Design,
    about: Mapping[str, Any],
    notes: Notes,
    record: Provenance | None = None,
) -> tuple[Forest, Notes]:
    labels, rows = read_labels(data), read_rows(data, TRAIN)
    emotions, left = emotions_of(vad.ids, rows, labels, TRAIN)
    values = vad.select(emotions.ids).prediction
    corpus = read_corpus(data).name
    own = seen_rows((rows[name] for name in emotions.ids), corpus, TRAIN)
    seen = own if record is None else own.merged(record)
    facts = {"corpus": corpus, **about, RECORD: seen.to_state()}
    return fit_forest(values, emotions.truth, labels, design, facts), [*notes, *left]
