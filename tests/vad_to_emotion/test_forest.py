"""The forest, and its file."""

import importlib
import pickle
import zipfile

import numpy as np
import pytest
import sklearn
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from data_prep.schema import AXES
from emo_fairseq.errors import UsageError
from emo_fairseq.vad_to_emotion.forest import (
    Design,
    fit_forest,
    read_forest,
    write_forest,
)

LABELS = ("sad", "never", "angry", "happy")
ABOUT = {"corpus": "c", "fitted_on": "x", "regressor": {}}
skops = importlib.import_module("skops.io")


def data(n=120):
    rng = np.random.default_rng(0)
    emotions = np.array([0, 2, 3])[rng.integers(0, 3, n)]
    return np.clip(emotions[:, None] / 4 + rng.normal(0, 0.15, (n, 3)), 0, 1), emotions


def fitted(**design):
    vad, emotions = data()
    return fit_forest(vad, emotions, LABELS, Design(trees=12, **design), ABOUT)


def test_it_is_scikit_learns_with_columns_in_the_corpus_order():
    vad, emotions = data()
    found = fitted(seed=4).probabilities(vad)
    model = RandomForestClassifier(12, random_state=4).fit(vad, np.array(LABELS)[emotions])
    order = [list(model.classes_).index(name) for name in ("sad", "angry", "happy")]
    assert np.array_equal(found[:, [0, 2, 3]], model.predict_proba(vad)[:, order])
    assert not found[:, 1].any()  # which no row had
    assert np.array_equal(found, fitted(seed=4).probabilities(vad))
    assert not np.array_equal(found, fitted(seed=5).probabilities(vad))


def test_class_weights_act():
    vad, emotions = data()
    few = (emotions != 3) | (np.arange(len(vad)) % 8 == 0)
    shares = [
        fit_forest(vad[few], emotions[few], LABELS, Design(50, 1, weight, 8), {})
        .probabilities(vad)[:, 3]
        .mean()
        for weight in ("none", "balanced")
    ]
    assert shares[1] > shares[0] + 0.05


def test_file_round_trip(tmp_path):
    forest, (vad, _) = fitted(class_weight="balanced"), data()
    write_forest(forest, tmp_path / "forest.skops")
    read = read_forest(tmp_path / "forest.skops")
    assert np.array_equal(read.probabilities(vad), forest.probabilities(vad))
    assert (read.labels, read.axes, read.design) == (LABELS, AXES, forest.design)
    assert read.about["rows_by_label"]["never"] == 0


def content(forest, **changed):
    return {
        "format": 1,
        "model": forest.model,
        "labels": list(LABELS),
        "axes": list(AXES),
        "scale": [0.0, 1.0],
        "sklearn": sklearn.__version__,
        "about": dict(forest.about),
        **changed,
    }


def test_axes_go_by_name(tmp_path):
    vad, emotions = data()
    turned = RandomForestClassifier(12, random_state=1).fit(vad[:, ::-1], emotions)
    axes = list(AXES[::-1])
    skops.dump(content(fitted(), model=turned, axes=axes), tmp_path / "turned.skops")
    found = read_forest(tmp_path / "turned.skops").probabilities(vad)
    assert np.array_equal(found[:, [0, 2, 3]], turned.predict_proba(vad[:, ::-1]))


class Unknown:
    """A type that nobody trusts."""


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"about": {"x": Unknown()}}, "holds types that no forest of ours has .*Unknown"),
        ({"model": LogisticRegression()}, "its model is not what `fit` writes"),
        ({"format": 2}, "not a forest of this project, format 1"),
        ({"axes": ["valence", "arousal", "power"]}, "its list of axes is not"),
        ({"labels": ["sad", "angry"]}, "its list of labels is not"),
        ({"scale": [1.0, 5.0]}, "its scale is not"),
        ({"labels": ["sad", "sad", "angry", "happy"]}, "its list of labels is not"),
        ({"labels": 5}, "cannot be read as a forest"),
        ({"about": {"design": {}}}, "its record of where it is from is not"),
        ({"about": {**ABOUT, "design": {"trees": 0}}}, "--trees 0"),
        ({"about": {**ABOUT, "design": {"x": 1}}}, "cannot be read as a forest"),
        ({"about": {**ABOUT, "design": {"trees": 11}}}, "its number of trees is not"),
    ],
)
def test_other_content_is_refused(tmp_path, changed, match):
    skops.dump(content(fitted(), **changed), tmp_path / "f.skops")
    with pytest.raises(UsageError, match=match):
        read_forest(tmp_path / "f.skops")


