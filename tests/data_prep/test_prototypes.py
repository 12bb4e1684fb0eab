import csv
import itertools
import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codes import raises

from data_prep.commands.fit_prototypes import main
from data_prep.corpora.toy import prepare_toy
from data_prep.corpora.toy_draws import DOMINANCE, QUADRANTS
from data_prep.errors import ManifestError
from data_prep.prototypes import (
    PUBLISHED,
    Centroid,
    Prototypes,
    canonical_label,
    difficulties,
    fit,
    fit_by_domain,
    published_prototypes,
    read_prototypes,
    write_prototypes,
)
from data_prep.prototypes.fitting import fit_prototypes
from data_prep.schema import (
    AXES,
    Corpus,
    Utterance,
    read_corpus,
    write_corpus,
)

NAMES = ("neutral", "happy", "sad", "angry")
NAN = float("nan")
# Two sad rows, three happy ones, one without VAD, one without a label.
VAD = np.array(
    [
        [0.0, 0.2, 0.4],
        [0.2, 0.6, 0.4],
        [0.6, 0.5, 0.1],
        [0.9, 0.5, 0.4],
        [0.9, 0.8, 0.7],
        [0.5, NAN, 0.5],
        [0.1, 0.1, 0.1],
    ]
)
LABELS = np.array([2, 2, 1, 1, 1, 1, -1])
# Valence, arousal and dominance of each class in two corpora that agree.
CENTRES = {
    "neutral": (0.5, 0.3, 0.5),
    "happy": (0.8, 0.6, 0.6),
    "sad": (0.2, 0.2, 0.3),
    "angry": (0.3, 0.8, 0.8),
}

Rows = Sequence[tuple[str | None, Sequence[float | None]]]


def write_data_dir(
    folder: Path, rows: Rows, name: str = "tiny", corpora: Sequence[str | None] = (), **more: Rows
) -> Path:
    """A data dir whose train split has these (emotion, VAD), and `more` splits likewise."""
    splits = {
        split: [
            Utterance(
                f"{split}{i}", text="words", emotion=label, **dict(zip(AXES, vad, strict=True))
            )
            for i, (label, vad) in enumerate(content)
        ]
        for split, content in {"train": rows, **more}.items()
    }
    if corpora:
        train = zip(splits["train"], corpora, strict=True)
        splits["train"] = [replace(row, corpus=corpus) for row, corpus in train]
    write_corpus(folder, Corpus(name, labels={"emotion": NAMES}), splits)
    return folder


def around(centers: dict[str, Any], flipped: Sequence[int] = ()) -> Rows:
    """Two rows around each center; the `flipped` axes turned round."""
    return [
        (
            label,
            [round(1 - x if i in flipped else x, 6) + step * (i + 1) for i, x in enumerate(center)],
        )
        for label, center in centers.items()
        for step in (-0.01, 0.01)
    ]


def some_prototypes(**changes: Any) -> Prototypes:
    sad, happy = Centroid(0.1, 0.4, 0.4, 2, 0.2), Centroid(0.8, 0.6, 0.4, 3, 0.1)
    made = Prototypes(
        label="emotion",
        statistic="mean",
        labels=NAMES,
        overall={"happy": happy, "sad": sad},
        corpora={"one": {"sad": sad}, "two": {"happy": happy, "sad": happy}},
        quantiles={"all": {"0.1": 0.01, "0.9": 0.3}, "corpus": {"0.5": 0.1}},
        rows=5,
        left_out={"no emotion": 1},
        warnings=("take care",),
    )
    return replace(made, **changes)


# --- The maths ------------------------------------------------------------------------------------


def test_mean_and_median_by_hand() -> None:
    mean = fit(VAD, LABELS, 4)
    assert mean[1] == pytest.approx([0.8, 0.6, 0.4])
    assert mean[2] == pytest.approx([0.1, 0.4, 0.4])
    assert np.isnan(mean[[0, 3]]).all()
    assert fit(VAD, LABELS, 4, "median")[1] == pytest.approx([0.9, 0.5, 0.4])


