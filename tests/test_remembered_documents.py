"""A document that is parsed once is its own for each that reads it."""

import pytest
from remembered_documents import remember_documents

from data_prep.errors import ManifestError
from data_prep.files import documents
from data_prep.files.documents import JsonObject, load_yaml


def test_each_reader_has_its_own(tmp_path):
    remember_documents()
    file = tmp_path / "a.yaml"
    file.write_text("labels: [sad, happy]\nrate: 16000\nnone:\n")
    first = load_yaml(file, JsonObject, remedy="correct it")
    first["labels"].append("angry")
    expected = documents.build_yaml.__wrapped__(file.read_text())
    assert load_yaml(file, JsonObject, remedy="correct it") == expected
    file.write_text("labels: [sad]\n")
    assert load_yaml(file, JsonObject, remedy="correct it") == {"labels": ["sad"]}
    file.write_text("a: 1\na: 2\n")
    for _ in range(2):
        with pytest.raises(ManifestError, match="twice|duplicate"):
            load_yaml(file, JsonObject, remedy="correct it")
