"""Notes below a table: rows that are not measured, and models of other data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_prep.messages import first_few
from data_prep.schema import Utterance, read_corpus
from emo_fairseq.options.differences import changed_options
from emo_fairseq.vad_to_emotion.forest import Forest
from emo_fairseq.vad_to_emotion.out_of_fold import regressor_options
from emo_fairseq.vad_to_emotion.rows import Notes, VadRows


def missing_rows(vad: VadRows, rows: Mapping[str, Utterance]) -> Notes:
    """Return a note on rows of the split that the file does not have."""
    predicted = set(vad.ids)
    missing = [name for name in rows if name not in predicted]
    if not missing:
        return []
    counts = f"{len(missing)} of {len(rows)} rows of {vad.split}"
    return [f"{vad.file}: {counts} have no prediction, and are not measured: {first_few(missing)}"]


def other_corpus(forest: Forest | None, facts: Mapping[str, Any], data: Path) -> Notes:
    """Return notes if the forest, or the model of VAD, is of another corpus than the data dir."""
    name = read_corpus(data).name
    corpora = {"the model of VAD was trained": facts.get("trained_on") or name}
    if forest is not None:
        corpora = {"the forest was fitted": forest.about["corpus"], **corpora}
    return [
        f"{source} on {corpus}, these rows are of {name}"
        for source, corpus in corpora.items()
        if corpus != name
    ]


def other_regressor(forest: Forest, facts: Mapping[str, Any]) -> Notes:
    """Return a note if the forest was fitted on predictions of another regressor than this one."""
    fitted = forest.about["regressor"]
    now = {name: str(value) for name, value in regressor_options(facts).items()}
    if not fitted or not now or not (changed := changed_options(fitted, now)):
        return []
    note = "the forest was fitted on predictions of another regressor, which differs in"
    return [f"{note} {len(changed)} options: {first_few(changed, 3)}"]
