"""Which predictions of the train split a forest may be fitted on."""

import json
import shutil

import pytest
from codes import raises

from data_prep.errors import ManifestError
from data_prep.folds import __main__ as folds_command
from data_prep.manifest.provenance import (
    SELECTED,
    TRAINED,
    seen_rows,
    write_beside,
)
from data_prep.schema import read_manifest
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.vad_to_emotion.out_of_fold import read_unseen


def test_folds_of_train_test_each_row_once_and_no_other(place):
    """The official valid and test rows are in no set of any fold; no speaker is in two sets."""
    arguments = ["--protocol", "k_fold", "--base", "train", "--n-folds", "4", "--force"]
    assert folds_command.main([str(place.data), *arguments]) == 0
    folds = json.loads((place.data / "folds" / "k_fold.json").read_text())["folds"]
    rows = {row.id: row for row in read_manifest(place.data / "train.tsv")}
    tested = [name for sets in folds.values() for name in sets["test"]]
    assert sorted(tested) == sorted(rows)
    for sets in folds.values():
        assert sorted(name for names in sets.values() for name in names) == sorted(rows)
        speakers = [{rows[name].speaker for name in names} for names in sets.values()]
        assert sum(map(len, speakers)) == len(set.union(*speakers))


def test_each_row_once_in_the_order_of_the_manifest(place):
    found, options, _, notes = read_unseen(place.folds[::-1], place.data)
    assert list(found.ids) == [row.id for row in read_manifest(place.data / "train.tsv")]
    assert options == {"common.seed": 1, "task.modality": "text", "task.target": "vad"}
    assert notes == []


def refused(place, files, code):
    with raises(code) as error:
        read_unseen(files, place.data)
    return str(error.value)


def test_a_model_of_the_whole_split_has_seen_it(place, write_predictions, fold_facts):
    rows = read_manifest(place.data / "train.tsv")
    file = place.data.parent / "own" / "predictions.tsv"
    write_predictions(file, rows, fold_facts(None), split="train")
    refused(place, [file], "rows-seen")
    write_predictions(file, rows, None, split="train")
    file.with_suffix(".json").unlink()
    refused(place, [file], "facts-missing")


@pytest.mark.parametrize("seen", ["train", "valid"])
def test_rows_that_trained_or_chose_the_model(place, write_predictions, fold_facts, seen):
    """Fold 1 scored on another of its own sets."""
    sets = json.loads((place.data / "folds" / "k_fold.json").read_text())["folds"]["1"]
    rows = [row for row in read_manifest(place.data / "train.tsv") if row.id in sets[seen]]
    write_predictions(place.folds[0], rows, fold_facts("k_fold/1"))
    assert f"{len(rows)} of {len(rows)} rows" in refused(place, place.folds, "rows-seen")


def test_a_record_of_the_rows_is_proof_enough(place, caplog):
    """Of a model that began from another training, too, and without what a sweep writes."""
    rows = {row.id: row for row in read_manifest(place.data / "train.tsv")}
    folds = json.loads((place.data / "folds" / "k_fold.json").read_text())["folds"]
    for file, sets in zip(place.folds, folds.values(), strict=True):
        file.with_suffix(".json").unlink()
        trained = seen_rows((rows[n] for n in sets["train"]), "quadrants", "train")
        chose = seen_rows((rows[n] for n in sets["valid"]), "quadrants", "valid", use=SELECTED)
        write_beside(file, trained.merged(chose))
    found = read_unseen(place.folds, place.data)
    assert len(found.vad) == len(rows)
    assert len(found.record.overlap(rows.values(), "quadrants")) == len(rows)
    own = folds["2"]["test"][0]
    for use in (TRAINED, SELECTED):
        write_beside(place.folds[1], seen_rows([rows[own]], "quadrants", "train", use=use))
        n = len(folds["2"]["test"])
        with pytest.raises(
            UsageError, match=rf"was {use} on 1 of the {n} rows of test .*\({own}\)"
        ):
            read_unseen(place.folds, place.data)
    assert f"({own})" in read_unseen(place.folds, place.data, allow_leak=True).record.allowed[0]


def test_missing_and_double_rows_are_counted(place):
    n = [len(file.read_text().splitlines()) - 2 for file in place.folds]  # header and last line
    assert f"{n[2]} of 60 train rows" in refused(place, place.folds[:2], "rows-missing")
    again = place.data.parent / "again" / "predictions.tsv"
    again.parent.mkdir()
    for end in (".tsv", ".json"):
        shutil.copy(place.folds[0].with_suffix(end), again.with_suffix(end))
    assert f"{n[0]} of 60" in refused(place, [*place.folds, again], "rows-duplicate")


def change(file, edit):
    beside = file.with_suffix(".json")
    facts = json.loads(beside.read_text())
    edit(facts)
    beside.write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        ({"options": {"task.fold": "k_fold/2"}}, "rows-seen"),
        ({"options": {"task.fold": "k_fold/7"}}, "fold-unknown"),
        ({"trained_on": "elsewhere"}, "corpora-differ"),
        ({"set": {"data": "/other"}}, "corpora-differ"),
        ({"options": {"model.dropout": 0.3}}, "regressors-differ"),
    ],
)
def test_the_facts_beside_a_file_decide(place, edit, code):
    def merge(facts):
        for name, value in edit.items():
            facts[name] = {**facts[name], **value} if isinstance(value, dict) else value

    change(place.folds[0], merge)
    refused(place, place.folds, code)


def test_folds_that_do_not_exist(place):
    change(place.folds[0], lambda facts: facts["options"].update({"task.fold": "other/1"}))
    with pytest.raises(ManifestError, match=r"other\.json"):
        read_unseen(place.folds, place.data)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("task.init_from", "checkpoints/whole.pt"),
        ("task.init_text_from", "checkpoints/whole.pt"),
        ("checkpoint.finetune_from_model", "checkpoints/whole.pt"),
        ("checkpoint.restore_file", "checkpoints/whole.pt"),
        ("criterion.teacher_predictions", "runs/whole/predictions.train.tsv"),
    ],
)
def test_folds_that_learned_from_another_training(place, option, value):
    """Which may have seen all rows; the default of restore_file is the fold's own checkpoint."""
    own = {"checkpoint.restore_file": "checkpoint_last.pt", "task.init_from": None}
    for file in place.folds:
        change(file, lambda facts: facts["options"].update(own))
    read_unseen(place.folds, place.data)
    for file in place.folds:
        change(file, lambda facts: facts["options"].update({option: value}))
    assert f"({option}={value}" in refused(place, place.folds, "other-run-unrecorded")


def test_folds_of_more_than_train(place):
    """The official test rows would train the models of other folds."""
    arguments = ["--protocol", "k_fold", "--base", "train", "test", "--n-folds", "3", "--force"]
    assert folds_command.main([str(place.data), *arguments]) == 0
    refused(place, place.folds, "folds-not-of-train")


def test_predictions_of_another_version_of_the_corpus(place):
    file = place.data / "train.tsv"
    first = read_manifest(file)[1]
    file.write_text(file.read_text().replace(str(first.valence), "0.9999"))
    refused(place, place.folds, "truth-differs")


def test_a_constant_axis(place):
    """As of a regressor whose scores are all in the middle of the scale."""
    lines = place.folds[0].read_text().splitlines()[:-1]
    rows = ["\t".join([*line.split("\t")[:-1], "3.0"]) for line in lines[1:]]
    content = "\n".join([lines[0], *rows]) + "\n"
    place.folds[0].write_text(predictions.with_last_line(content))
    assert "dominance" in refused(place, place.folds, "predictions-constant")