def test_difficulty_by_hand() -> None:
    found = difficulties(VAD, LABELS, fit(VAD, LABELS, 4))
    sad = (0.1**2 + 0.2**2) ** 0.5
    assert found[:2] == pytest.approx([sad, sad])
    assert found[3] == pytest.approx((0.1**2 + 0.1**2) ** 0.5)
    assert np.isnan(found[5:]).all()  # never 0: no arousal; no label
    nothing = difficulties(VAD[:2], np.array([0, 2]), fit(VAD, LABELS, 4))
    assert np.isnan(nothing).tolist() == [True, False]  # no prototype of class 0


def test_domains_are_the_singles_and_an_unknown_one_the_whole() -> None:
    rng = np.random.default_rng(1)
    vad, labels = rng.uniform(size=(60, 3)), rng.integers(-1, 4, 60)
    domains = rng.integers(-1, 2, 60)
    vad[::7, 1] = np.nan
    table = fit_by_domain(vad, labels, domains, 4, 2)
    assert table.shape == (3, 4, 3)
    found = difficulties(vad, labels, table, domains)
    for domain, single in enumerate(table[:2]):
        own = domains == domain
        np.testing.assert_array_equal(single, fit(vad[own], labels[own], 4))
        np.testing.assert_array_equal(found[own], difficulties(vad[own], labels[own], single))
    np.testing.assert_array_equal(table[2], fit(vad, labels, 4))
    unknown = domains == -1
    np.testing.assert_array_equal(
        found[unknown], difficulties(vad[unknown], labels[unknown], table[2])
    )


def test_difficulty_against_a_slow_reference() -> None:
    rng = np.random.default_rng(2)
    vad, labels, domains = (
        rng.uniform(size=(20, 3)),
        rng.integers(0, 3, 20),
        rng.integers(-1, 2, 20),
    )
    table = rng.uniform(size=(3, 3, 3))
    slow = [
        sum(
            (vad[i][a] - table[domains[i] if domains[i] >= 0 else 2][labels[i]][a]) ** 2
            for a in range(3)
        )
        ** 0.5
        for i in range(20)
    ]
    assert difficulties(vad, labels, table, domains) == pytest.approx(slow)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"statistic": "mode"}, "statistic is 'mode'; choose one of mean, median"),
        ({"vad": VAD[:, :2]}, r"vad is of shape \(7, 2\), not \(N, 3\)"),
        ({"labels": LABELS[:3]}, r"label ids of shape \(3,\) for 7 rows"),
        ({"n_classes": 2}, "label ids from -1 to 2 where there are 2"),
        ({"labels": LABELS - 1}, "label ids from -2 to 1 where there are 4"),
    ],
)
def test_arrays_that_do_not_belong_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(**{"vad": VAD, "labels": LABELS, "n_classes": 4, **changes})


def test_domains_and_prototypes_must_match() -> None:
    domains = np.zeros(7, dtype=np.int64)
    flat, deep = np.zeros((4, 3)), np.zeros((2, 4, 3))
    with pytest.raises(ValueError, match=r"shape \(4, 3\) with domains"):
        difficulties(VAD, LABELS, flat, domains)
    with pytest.raises(ValueError, match=r"shape \(2, 4, 3\) without domains"):
        difficulties(VAD, LABELS, deep)
    with pytest.raises(ValueError, match="domain ids from 1 to 1 where there are 1"):
        difficulties(VAD, LABELS, deep, domains + 1)  # the last slice is not a domain


# --- The command ----------------------------------------------------------------------------------


