"""``emotion-recognize train --fold PROTOCOL``: a training for each fold, and one table of all."""

import shlex
from pathlib import Path

import numpy as np

from data_prep.folds.__main__ import main as make_folds
from data_prep.schema import SPLITS, read_manifest
from emo_fairseq.cli.__main__ import main
from emo_fairseq.cli.train.folds import _lines_of_each
from emo_fairseq.evaluation.statistics import NumberPredictions, read_predictions

QUICK = ("--modality", "A", "--quick", "--cpu", "--no-report")


def test_every_row_is_tested_once(command, started, copy_toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = copy_toy()
    assert make_folds([str(data), "--protocol", "k_fold", "--n-folds", "3"]) == 0
    printed = command("train", data, "--fold", "k_fold", *QUICK)
    end = printed.partition("the test sets of 3 folds of k_fold together, ")[2].splitlines()
    ids = [row.id for split in SPLITS for row in read_manifest(data / f"{split}.tsv")]
    assert end[0].startswith(f"{len(ids)} utterances; ")
    files = [
        line.strip() for line in end if line.endswith("predictions.tsv") and "report" not in line
    ]
    scored = [read_predictions(Path(file))["test"] for file in files]
    assert sorted(id_ for of in scored for id_ in of.ids) == sorted(ids)
    accuracies = [np.mean(of.truth == of.prediction) for of in scored]
    together = np.average(accuracies, weights=[len(of.ids) for of in scored])
    (wa,) = (line.split()[1] for line in end if line.startswith("WA"))
    assert float(wa) == round(float(together), 3)
    by_fold = [line.split()[-4:] for line in end if line.startswith(("1 ", "2 ", "3 "))]
    assert [float(cells[1]) for cells in by_fold] == [round(float(x), 3) for x in accuracies]
    assert printed.count("next:") == 1, "a fold has no next commands of its own"
    subcommand, *words = shlex.split(end[-1])[1:]
    assert (subcommand, words) == ("report", files)


def test_folds_that_are_not_there_are_made(command, copy_toy, capsys):
    data = copy_toy()
    printed = command("train", data, "--fold", "leave_one_speaker_out", *QUICK, "--dry-run")
    assert f"data_prep.folds {data} --protocol leave_one_speaker_out" in printed
    assert not (data / "folds").exists(), "a dry run writes nothing"
    assert main(["train", str(data), "--fold", "loso", *QUICK]) == 2
    assert "choose one of leave_one_session_out, " in capsys.readouterr().err


def test_a_dry_run_has_the_commands_of_every_fold(command, copy_toy, tmp_path):
    data = copy_toy()
    assert make_folds([str(data), "--protocol", "k_fold", "--n-folds", "3"]) == 0
    words = ("--fold", "k_fold", "--output", tmp_path / "out", *QUICK, "--dry-run")
    printed = command("train", data, *words)
    for fold in (1, 2, 3):
        assert f"--fold k_fold/{fold} " in printed
        assert f"--save-dir {tmp_path}/out/k_fold-{fold}/" in printed


def test_a_metric_that_one_fold_does_not_define_has_no_mean():
    def fold(*truth: float) -> NumberPredictions:
        ids = tuple(map(str, range(len(truth))))
        numbers = np.array(truth)[:, None]
        return NumberPredictions(ids, ("valence",), numbers, numbers + 0.1)

    folds = {"1": fold(0.1, 0.5), "2": fold(0.4)}  # no correlation of a single row
    lines = list(_lines_of_each("this model", folds))
    assert "undefined" in lines[-1].split()
    assert "0.100 ± 0.000" in lines[-1]