@pytest.mark.parametrize("field", ["left_child", "right_child", "feature"])
def test_trees_that_point_outside_are_refused(tmp_path, field):
    """scikit-learn would read whatever lies there."""
    forest = fitted()
    tree = forest.model.estimators_[3].tree_
    state = tree.__getstate__()
    state["nodes"][field][0] = 10**6
    tree.__setstate__(state)
    write_forest(forest, tmp_path / "f.skops")
    with pytest.raises(UsageError, match="its tree is not what `fit` writes"):
        read_forest(tmp_path / "f.skops")


def spoil(what):
    forest = fitted()
    model = forest.model
    tree = model.estimators_[3]
    state = tree.tree_.__getstate__()
    if what in ("nan", "negative"):
        state["values"][0] = np.nan if what == "nan" else -1
    elif what == "threshold":
        state["nodes"]["threshold"][0] = np.nan
    tree.tree_.__setstate__(state)
    if what == "classes":
        model.classes_ = np.array([0, 2, 2])
    elif what == "outputs":
        tree.n_outputs_ = 3
    elif what == "kind":
        model.estimators_[3] = LogisticRegression()
    elif what == "none":
        del model.estimators_
    return forest


@pytest.mark.parametrize(
    "what", ["nan", "negative", "threshold", "classes", "outputs", "kind", "none"]
)
def test_damaged_trees_are_refused(tmp_path, what):
    write_forest(spoil(what), tmp_path / "f.skops")
    with pytest.raises(UsageError, match="fit the forest again|fit it again"):
        read_forest(tmp_path / "f.skops")


def test_flipped_bytes_are_refused_or_change_nothing(tmp_path):
    """A damaged file is told in a sentence; what is read answers as the whole one does."""
    file, damaged = tmp_path / "f.skops", tmp_path / "damaged.skops"
    forest, (vad, _) = fitted(), data()
    write_forest(forest, file)
    content, rng = file.read_bytes(), np.random.default_rng(3)
    refused = 0
    for place, flip in zip(
        rng.integers(len(content), size=150), rng.integers(1, 256, size=150), strict=True
    ):
        flipped = bytearray(content)
        flipped[place] ^= int(flip)
        damaged.write_bytes(flipped)
        try:
            read = read_forest(damaged)
        except UsageError:
            refused += 1
        else:
            assert np.array_equal(read.probabilities(vad), forest.probabilities(vad))
    assert refused > 75


def test_nesting_without_end(tmp_path):
    file = tmp_path / "f.skops"
    node = '{"__class__":"list","__module__":"builtins","__loader__":"ListNode","__id__":1,'
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("schema.json", (node + '"protocol":0,"content":[') * 3000 + "]}" * 3000)
    with pytest.raises(UsageError, match="cannot be read as a forest .RecursionError"):
        read_forest(file)


def test_another_version_is_said(tmp_path, caplog):
    skops.dump(content(fitted(), sklearn="0.1"), tmp_path / "f.skops")
    read_forest(tmp_path / "f.skops")
    assert f"fitted with scikit-learn 0.1, read with {sklearn.__version__}" in caplog.text


def test_what_is_no_forest(tmp_path):
    file = tmp_path / "f.skops"
    with pytest.raises(UsageError, match="no such file"):
        read_forest(file)
    file.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UsageError, match="cannot be read as a forest"):
        read_forest(file)


def test_impossible_designs():
    for design in ({"trees": 0}, {"min_samples_leaf": 0}, {"seed": -1}, {"class_weight": "x"}):
        with pytest.raises(UsageError, match="--"):
            Design(**design).check()
    with pytest.raises(UsageError, match="1 emotions among 3 rows"):
        fit_forest(np.zeros((3, 3)), np.zeros(3, dtype=np.int64), LABELS, Design(), {})
