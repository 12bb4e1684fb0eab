"""Which prototypes belong to the utterances that were scored."""

import json
from pathlib import Path

import numpy as np
from report_cases import write_data

from data_prep.commands.fit_prototypes import main as fit_prototypes
from data_prep.folds.file import FOLDS_FOLDER
from data_prep.schema import read_manifest
from emo_fairseq.report.annotations import read_annotations
from emo_fairseq.report.tables import composition_table


def write_folds(data: Path, protocol: str, *thirds: tuple[int, int, int]) -> dict[str, list[str]]:
    """Folds of the test split by thirds of its rows: which train, validate, test. -> the tests."""
    ids = [row.id for row in read_manifest(data / "test.tsv")]
    parts = [ids[:20], ids[20:40], ids[40:]]
    sets = {
        str(number): dict(zip(("train", "valid", "test"), (parts[n] for n in third), strict=True))
        for number, third in enumerate(thirds, start=1)
    }
    content = {"protocol": protocol, "unit": "row", "seed": 1, "base": "test", "folds": sets}
    (data / FOLDS_FOLDER).mkdir(exist_ok=True)
    (data / FOLDS_FOLDER / f"{protocol}.json").write_text(json.dumps(content))
    return {number: found["test"] for number, found in sets.items()}


def test_a_fold_has_prototypes_of_its_own(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    tested = write_folds(data, "mine", (0, 1, 2), (1, 2, 0))
    annotations = read_annotations(data, "test", tested["2"])
    assert annotations.prototypes is None
    assert annotations.no_prototypes == (
        "no prototypes/mine/2.json in --data; "
        "`python -m data_prep.fit_prototypes DATA_DIR --fold mine/2`"
    )
    assert np.isnan(annotations.difficulty()).all()
    for fold in tested:
        assert fit_prototypes([str(data), "--fold", f"mine/{fold}"]) == 0
    for fold, ids in tested.items():
        annotations = read_annotations(data, "test", ids[1:])  # rows without truth are not scored
        assert annotations.prototypes is not None
        assert annotations.prototypes.fold == f"mine/{fold}"
        assert not np.isnan(annotations.difficulty()).any()


def test_the_whole_split_has_those_of_the_train_split(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    ids = [ids for found in write_folds(data, "mine", (0, 1, 2)).values() for ids in found]
    whole = [row.id for row in read_manifest(data / "test.tsv")]
    assert set(ids) < set(whole)
    annotations = read_annotations(data, "test", whole)
    assert annotations.prototypes is not None
    assert annotations.prototypes.fold is None


def test_a_set_of_two_folds_is_left_without(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    tested = write_folds(data, "mine", (0, 1, 2))
    write_folds(data, "other", (1, 0, 2))
    annotations = read_annotations(data, "test", tested["1"])
    assert annotations.prototypes is None
    assert annotations.no_prototypes.startswith("test is a set of mine/1, other/1: which fold's")


def test_the_sets_of_a_fold_are_counted(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    tested = write_folds(data, "mine", (0, 1, 2), (1, 2, 0))
    folds = read_annotations(data, "test", tested["2"]).folds
    assert list(folds) == ["mine/2"]
    table = composition_table(folds["mine/2"])
    assert table.header == ["number of", "train", "valid", "test"]
    counts = {row[0]: row[1:] for row in table.rows}
    assert counts["rows"] == ["20", "20", "20"]
    assert counts["speakers"] == ["5", "5", "5"]
    # Rows 20 to 39, 40 to 59 and 0 to 19; every third is happy.
    assert counts["emotion happy"] == ["7", "6", "7"]
    assert (
        read_annotations(data, "test", [row.id for row in read_manifest(data / "test.tsv")]).folds
        == {}
    )