def test_a_data_dir_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        (None if k < 0 else NAMES[k], [None if x != x else x for x in v])
        for k, v in zip(LABELS, VAD.tolist(), strict=True)
    ]
    folder = write_data_dir(tmp_path / "data", rows)
    capsys.readouterr()
    assert main([str(folder)]) == 0
    found = read_prototypes(folder / "prototypes.json")
    assert found.labels == NAMES
    assert list(found.overall) == ["happy", "sad"]
    sad = found.overall["sad"]
    assert (sad.valence, sad.arousal, sad.dominance, sad.n) == (0.1, 0.4, 0.4, 2)
    assert sad.mean_difficulty == pytest.approx(0.05**0.5, abs=1e-6)
    assert (found.rows, found.corpora) == (5, {})
    assert found.left_out == {"no emotion": 1, "VAD incomplete": 1}
    far = difficulties(VAD, LABELS, fit(VAD, LABELS, 4))[:5]
    assert list(found.quantiles["all"]) == [f"0.{i}" for i in range(1, 10)]
    assert found.quantiles["all"]["0.3"] == pytest.approx(np.quantile(far, 0.3), abs=1e-6)
    assert found.warnings == (
        "no prototype for neutral, angry: no row of the class has all three axes",
    )
    printed = capsys.readouterr().out
    assert "sad 2 0.100 0.400 0.400 0.224" in " ".join(printed.split())
    assert "rows left out: 1 (no emotion), 1 (VAD incomplete)" in printed
    assert "warning: no prototype for neutral, angry" in printed
    with (folder / "emotion_centroids.csv").open() as table:
        rows_of_table = list(csv.DictReader(table))
    assert [(row["emotion"], row["n"], row["corpus"]) for row in rows_of_table] == [
        ("happy", "3", ""),
        ("sad", "2", ""),
    ]
    assert [float(rows_of_table[1][axis]) for axis in AXES] == [0.1, 0.4, 0.4]
    assert main([str(folder), "--statistic", "median"]) == 0
    assert read_prototypes(folder / "prototypes.json").overall["happy"].valence == 0.9


def test_only_the_train_split_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wild = [(label, (1.0, 1.0, 0.0)) for label in NAMES]
    alone = write_data_dir(tmp_path / "alone", around(CENTRES))
    beside = write_data_dir(tmp_path / "beside", around(CENTRES), valid=wild, test=wild)
    (beside / "test.tsv").write_text("not a manifest at all")
    for folder in (alone, beside):
        assert main([str(folder)]) == 0
    assert (alone / "prototypes.json").read_bytes() == (beside / "prototypes.json").read_bytes()
    assert main([str(beside / "valid.tsv")]) == 1
    assert "[data-dir-is-file]" in capsys.readouterr().err
    (beside / "train.tsv").unlink()
    assert main([str(beside)]) == 1
    assert "train.tsv: no such manifest" in capsys.readouterr().err


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    folder = write_data_dir(tmp_path, around(CENTRES), corpora=["a", "b"] * 4)
    written = set()
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-m", "data_prep.fit_prototypes", str(folder)],
            env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
            check=True,
        )
        written.add((folder / "prototypes.json").read_bytes())
    assert len(written) == 1
    assert not list(folder.glob(".*"))


def test_corpora_of_the_column(tmp_path: Path) -> None:
    rows = [("sad", (0.1, 0.1, 0.3)), ("sad", (0.3, 0.3, 0.2)), ("happy", (0.8, 0.9, 0.6))]
    rows += [("happy", (None, None, None)), ("sad", (0.5, 0.8, 0.4))]
    folder = write_data_dir(tmp_path, rows, corpora=["one", "one", "two", "one", None])
    found = fit_prototypes([folder])
    assert found.overall["sad"].valence == pytest.approx(0.3)
    assert list(found.corpora) == ["one", "two"]
    assert found.corpora["one"]["sad"].valence == pytest.approx(0.2)
    assert "happy" not in found.corpora["one"]
    assert "one: no prototype of its own for happy: no row has all three axes" in found.warnings
    assert any(w.startswith("1 rows have no corpus") for w in found.warnings)
    table = found.by_corpus(["sad", "happy"])  # (2 corpora + 1, 2, 3)
    assert found.domains(["two", "one", None, "three"]).tolist() == [1, 0, -1, -1]
    assert table[-1][0] == pytest.approx(found.array(["sad"])[0])
    assert np.isnan(table[0][1]).all()
    # The unnamed row is measured against all rows' prototype: (0.3, 0.4, 0.3).
    far = difficulties(
        np.array([(0.1, 0.1, 0.3), (0.5, 0.8, 0.4)]), np.array([0, 0]), table, np.array([0, -1])
    )
    assert far == pytest.approx([(0.01 + 0.01 + 0.0025) ** 0.5, (0.04 + 0.16 + 0.01) ** 0.5])
    assert found.quantiles["corpus"] != found.quantiles["all"]


