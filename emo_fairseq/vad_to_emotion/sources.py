"""VAD of a split by its source: the corpus itself, or zero-shot entailment."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_prep.manifest.provenance import (
    Provenance,
    write_beside,
)
from data_prep.schema import AXES, Utterance, read_corpus
from emo_fairseq.data.naming import first_few
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.predictions import (
    PREDICTION_OF,
    TRUTH_OF,
)
from emo_fairseq.vad_to_emotion.answers import read_rows, write_facts
from emo_fairseq.vad_to_emotion.rows import VadRows, gold_vad
from emo_fairseq.vad_to_emotion.unseen import MADE_BY_ZERO_SHOT
from emo_fairseq.vad_to_emotion.zero_shot import HYPOTHESES, EntailmentModel, predict_vad


def gold_rows(rows: Mapping[str, Utterance], split: str) -> tuple[VadRows, list[str]]:
    """The corpus's own VAD as if it were predicted, and a note on rows that lack an axis.

    Raises:
        UsageError: no row has all three.
    """
    vad = {name: np.array(gold_vad(row)) for name, row in rows.items()}
    ids = [name for name, values in vad.items() if not np.isnan(values).any()]
    if not ids:
        raise UsageError(f"no row of {split} has {', '.join(AXES)}: there is no gold VAD")
    values = np.stack([vad[name] for name in ids])  # (N, 3)
    left = [name for name in vad if name not in set(ids)]
    notes = [f"{len(left)} rows of {split} lack gold VAD, and are left out: {first_few(left)}"]
    return VadRows(Path(split), split, tuple(ids), values, values), notes if left else []


def open_entailment(spec: str, device: torch.device, labels: Sequence[str] = ()) -> EntailmentModel:
    """The model that ``hf:FOLDER`` or ``fairseq:CHECKPOINT`` names.

    Raises:
        UsageError: another word before the colon, or what the model itself refuses.
    """
    kind, _, place = spec.partition(":")
    if kind == "hf" and place:
        if labels:
            raise UsageError(f"--nli-labels: {spec} names its labels itself; leave it out")
        from emo_fairseq.vad_to_emotion.nli_hf import HuggingFaceEntailment

        return HuggingFaceEntailment(place, device)
    if kind == "fairseq" and place:
        from emo_fairseq.vad_to_emotion.nli_fairseq import FairseqEntailment

        return FairseqEntailment(place, device, labels)
    raise UsageError(f"--model {spec}: write hf:FOLDER or fairseq:CHECKPOINT")


def write_zero_shot(
    model: EntailmentModel, spec: str, data: Path, split: str, file: Path, batch_size: int
) -> list[str]:
    """Predict the VAD of a split's texts, write it as a predictions file; notes on rows left out.

    Raises:
        UsageError: no row has a text, or the model tells nothing apart.
    """
    rows = read_rows(data, split)
    ids = [name for name, row in rows.items() if row.text]
    if not ids:
        raise UsageError(f"{data / split}.tsv: no row has a text, which zero-shot VAD is made from")
    found = predict_vad(model, [rows[name].text or "" for name in ids], batch_size)
    predictions.write(
        file,
        [
            {
                "id": name,
                "split": split,
                **dict(zip((TRUTH_OF + a for a in AXES), gold_vad(rows[name]), strict=True)),
                **dict(zip((PREDICTION_OF + a for a in AXES), map(float, vad), strict=True)),
            }
            for name, vad in zip(ids, found, strict=True)
        ],
    )
    write_beside(file, Provenance())  # the model is as it came
    write_facts(file, _facts(spec, data, split))
    left = [name for name in rows if name not in set(ids)]
    notes = [f"{len(left)} rows of {split} have no text, and are left out: {first_few(left)}"]
    return notes if left else []


def _facts(spec: str, data: Path, split: str) -> dict[str, Any]:
    name = read_corpus(data).name
    options = {
        "task.data": str(data),
        "task.target": "vad",
        "model._name": "zero_shot_nli",
        "model.entailment": spec,
        "dataset.disable_validation": True,  # no set has chosen anything
    }
    return {
        "set": {"split": split, "data": None, "labels": None},
        "corpus": name,
        "trained_on": name,
        MADE_BY_ZERO_SHOT: {
            "model": spec,
            "hypotheses": {axis: list(x) for axis, x in HYPOTHESES.items()},
        },
        "options": options,
    }
