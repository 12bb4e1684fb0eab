"""Tables of runs, computed by hand: means, pooled folds, missing runs, tests and notes."""

import csv
import json
import math
import os
import runpy
import statistics
import sys

import pytest
from codes import raises
from scipy import special, stats

from data_prep.manifest.provenance import (
    Provenance,
    write_beside,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions, tables
from emo_fairseq.experiments import collect, sweep
from emo_fairseq.experiments.comparison import table_rows
from emo_fairseq.experiments.options import Options
from emo_fairseq.experiments.results import read_results
from emo_fairseq.experiments.runs import RunFolder, find_runs
from emo_fairseq.experiments.systems import group_by_setting

N, H, S = "neutral", "happy", "sad"
ONE = {"a": (N, N), "b": (N, H), "c": (H, H)}  # UAR 3/4, WA 2/3
TWO = {"d": (N, H), "e": (H, H), "f": (S, S)}  # UAR 2/3, WA 2/3
TWO_BETTER = {"d": (N, N), "e": (H, H), "f": (S, S)}
# Together: neutral 1 of 3, happy 2 of 2, sad 1 of 1.
POOLED = (1 / 3 + 1 + 1) / 3


def rows_of(root, metrics=("uar",), by="system", **options):
    """The rows of the only table by system and part, and the table."""
    results, unfinished = read_results(find_runs([root]))
    (table,) = group_by_setting(results, unfinished, **options)
    rows, notes = table_rows(table, metrics, by, n_resamples=50)
    return {(row.system, row.part, row.metric): row for row in rows}, table, notes


def one_row(root, metric="uar", by="system", part=""):
    rows, table, _ = rows_of(root, (metric,), by)
    return rows[table.systems[0].name, part, metric]


def collected(folder, *arguments):
    out = folder / "out.csv"
    assert collect.main([str(folder), "--csv", str(out), "--resamples", "20", *arguments]) == 0
    return list(csv.DictReader(out.open()))


@pytest.fixture
def two_folds(write_run):
    """Two folds and two seeds; returns the folder of runs."""
    for seed in (1, 2):
        write_run(f"s{seed}f1", ONE, seed, "k_fold/1")
        run = write_run(f"s{seed}f2", TWO if seed == 1 else TWO_BETTER, seed, "k_fold/2")
    return run.parent


def test_mean_and_deviation_over_folds_and_seeds(two_folds):
    row = one_row(two_folds)
    figures = [3 / 4, 2 / 3, 3 / 4, 1.0]
    assert row.n_runs == 4
    assert row.n_missing == 0
    assert row.mean == pytest.approx(statistics.mean(figures))
    assert row.deviation == pytest.approx(statistics.stdev(figures))


def test_pooled_folds_and_then_the_mean_over_seeds(two_folds):
    row = one_row(two_folds)
    better = (2 / 3 + 1 + 1) / 3
    assert row.pooled == pytest.approx((POOLED + better) / 2)
    assert row.utterances[0] <= row.pooled <= row.utterances[1]


def test_by_fold_and_by_seed(two_folds):
    by_fold = one_row(two_folds, by="fold", part="fold 2")
    assert by_fold.mean == pytest.approx((2 / 3 + 1) / 2)
    assert by_fold.n_runs == 2
    by_seed = one_row(two_folds, by="seed", part="seed 1")
    assert by_seed.mean == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert by_seed.pooled == pytest.approx(POOLED)


def test_recall_of_a_class_that_a_fold_lacks(two_folds):
    """It is not defined there, so its mean is not; that of all folds together is."""
    row = one_row(two_folds, "recall_sad")
    assert math.isnan(row.mean)
    assert row.pooled == 1.0


def test_a_missing_fold_is_named_and_not_pooled(two_folds, write_run, capsys):
    (two_folds / "s2f2" / "predictions.tsv").unlink()
    row = one_row(two_folds)
    assert (row.n_runs, row.n_missing) == (3, 1)
    assert row.pooled == pytest.approx(POOLED)  # of the complete seed
    collect.main([str(two_folds)])
    said = capsys.readouterr().out
    assert "robertaEMO_tiny *" in said
    assert "* robertaEMO_tiny is incomplete: no seed 2 fold 2" in said
    assert f"not in the table: {two_folds / 's2f2'}: no set has chosen a checkpoint" in said


def test_folds_that_no_run_has(two_folds, write_data, write_run):
    """They are read from the file of folds, where it exists."""
    data = write_data({"a": "anna"})
    (data / "folds").mkdir()
    sets = {"train": ["a"], "valid": ["b"], "test": ["c"]}
    content = {"protocol": "k_fold", "unit": "speaker", "seed": 1, "base": "train"}
    folds = {"1": sets, "2": sets, "3": sets}
    (data / "folds" / "k_fold.json").write_text(json.dumps({**content, "folds": folds}))
    for seed in (1, 2):
        for fold, said in (("1", ONE), ("2", TWO)):
            write_run(f"s{seed}f{fold}", said, seed, f"k_fold/{fold}", data=data)
    row = one_row(two_folds)
    assert row.n_missing == 2
    assert math.isnan(row.pooled)
    assert math.isnan(row.utterances[0])


def test_rows_that_several_folds_test_are_noted(two_folds, write_run, capsys):
    """As after folds were made anew between two trainings: pooled metrics count a row twice."""
    collect.main([str(two_folds)])
    assert "in several folds" not in capsys.readouterr().out
    write_run("s1f2", {"c": (H, N), "d": (S, S)}, 1, "k_fold/2")
    collect.main([str(two_folds)])
    noted = "robertaEMO_tiny: 1 row tested in several folds (c) count in each of them"
    assert noted in capsys.readouterr().out


def test_runs_with_another_truth_are_not_compared(write_run):
    """Their labels have changed between two scorings."""
    write_run("plain1", ONE, 1)
    write_run("plain2", ONE | {"b": (H, H)}, 2)
    run = write_run("smooth1", ONE | {"c": (S, S)}, 1, criterion={"label_smoothing": 0.1})
    rows, table, notes = rows_of(run.parent)
    first, second = (system.name for system in table.systems)
    differs = "the truth of 1 row differs between"
    assert any(x.startswith(f"{first}: {differs} its seeds (b)") for x in notes)
    changed = f"{second}: the truth of 2 rows differs between it and {first} (b, c)"
    assert any(x.startswith(changed) for x in notes)
    assert math.isnan(rows[second, "", "uar"].difference)
    assert rows[first, "", "uar"].n_runs == 2


def test_a_seed_that_one_system_lacks(write_run):
    for seed in (1, 2):
        run = write_run(f"plain{seed}", ONE, seed)
    write_run("smooth1", ONE, 1, criterion={"label_smoothing": 0.1})
    rows, _, _ = rows_of(run.parent)
    missing = {system: row.n_missing for (system, _, _), row in rows.items()}
    assert sorted(missing.values()) == [0, 1]


def of_speakers(n_right):
    """Five rows a speaker, of which so many are right."""
    return {
        f"{who}{n}": (N, N if n < right else H) for who, right in n_right.items() for n in range(5)
    }


def test_intervals_over_speakers_are_students(write_run, write_data):
    """Of four speakers with the WA 1, 0.8, 0.6 and 0."""
    said = of_speakers({"k": 5, "l": 4, "m": 3, "o": 0})
    data = write_data({name: f"speaker {name[0]}" for name in said})
    row = one_row(write_run("one", said, data=data), "wa")
    left_out = special.logit([7 / 15, 8 / 15, 9 / 15, 12 / 15])
    error = math.sqrt(3 / 4 * sum((left_out - left_out.mean()) ** 2))
    ends = special.logit(0.6) + stats.t.ppf([0.025, 0.975], 3) * error
    assert row.speakers == pytest.approx(special.expit(ends))
    assert row.no_speakers == ""
    assert row.speakers[0] < row.utterances[0] < 0.6 < row.utterances[1]


def test_too_few_speakers_have_no_interval_and_a_reason(write_run, write_data, capsys):
    said = of_speakers({"k": 5, "l": 1})
    data = write_data({name: f"speaker {name[0]}" for name in said})
    write_run("one", said, data=data)
    run = write_run("two", of_speakers({"k": 5, "l": 2}), data=data, task={"modality": "text"})
    (row, *others) = collected(run.parent, "--metric", "wa")
    reason = "2 speakers < 3: no interval over speakers"
    assert (row["speakers_low"], row["no_speakers"]) == ("", reason)
    assert [row["p_speakers"] for row in others] == [""]
    printed = capsys.readouterr().out
    assert reason in printed
    assert "95 %, speakers" not in printed


def test_unknown_speakers(write_run, write_data):
    data = write_data({"a": "anna", "b": None, "c": "carl"})
    row = one_row(write_run("one", ONE, data=data))
    assert math.isnan(row.speakers[0])
    assert row.no_speakers == "1 utterances have no known speaker: no interval over speakers"


def holm_by_hand(p_values):
    """The i-th smallest of m, from 0, times m - i, and no smaller than those before."""
    ranked = sorted(p_values)
    steps = [min(1.0, (len(ranked) - i) * p) for i, p in enumerate(ranked)]
    return [max(steps[: len(ranked) - ranked[::-1].index(p)]) for p in p_values]


def test_holm_covers_every_test_of_the_table(write_run, write_data, capsys):
    """Two pairs, two metrics, over utterances and over speakers, and McNemar's."""
    first = of_speakers({"k": 5, "l": 3, "m": 3, "o": 1})
    data = write_data({name: f"speaker {name[0]}" for name in first})
    write_run("a", first, data=data)
    better, best = {"k": 5, "l": 4, "m": 5, "o": 3}, {"k": 5, "l": 5, "m": 5, "o": 4}
    write_run("b", of_speakers(better), data=data, criterion={"label_smoothing": 0.1})
    run = write_run("c", of_speakers(best), data=data, criterion={"label_smoothing": 0.2})
    rows, _, notes = rows_of(run.parent, ("wa", "weighted_f1", "recall_neutral"))
    pairs = [
        pair
        for row in rows.values()
        for pair in (
            (row.p, row.p_holm),
            (row.p_speakers, row.p_speakers_holm),
            (row.other.p_value if row.other else math.nan, row.other_holm),
        )
        if not math.isnan(pair[0])
    ]
    assert len(pairs) == 2 * 2 * 2 + 2
    raw, corrected = zip(*pairs, strict=True)
    assert corrected == pytest.approx(holm_by_hand(raw))
    assert "Holm: corrected for all 10 tests of this table" in notes
    assert any("of 50 resamples p is 0.039 at least" in note for note in notes)
    assert any("give --resamples 400" in note for note in notes)


def test_the_p_value_over_speakers_is_the_paired_t_tests(write_run, write_data):
    first = of_speakers({"k": 5, "l": 3, "m": 3, "o": 1})
    data = write_data({name: f"speaker {name[0]}" for name in first})
    write_run("a", first, data=data)
    second = of_speakers({"k": 5, "l": 4, "m": 5, "o": 3})
    run = write_run("b", second, data=data, criterion={"label_smoothing": 0.1})
    rows, table, _ = rows_of(run.parent, ("wa",))
    found = rows[table.systems[1].name, "", "wa"].p_speakers
    assert found == pytest.approx(stats.ttest_rel([5, 4, 5, 3], [5, 3, 3, 1]).pvalue)


@pytest.mark.parametrize("with_more", ["a", "b"])
def test_speakers_are_paired_where_one_system_has_more_rows(write_run, write_data, with_more):
    """The row that the other one lacks is the first, and of the speaker who is last elsewhere."""
    first = of_speakers({"k": 5, "l": 3, "m": 3, "o": 1})
    second = of_speakers({"k": 5, "l": 4, "m": 5, "o": 3})
    more = {"another": (N, N)}
    data = write_data({name: f"speaker {name[0]}" for name in first} | {"another": "speaker o"})
    write_run("a", first | (more if with_more == "a" else {}), data=data)
    smooth = {"label_smoothing": 0.1}
    run = write_run("b", second | (more if with_more == "b" else {}), data=data, criterion=smooth)
    rows, table, _ = rows_of(run.parent, ("wa",))
    found = rows[table.systems[1].name, "", "wa"].p_speakers
    assert found == pytest.approx(stats.ttest_rel([5, 4, 5, 3], [5, 3, 3, 1]).pvalue)


def test_every_rendering_states_what_intervals_do_not_contain(two_folds, capsys):
    files = two_folds / "table.md", two_folds / "table.tex"
    rows = collected(two_folds, "--markdown", str(files[0]), "--latex", str(files[1]))
    statement = "do not contain the variance over seeds"
    for text in (capsys.readouterr().out, *(file.read_text() for file in files)):
        assert statement in text
    assert all(statement in row["intervals"] for row in rows)


def test_difference_to_the_first_system(write_run):
    """Of the pooled metrics; p-values are corrected for two systems and two kinds of tests."""
    run = write_run("a", ONE)
    write_run("b", {**ONE, "b": (N, N)}, criterion={"label_smoothing": 0.1})
    write_run("c", ONE, criterion={"label_smoothing": 0.2})
    rows, table, _ = rows_of(run.parent, ("wa", "recall_happy"))
    first, better, same = (rows[system.name, "", "wa"] for system in table.systems)
    assert math.isnan(first.difference)
    assert better.difference == pytest.approx(1 / 3)
    assert same.difference == 0.0
    assert same.p == same.p_holm == 1.0
    assert better.p_holm == min(1.0, 4 * better.p)
    assert better.other is not None
    assert (better.other.name, better.other.p_value) == ("McNemar", 1.0)
    recall = rows[table.systems[1].name, "", "recall_happy"]
    assert math.isnan(recall.p)


def test_systems_are_compared_on_the_rows_of_both(write_run, capsys):
    """Such as one that reads text, which a row lacks."""
    run = write_run("a", ONE)
    write_run("b", {"a": (N, N), "c": (H, H)}, task={"modality": "text"})
    rows, table, notes = rows_of(run.parent, ("wa",))
    found = rows[table.systems[1].name, "", "wa"]
    assert found.mean == 1.0
    assert found.difference == 0.0  # both have a and c right
    assert any("on the 2 rows that both have" in note for note in notes)


def test_runs_are_compared_on_the_rows_of_both(write_run):
    """The second system lacks row b, which the first one has wrong in every run."""
    truths = {"a": N, "b": H, "c": H, "d": S, "e": N, "f": H, "g": S}
    right = {"a", "c", "d", "e", "f", "g"}
    for seed in range(1, 7):
        wrong = {*sorted(right)[: seed - 1], "b"}
        said = {k: (t, (H if t == N else N) if k in wrong else t) for k, t in truths.items()}
        run = write_run(f"a{seed}", said, seed)
        shared = {k: v for k, v in said.items() if k != "b"}
        write_run(f"b{seed}", shared, seed, task={"modality": "text"})
    rows, table, _ = rows_of(run.parent, ("wa",))
    first, second = (rows[system.name, "", "wa"] for system in table.systems)
    assert second.mean > first.mean
    assert second.difference == 0.0
    assert second.other == ("Wilcoxon over runs", 1.0)


def test_the_baseline_comes_first(write_run):
    run = write_run("a", ONE, overrides=["objective=supcon"], criterion={"_name": "supcon"})
    write_run("b", ONE, overrides=["objective=plain"], criterion={"_name": "plain"})
    _, table, _ = rows_of(run.parent)
    assert [system.name for system in table.systems] == ["objective=supcon", "objective=plain"]
    _, table, _ = rows_of(run.parent, baseline="plain")
    assert [system.name for system in table.systems] == ["objective=plain", "objective=supcon"]


@pytest.mark.parametrize("name", ["a votes", "z votes"])  # before and after the other
def test_models_of_votes_and_of_labels_are_compared_by_their_labels(write_run, name):
    file = write_run(name, ONE, task={"target": "emotion_distribution"}) / "predictions.tsv"
    rows = predictions.read(file)
    votes = [{f"votes_{x}": float(x == row["truth"]) for x in (N, H, S)} for row in rows]
    predictions.write(file, [{**row, **shares} for row, shares in zip(rows, votes, strict=True)])
    runs = file.parents[1]
    assert {row["metric"] for row in collected(runs)} > {"uar", "votes_ce"}
    write_run("labels", ONE)
    both = [row for row in collected(runs) if row["metric"] == "uar"]
    assert [float(row["mean"]) for row in both] == [3 / 4, 3 / 4]


def test_systems_are_in_the_order_of_the_sweep(write_run, capsys):
    """So the sweep's own table and a later one of its folder have differences of the same sign."""
    last = write_run("a", ONE, criterion={"label_smoothing": 0.1})
    first = write_run("b", ONE, criterion={"label_smoothing": 0.2})
    write_run("c", ONE, criterion={"label_smoothing": 0.3})  # of no sweep
    RunFolder(last).set_state("trained", position=1)
    RunFolder(first).set_state("trained", position=0)
    names = [f"label_smoothing={value}" for value in (0.2, 0.1, 0.3)]
    _, table, _ = rows_of(first.parent)
    assert [system.name for system in table.systems] == names
    collected(first.parent)
    assert f"difference: from {names[0]}, with its 95 % interval" in capsys.readouterr().out


def test_names_are_what_differs(write_run):
    """Options of one criterion alone name no system that the criterion's name tells apart."""
    supcon = {"_name": "emotion_supcon", "weighting": "v1", "weight": 0.5}
    run = write_run("a", ONE, criterion={"_name": "emotion_classification"})
    write_run("b", ONE, criterion=supcon)
    write_run("c", ONE, criterion={**supcon, "weighting": "v2"})
    _, table, _ = rows_of(run.parent)
    assert [system.name for system in table.systems] == [
        "criterion=emotion_classification",
        "criterion=emotion_supcon, weighting=v1",
        "criterion=emotion_supcon, weighting=v2",
    ]


def test_paths_make_no_system(write_run):
    """Nor do logs, seeds and folds."""
    run = write_run("a", ONE, 1, common={"log_interval": 1}, checkpoint={"save_dir": "a"})
    write_run("b", ONE, 2, common={"log_interval": 2}, checkpoint={"save_dir": "b"})
    _, table, _ = rows_of(run.parent)
    assert [len(system.results) for system in table.systems] == [2]


def test_the_same_run_twice(write_run):
    run = write_run("a", ONE)
    write_run("b", TWO)
    rows, table, _ = rows_of(run.parent, ("wa",))
    assert [row.n_runs for row in rows.values()] == [1]
    assert any(f"{run.parent / 'b'} is the same run as {run}" in note for note in table.notes)


def test_runs_that_are_in_no_table(write_run):
    """Each with its reason."""
    kept = write_run("kept", ONE, 1)
    chosen = write_run("chosen", ONE, 2, dataset={"valid_subset": "test"})
    stopped = write_run("stopped", ONE, 3)
    (stopped / "run.json").write_text('{"state": "training"}')
    empty = write_run("empty", None, 4)
    results, unfinished = read_results(find_runs([kept.parent]))
    assert [result.run.path for result in results] == [kept]
    reasons = {run.run.path: run.reason for run in unfinished}
    assert "chosen on the test set" in reasons[chosen]
    assert "has not ended" in reasons[stopped]
    assert "no set has chosen" in reasons[empty]


@pytest.mark.parametrize(
    ("name", "is_older"), [("checkpoint_best.pt", True), ("checkpoint_last.pt", False)]
)
def test_predictions_older_than_the_checkpoint(write_run, name, is_older):
    """Where a set selects, the last checkpoint is not the one that is scored."""
    run = write_run("one", ONE)
    write_checkpoint_and_older_predictions(run, name, {"common.seed": 1})
    results, unfinished = read_results(find_runs([run]))
    assert len(results) == (not is_older)
    assert [("older than its checkpoint" in each.reason) for each in unfinished] == [
        True
    ] * is_older


def test_predictions_older_than_the_last_checkpoint_that_no_set_selects(write_run):
    """As after a training that went on."""
    run = write_run("one", ONE)
    options = {"dataset.disable_validation": True}
    write_checkpoint_and_older_predictions(run, "checkpoint_last.pt", options)
    _, (unfinished,) = read_results(find_runs([run]))
    assert "older than its checkpoint" in unfinished.reason


def write_checkpoint_and_older_predictions(run, name, options):
    checkpoint = run / "checkpoints" / name
    checkpoint.parent.mkdir()
    checkpoint.touch()
    (run / "predictions.json").write_text(json.dumps({"options": options}))
    os.utime(run / "predictions.tsv", (0, 0))


def test_numbers(write_run):
    """VAD: metrics of each axis and their mean."""
    run = write_run("vad", None, task={"target": "vad"})
    cells = {"a": (0.1, 0.2), "b": (0.5, 0.5), "c": (0.9, 0.6)}
    rows = [
        {
            "id": name,
            "split": "test",
            **{f"truth_{axis}": truth for axis in ("valence", "arousal")},
            "prediction_valence": answer,
            "prediction_arousal": truth,
        }
        for name, (truth, answer) in cells.items()
    ]
    predictions.write(run / "predictions.tsv", rows)
    found = {row["metric"]: float(row["mean"]) for row in collected(run)}
    assert found["mae_valence"] == pytest.approx((0.1 + 0.3) / 3)
    assert found["mae"] == pytest.approx((0.1 + 0.3) / 6)
    assert found["ccc_arousal"] == pytest.approx(1.0)
    assert found.keys() == {
        f"{metric}{axis}"
        for metric in ("ccc", "pearson", "mae")
        for axis in ("", "_valence", "_arousal")
    }


def test_sentiment_scores_have_cmu_metrics_with_intervals(write_run):
    run = write_run("cmu", None, task={"target": "sentiment_score"})
    cells = {"a": (-2.0, -1.0), "b": (1.0, 2.0), "c": (0.0, -1.0)}
    rows = [
        {"id": name, "split": "test", "truth_sentiment_score": t, "prediction_sentiment_score": p}
        for name, (t, p) in cells.items()
    ]
    predictions.write(run / "predictions.tsv", rows)
    row = one_row(run, "acc2_non0")
    assert row.pooled == 1.0
    assert row.utterances == (1.0, 1.0)
    assert one_row(run, "acc2_has0").mean == pytest.approx(2 / 3)


def test_what_every_table_states(two_folds, capsys):
    (row, *_) = collected(two_folds, "--metric", "wa")
    assert row["tested_on"] == row["trained_on"] == "gone"
    assert row["labels"] == "neutral happy sad"
    assert (row["protocol"], row["folds"], row["seeds"]) == ("k_fold", "1 2", "1 2")
    assert row["chosen_by"] == "valid (smallest uar)"
    title = capsys.readouterr().out.splitlines()[0]
    assert title == "gone, test (neutral happy sad), k_fold, folds 1 2, seeds 1 2"


def test_the_set_that_chose_the_checkpoint_is_no_test_set(write_run, capsys):
    run = write_run("one", ONE, split="valid")
    assert collect.main([str(run)]) == 0
    assert "valid is the set that chose the checkpoints" in capsys.readouterr().out


def test_markdown_and_latex(two_folds):
    files = two_folds / "table.md", two_folds / "table.tex"
    arguments = ["--metric", "recall_sad", "--markdown", str(files[0]), "--latex", str(files[1])]
    collected(two_folds, *arguments)
    markdown, latex = (file.read_text() for file in files)
    assert "| recall, sad | robertaEMO_tiny | 4 |" in markdown
    assert r"recall, sad & robertaEMO\_tiny & 4 &" in latex
    assert latex.count("{table}") == latex.count("{tabular}") == 2
    assert "k\\_fold, folds 1 2" in latex


@pytest.mark.parametrize("is_terminal", [False, True])
def test_names_of_systems_are_not_cut_off(is_terminal, monkeypatch, capsys):
    names = [f"speech_pooling=attention,seed={n}" for n in (1, 2)]
    header = ["system", *(f"column {n}" for n in range(15))]
    if is_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "150")
    tables.print_table(tables.Table(header, [[name, *["0.123 to 0.456"] * 15] for name in names]))
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert is_terminal or all(f"│ {name} │" in printed.replace("  ", "") for name in names)