def test_several_data_dirs_are_corpora_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write_data_dir(tmp_path / "1", around(CENTRES), "one")
    two = write_data_dir(tmp_path / "2", [("sad", (0.4, 0.4, 0.6))], "two")
    with pytest.raises(SystemExit):
        main([str(one), str(two)])
    assert "--output FILE" in capsys.readouterr().err
    assert main([str(one), str(two), "--output", str(tmp_path / "deep" / "both.json")]) == 0
    found = read_prototypes(tmp_path / "deep" / "both.json")
    assert list(found.corpora) == ["one", "two"]
    assert found.array(["sad"], "two").tolist() == [[0.4, 0.4, 0.6]]
    assert found.overall["sad"].n == 3
    assert not (one / "prototypes.json").exists()
    assert main([str(one), str(one), "--output", str(tmp_path / "x.json")]) == 1
    assert "[corpus-repeated]" in capsys.readouterr().err


@pytest.mark.parametrize("axis", range(3))
def test_a_flipped_axis_is_said_and_an_agreeing_one_not(tmp_path: Path, axis: int) -> None:
    rows = [*around(CENTRES), *around(CENTRES, flipped=[axis])]
    corpora = ["one"] * 8 + ["two"] * 8
    found = fit_prototypes([write_data_dir(tmp_path / "flipped", rows, corpora=corpora)])
    (warning,) = found.warnings
    assert warning.startswith(f"{AXES[axis]} looks turned round between one and two")
    assert "correlate at -1.00" in warning
    same = [*around(CENTRES), *around(CENTRES)]
    assert fit_prototypes([write_data_dir(tmp_path / "s", same, corpora=corpora)]).warnings == ()


def test_two_shared_classes_say_nothing_of_polarity_and_synonyms_are_shared(
    tmp_path: Path,
) -> None:
    two = {label: CENTRES[label] for label in NAMES[:2]}
    rows = [*around(CENTRES), *around(two, flipped=[1])]
    folder = write_data_dir(tmp_path / "few", rows, corpora=["one"] * 8 + ["two"] * 4)
    assert fit_prototypes([folder]).warnings == ()
    one = write_data_dir(tmp_path / "1", around(CENTRES), "one")
    other = dict(zip(("neu", "joy", "sadness", "anger"), CENTRES.values(), strict=True))
    splits = {
        "train": [
            Utterance(f"u{i}", text="x", emotion=k, **dict(zip(AXES, v, strict=True)))
            for i, (k, v) in enumerate(around(other, flipped=[1]))
        ]
    }
    write_corpus(tmp_path / "2", Corpus("two", labels={"emotion": tuple(other)}), splits)
    found = fit_prototypes([one, tmp_path / "2"])
    assert [w.split(" ")[0] for w in found.warnings] == ["arousal"]
    assert found.labels == (*NAMES, *other)


def test_a_column_written_twice_is_said(tmp_path: Path) -> None:
    twice = [(label, (v, a, a)) for label, (v, a, _) in around(CENTRES)]
    (warning,) = fit_prototypes([write_data_dir(tmp_path / "a", twice)]).warnings
    assert warning.startswith("train: dominance repeats arousal in 100.0% of the rows")
    nearly = twice * 25
    nearly[0] = (nearly[0][0], (0.5, 0.3, 0.4))
    (warning,) = fit_prototypes([write_data_dir(tmp_path / "b", nearly)]).warnings
    assert "repeats arousal in 99.5% of the rows" in warning  # 199 of 200
    often = [(label, (v, a, a if i % 20 else 0.5)) for i, (label, (v, a, _)) in enumerate(nearly)]
    assert fit_prototypes([write_data_dir(tmp_path / "c", often)]).warnings == ()
    # Rows differ, and the prototypes do not: what a script does that prints one mean twice.
    means = [
        (label, (v, a, a + step)) for label, (v, a, _) in CENTRES.items() for step in (-0.05, 0.05)
    ]
    (warning,) = fit_prototypes([write_data_dir(tmp_path / "d", means)]).warnings
    assert "dominance repeats arousal in the prototypes of all classes" in warning


