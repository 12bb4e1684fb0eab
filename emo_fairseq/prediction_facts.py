"""What a predictions file was made from: predictions.json beside it."""

from pathlib import Path
from typing import Any

from data_prep.documents import Count, Document, JsonObject, load_json
from data_prep.schema import ManifestError
from emo_fairseq.errors import UsageError


class SetFacts(Document):
    """The rows that were scored."""

    split: str
    data: str | None = None
    labels: dict[str, str | None] | None = None


class PredictionFacts(Document):
    """The schema of the file."""

    set: SetFacts | None = None
    corpus: str | None = None
    trained_on: str | None = None
    checkpoint: str | None = None
    updates: Count | None = None
    chosen_by: str | None = None
    left_out: dict[str, Count] | None = None
    options: JsonObject | None = None
    forest: JsonObject | None = None
    zero_shot: JsonObject | None = None


def facts_path(predictions: Path) -> Path:
    """Return the path of the facts of a predictions file."""
    return predictions.with_suffix(".json")


def read_facts(predictions: Path) -> dict[str, Any]:
    """Load the facts of a predictions file as plain values; empty where there are none.

    Raises:
        UsageError: it is not of the schema `PredictionFacts`.
    """
    file = facts_path(predictions)
    if not file.is_file():
        return {}
    try:
        facts = load_json(file, PredictionFacts, remedy="score the run again")
    except ManifestError as error:
        raise UsageError(str(error)) from error
    return facts.model_dump(exclude_unset=True)