def test_rows_trained_on_columns_tested_on(write_run, capsys):
    run = write_run("a", ONE, data="there/first")
    write_run("b", TWO_BETTER, data="there/second")
    write_run("a", {"x": (N, N), "y": (H, N)}, file="predictions.second.tsv", data="there/first")
    facts = {
        "set": {"data": "there/second", "split": "test"},
        "corpus": "second",
        "left_out": {"fear": 3},
        "options": dict(Options.of(RunFolder(run).hydra_config()).values),
    }
    (run / "predictions.second.json").write_text(json.dumps(facts))
    assert collect.main([str(run.parent), "--matrix", "wa", "--csv", str(run / "m.csv")]) == 0
    rows = {row["trained on"]: row for row in csv.DictReader((run / "m.csv").open())}
    assert rows["first"]["first"].startswith("0.667")
    assert rows["first"]["second"].startswith("0.500")
    assert rows["second"]["second"].startswith("1.000")
    assert rows["second"]["first"] == "–"
    assert "3 fear left out" in capsys.readouterr().out


def test_a_matrix_for_each_system(write_run):
    """Which were trained on different corpora."""
    run = write_run("a", ONE, data="there/first")
    write_run("b", TWO, data="there/second", criterion={"label_smoothing": 0.1})
    assert collect.main([str(run.parent), "--matrix", "wa", "--csv", str(run / "m.csv")]) == 0
    one, two = csv.DictReader((run / "m.csv").open())
    assert one["matrix"] != two["matrix"]
    assert (one["first"][:5], one["second"]) == ("0.667", "")
    assert (two["first"], two["second"][:5]) == ("", "0.667")