def test_each_corpus_is_checked_by_itself(tmp_path: Path) -> None:
    twice = [(label, (v, a, a)) for label, (v, a, _) in around(CENTRES)]
    rows = [*around(CENTRES), *twice]
    folder = write_data_dir(tmp_path, rows, corpora=["one"] * 8 + ["two"] * 8)
    assert [w for w in fit_prototypes([folder]).warnings if "repeats" in w] == [
        "two: dominance repeats arousal in 100.0% of the rows: one column may be written twice"
    ]


def test_a_constant_axis_is_said(tmp_path: Path) -> None:
    rows = [(label, (v, a, 0.5)) for label, (v, a, _) in around(CENTRES)]
    (warning,) = fit_prototypes([write_data_dir(tmp_path, rows)]).warnings
    assert warning.startswith("train: dominance is 0.5 in every row")


def test_what_cannot_be_fitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    none = write_data_dir(tmp_path / "none", [("sad", (0.5, None, 0.5)), (None, (0.1, 0.1, 0.1))])
    assert main([str(none)]) == 1
    assert "[vad-missing]" in capsys.readouterr().err
    assert main([str(none), "--label", "sentiment"]) == 1
    assert "[labels-missing]" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 1
    assert "no corpus.yaml" in capsys.readouterr().err
    assert not (none / "prototypes.json").exists()
    text = (none / "train.tsv").read_text()
    (none / "train.tsv").write_text(text.replace("\tsad\t", "\tblue\t"))
    assert main([str(none)]) == 1
    assert "[label-unknown]" in capsys.readouterr().err


# --- The file -------------------------------------------------------------------------------------


def test_the_file_round_trips(tmp_path: Path) -> None:
    made = some_prototypes()
    write_prototypes(tmp_path / "p.json", made)
    assert read_prototypes(tmp_path / "p.json") == made


def test_what_is_asked_for_comes_in_that_order(caplog: pytest.LogCaptureFixture) -> None:
    made = some_prototypes()
    assert made.array(["sad", "happy"])[:, 0].tolist() == [0.1, 0.8]
    found = made.array(["angry", "joy", "bored"], "two")
    assert np.isnan(found[[0, 2]]).all()
    assert found[1].tolist() == [0.8, 0.6, 0.4]  # joy is happy's other name
    assert made.missing(["angry", "joy", "bored"], "two") == ["angry", "bored"]
    assert made.array([]).shape == (0, 3)
    with raises("corpus-unknown"):
        made.array(["sad"], "six")


