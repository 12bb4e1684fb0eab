"""Tables that people write: 100 odd ones, whose columns, format and splits are known."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from data_prep.errors import CodedError
from data_prep.tables.completed_recipe import GivenOptions, Inference
from data_prep.tables.inference import infer
from data_prep.tables.recipe import TableRecipe

N_ROWS = 24
# Field -> names by which people call its column.
NAMES: Mapping[str, tuple[str, ...]] = {
    "audio": ("file", "Datei", "audio_path", "wav", "Fichier", "archivo", "FileName", "Audio File"),
    "text": ("text", "Transcript", "Äußerung", "texte", "transcripción", "Utterance", "sentence"),
    "emotion": ("emotion", "Gefühl", "label", "Émotion", "emoción", "Emotion (majority)", "class"),
    "speaker": ("speaker", "Sprecher", "locuteur", "hablante", "Speaker_ID", "participant"),
    "valence": ("valence", "Valenz", "valencia", "valence_mean"),
    "arousal": ("arousal", "Erregung", "activation", "activación"),
    "split": ("split", "Partition", "set", "subset"),
    "id": ("id", "utt_id", "Kennung"),
}
FURTHER = ("Alter", "gender", "notes", "duration", "emotion_intensity", "annotator", "Datum")
LABELS = (("Ärger", "Glück", "neutral"), ("sad", "happy", "angry"), ("0", "1", "2"))
SPLITS = (("train", "dev", "test"), ("Training", "Validation", "Test"))


def _numbers(low: int, decimal: str) -> list[str]:
    return [f"{low + n % 4}{decimal}{n % 9}" for n in range(N_ROWS)]


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], dict[str, list[str]], dict[str, str], Any]:
    """Return the order of the columns, their cells, the fields that they fill, and how to write."""
    fields = draw(st.sets(st.sampled_from(sorted(NAMES)), min_size=2))
    fields |= {draw(st.sampled_from(("audio", "text"))), "emotion"}
    delimiter, encoding = draw(st.sampled_from(";\t,|")), draw(st.sampled_from(ENCODINGS))
    decimal = draw(st.sampled_from(".,")) if delimiter != "," else "."
    labels, splits = draw(st.sampled_from(LABELS)), draw(st.sampled_from(SPLITS))
    suffix = draw(st.sampled_from((".wav", ".FLAC", ".mp3")))
    cells = {
        "audio": [f"clips/{n}{suffix}" for n in range(N_ROWS)],
        "text": [f'{n} words, and; more "of them" {n}' for n in range(N_ROWS)],
        "emotion": [labels[n % 3] for n in range(N_ROWS)],
        "speaker": [f"P{n % 6}" for n in range(N_ROWS)],
        "valence": _numbers(1, decimal),
        "arousal": _numbers(2, decimal),
        "split": [splits[n % 3] for n in range(N_ROWS)],
        "id": [f"u{n}" for n in range(N_ROWS)],
    }
    named = {field: draw(st.sampled_from(NAMES[field])) for field in sorted(fields)}
    columns = {named[field]: cells[field] for field in named}
    for name in draw(st.sets(st.sampled_from(FURTHER))):
        columns[name] = [str(20 + n) if n % 5 else "" for n in range(N_ROWS)]
    order = draw(st.permutations(sorted(columns)))
    return order, columns, named, (delimiter, encoding, decimal)


ENCODINGS = ("utf-8", "utf-8-sig", "cp1252", "utf-16")


@given(table=tables(), has_end=st.booleans())
@settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_columns_of_an_odd_table(
    tmp_path: Path,
    table: tuple[list[str], dict[str, list[str]], dict[str, str], Any],
    has_end: bool,
) -> None:
    order, columns, named, (delimiter, encoding, decimal) = table
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n" if has_end else "\n")
    writer.writerow(order)
    writer.writerows(zip(*(columns[name] for name in order), strict=True))
    path = tmp_path / "labels.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    recipe = TableRecipe("t", {}, vad_scale=(0.0, 9.0), data_raw=tmp_path)
    found = infer({"": path}, recipe, GivenOptions())
    assert found.decisions == []
    how = found.recipe.format
    assert how.delimiter == delimiter
    assert how.header
    fields = {field: name for field, name in named.items() if field != "split"}
    assert dict(found.recipe.columns) == fields
    assert found.recipe.split_column == named.get("split")
    if {"valence", "arousal"} & set(named):
        assert how.decimal == decimal
    if "split" in named:
        assert found.recipe.split_by is None
    else:
        assert found.recipe.split_by == ("speaker" if "speaker" in named else "row")


@given(content=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_anything_is_inferred_or_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    found, error = _infer(path)
    if error is not None:
        assert error.code
        assert str(path) in str(error)
    for decision in found.decisions if found else ():
        assert decision.problem
        assert decision.words[0].startswith("--")


def _infer(path: Path) -> tuple[Inference | None, CodedError | None]:
    try:
        return infer({"": path}, TableRecipe("t", {}), GivenOptions()), None
    except CodedError as error:
        return None, error