def test_a_matrix_counts_a_run_once(write_run, capsys):
    """As tables do: a copy of a run would shift the mean, and pass for a further seed."""
    run = write_run("a", ONE, 1)
    write_run("b", ONE, 1)
    write_run("c", TWO_BETTER, 2)
    assert collect.main([str(run.parent), "--matrix", "uar", "--csv", str(run / "m.csv")]) == 0
    (row,) = csv.DictReader((run / "m.csv").open())
    mean, deviation = statistics.mean([3 / 4, 1.0]), statistics.stdev([3 / 4, 1.0])
    assert row["gone"] == f"{mean:.3f} ± {deviation:.3f} (2)"
    assert f"{run.parent / 'b'} is the same run as {run}, and left out" in capsys.readouterr().out


def test_a_matrix_keeps_data_dirs_of_one_name_apart(write_run, tmp_path, monkeypatch):
    """Such as a corpus with four of its labels, and with six; a path has several forms."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "six" / "corpus").mkdir(parents=True)
    run = write_run("a", ONE, 1, data="../four/corpus")  # relative to a folder that is not known
    write_run("b", TWO_BETTER, 2, data="/there/four/corpus")
    write_run("c", TWO, 1, data="six/corpus")
    write_run("d", TWO_BETTER, 2, data=tmp_path / "six" / ".." / "six" / "corpus")
    assert collect.main([str(run.parent), "--matrix", "wa", "--csv", str(run / "m.csv")]) == 0
    four, six = csv.DictReader((run / "m.csv").open())
    names = ["corpus, ../four/corpus", "corpus, six/corpus"]
    assert [row["trained on"] for row in (four, six)] == names
    cell = f"{statistics.mean([2 / 3, 1]):.3f} ± {statistics.stdev([2 / 3, 1]):.3f} (2)"
    assert [four[name] for name in names] == [cell, "–"]
    assert [six[name] for name in names] == ["–", cell]


@pytest.mark.parametrize("option", ["--metric", "--matrix"])
def test_a_metric_that_the_runs_do_not_have(write_run, option):
    with raises("metric-unknown") as error:
        collect.main([str(write_run("one", ONE)), option, "ccc"])
    assert "uar" in str(error.value)


@pytest.mark.parametrize("command", [collect, sweep])
def test_words_after_metric_that_are_no_metrics(command, capsys):
    words = ["--config-dir", "c", "--config-name", "n"] if command is sweep else []
    words += ["--metric", "uar", "recall_sad", "runs/toy", "common.seed=1,2"]
    with pytest.raises(SystemExit) as end:
        command.main(words)
    assert end.value.code == 2
    assert "--metric: runs/toy is no metric; choose from loss, uar, " in capsys.readouterr().err


def test_the_module_is_a_command(write_run, tmp_path):
    """As `python -m` runs it: every function is defined before the last line calls main."""
    words = [str(write_run("one", ONE)), "--matrix", "uar", "--csv", str(tmp_path / "m.csv")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["collect", *words])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(collect.__file__, run_name="__main__")
    assert end.value.code == 0
    assert (tmp_path / "m.csv").is_file()


def test_folders_that_hold_no_run(tmp_path):
    with raises("run-folder-missing"):
        collect.main([str(tmp_path / "nowhere")])
    with raises("runs-missing"):
        collect.main([str(tmp_path)])


def test_a_label_that_no_column_is_of(write_run):
    run = write_run("one", ONE)
    file = run / "predictions.tsv"
    content = file.read_text().rpartition("#")[0].replace("test\tneutral", "test\tbored", 1)
    file.write_text(predictions.with_last_line(content))
    with pytest.raises(UsageError, match="a: truth 'bored'"):
        collect.main([str(run)])


def test_an_allowed_leak_is_in_every_table(write_run, tmp_path, capsys):
    run = write_run("leaky", ONE, 1)
    write_run("honest", ONE, 2)
    said = "--init-from other.pt: was trained on 2 of the 3 rows of test, which are held out here"
    write_beside(run / "predictions.tsv", Provenance(allowed=(said,)))
    files = {kind: tmp_path / f"table.{kind}" for kind in ("csv", "markdown", "latex")}
    words = [word for kind, file in files.items() for word in (f"--{kind}", str(file))]
    assert collect.main([str(run.parent), *words]) == 0
    for text in (capsys.readouterr().out, *(file.read_text() for file in files.values())):
        said = " ".join(text.split())
        assert "leaky: --init-from other.pt: was trained on 2 of the 3 rows" in said
    assert collect.main([str(run.parent), "--matrix", "uar"]) == 0
    assert "leak allowed: " in capsys.readouterr().out