def test_a_known_label_without_a_prototype_takes_no_others() -> None:
    made = some_prototypes(labels=(*NAMES, "joy"))
    assert made.missing(["joy", "happiness"]) == ["joy", "happiness"]  # the latter could be either


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["labels"], None, "labels is missing"),
        (["labels"], [], "labels is [] where a length from 1 up"),
        (["labels"], ["sad", "sad"], "named twice"),
        (["labels"], "sad", "labels is 'sad' where a list is expected"),
        (["labels"], ["sad"], "a prototype of happy, none of sad"),
        (["split"], "valid", "split: it is 'valid', not train"),
        (
            ["axes"],
            ["arousal", "valence", "dominance"],
            "axes: they are arousal, valence, dominance, and not valence, arousal",
        ),
        (["label"], "mood", "label: it is 'mood', not emotion or sentiment"),
        (["statistic"], "mode", "statistic: it is 'mode'"),
        (["all"], None, "all is missing"),
        (
            ["all", "prototypes", "sad", "valence"],
            3.2,
            "all.prototypes.sad.valence is 3.2 where a number up to 1",
        ),
        (
            ["all", "prototypes", "sad", "arousal"],
            -0.1,
            "sad.arousal is -0.1 where",
        ),
        (
            ["all", "prototypes", "sad", "arousal"],
            NAN,
            "sad.arousal is nan, which",
        ),
        (["all", "prototypes", "sad", "arousal"], "0.1", "sad.arousal is '0.1' where a number is"),
        (["all", "prototypes", "sad", "dominance"], None, "sad.dominance is missing"),
        (["all", "prototypes", "sad", "n"], 1.5, "sad.n is 1.5 where a whole number"),
        (["all", "prototypes", "sad"], 5, "all.prototypes.sad is 5 where a mapping"),
        (
            ["corpus", "prototypes", "one", "sad", "valence"],
            float("inf"),
            "corpus.prototypes.one.sad.valence is inf, which",
        ),
        (["corpus", "prototypes"], [], "corpus.prototypes is [] where a mapping"),
        (["all", "difficulty_quantiles", "0.9"], 2.0, "all.difficulty_quantiles.0.9 is 2.0 where"),
    ],
)
def test_a_bad_file_is_named_with_its_remedy(
    tmp_path: Path, path: list[str], value: Any, message: str
) -> None:
    file = tmp_path / "p.json"
    write_prototypes(file, some_prototypes())
    document = json.loads(file.read_text())
    place = document
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    file.write_text(json.dumps(document))
    with pytest.raises(ManifestError) as caught:
        read_prototypes(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)
    assert str(caught.value).endswith(
        "; write it again: python -m data_prep.fit_prototypes DATA_DIR"
    )


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"null", b"\xff\xfe{}", b"{}"])
def test_no_prototypes_at_all(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "p.json"
    for _ in range(2):
        with pytest.raises(ManifestError, match="write it again"):
            read_prototypes(file)
        file.write_bytes(raw)


def test_bad_prototypes_are_not_written(tmp_path: Path) -> None:
    write_prototypes(tmp_path / "p.json", some_prototypes())
    before = (tmp_path / "p.json").read_bytes()
    bad = some_prototypes(overall={"sad": Centroid(NAN, 0.1, 0.1, 1, 0.0)})
    with pytest.raises(ManifestError, match=r"sad\.valence is nan .*; nothing is written"):
        write_prototypes(tmp_path / "p.json", bad)
    assert (tmp_path / "p.json").read_bytes() == before


# --- The published ones ---------------------------------------------------------------------------


def test_published_values_come_with_their_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = published_prototypes()
    assert "repeat arousal in the dominance column" in caplog.text
    assert "MSP-Improv" in found.warnings[0]
    order = ["anger", "neu", "joy", "sadness"]
    expected = [
        [0.2397, 0.6102, 0.6102],
        [0.4896, 0.5458, 0.5458],
        [0.7127, 0.5518, 0.5518],
        [0.3060, 0.4895, 0.4895],
    ]
    assert found.array(order).tolist() == expected
    assert found.missing([*order, "fear", "excited"]) == ["fear", "excited"]
    assert all(arousal == dominance for _, arousal, dominance in PUBLISHED.values())


def test_synonyms() -> None:
    classes = [
        ("angry", "anger", "ang", "Anger"),
        ("happy", "joy", "happiness", "hap"),
        ("sad", "sadness"),
        ("neutral", "neu"),
    ]
    for names in classes:
        assert {canonical_label(name) for name in names} == {names[0]}
    assert canonical_label("excited") == "excited"
    for one, other in itertools.combinations(classes, 2):
        assert not set(one) & set(other)


def test_the_toy_corpus(tmp_path: Path) -> None:
    prepare_toy(tmp_path, n_train=80, n_valid=4, n_test=4)
    assert main([str(tmp_path)]) == 0
    found = read_prototypes(tmp_path / "prototypes.json")
    assert found.warnings == ()
    assert found.labels == read_corpus(tmp_path).labels["emotion"]
    for name, (positive, high) in QUADRANTS.items():
        center = [0.75 if positive else 0.25, 0.75 if high else 0.25, DOMINANCE[name]]
        assert found.array([name])[0] == pytest.approx(
            center, abs=0.06
        )  # 0.07 / sqrt(20), 3.8 times
    assert 0.05 < found.quantiles["all"]["0.5"] < 0.15
