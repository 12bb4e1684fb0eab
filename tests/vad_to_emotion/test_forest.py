"""The forest, and its file."""

import importlib
import pickle
import zipfile

import numpy as np
import pytest
import sklearn
from codes import raises
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from data_prep.schema import AXES
from emo_fairseq.errors import UsageError
from emo_fairseq.vad_to_emotion.design import Design
from emo_fairseq.vad_to_emotion.forest import fit_forest, read_forest, write_forest

LABELS = ("sad", "never", "angry", "happy")
ABOUT = {"corpus": "c", "fitted_on": "x", "regressor": {}}


def skops_dump(content, file):
    importlib.import_module("skops.io").dump(content, file)  # which takes seconds to import


def data(n=120):
    rng = np.random.default_rng(0)
    emotions = np.array([0, 2, 3])[rng.integers(0, 3, n)]
    return np.clip(emotions[:, None] / 4 + rng.normal(0, 0.15, (n, 3)), 0, 1), emotions


def fitted(**design):
    vad, emotions = data()
    return fit_forest(vad, emotions, LABELS, Design(trees=12, **design), ABOUT)


def test_it_is_scikit_learns_with_columns_in_the_corpus_order():
    vad, emotions = data()
    probabilities = fitted(seed=4).probabilities(vad)
    model = RandomForestClassifier(12, random_state=4).fit(vad, np.array(LABELS)[emotions])
    order = [list(model.classes_).index(name) for name in ("sad", "angry", "happy")]
    assert np.array_equal(probabilities[:, [0, 2, 3]], model.predict_proba(vad)[:, order])
    assert not probabilities[:, 1].any()  # the label of no row
    assert np.array_equal(probabilities, fitted(seed=4).probabilities(vad))
    assert not np.array_equal(probabilities, fitted(seed=5).probabilities(vad))


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
    skops_dump(content(fitted(), model=turned, axes=axes), tmp_path / "turned.skops")
    found = read_forest(tmp_path / "turned.skops").probabilities(vad)
    assert np.array_equal(found[:, [0, 2, 3]], turned.predict_proba(vad[:, ::-1]))


class Unknown:
    """A type that skops does not trust."""


@pytest.mark.parametrize(
    ("changed", "code", "part"),
    [
        ({"about": {"x": Unknown()}}, "forest-untrusted", "Unknown"),
        ({"model": LogisticRegression()}, "forest-invalid", "its model"),
        ({"format": 2}, "forest-format", "format 1"),
        ({"axes": ["valence", "arousal", "power"]}, "forest-invalid", "axes"),
        ({"labels": ["sad", "angry"]}, "forest-invalid", "labels"),
        ({"scale": [1.0, 5.0]}, "forest-invalid", "scale"),
        ({"labels": ["sad", "sad", "angry", "happy"]}, "forest-invalid", "labels"),
        ({"labels": 5}, "forest-unreadable", "TypeError"),
        ({"about": {"design": {}}}, "forest-invalid", "record"),
        ({"about": {**ABOUT, "design": {"trees": 0}}}, "forest-design-invalid", "--trees 0"),
        ({"about": {**ABOUT, "design": {"x": 1}}}, "forest-unreadable", "TypeError"),
        ({"about": {**ABOUT, "design": {"trees": 11}}}, "forest-invalid", "number of trees"),
    ],
)
def test_other_content_is_refused(tmp_path, changed, code, part):
    skops_dump(content(fitted(), **changed), tmp_path / "f.skops")
    with raises(code) as error:
        read_forest(tmp_path / "f.skops")
    assert part in str(error.value)


@pytest.mark.parametrize("field", ["left_child", "right_child", "feature"])
def test_trees_that_point_outside_are_refused(tmp_path, field):
    """scikit-learn would read memory outside of the tree."""
    forest = fitted()
    tree = forest.model.estimators_[3].tree_
    state = tree.__getstate__()
    state["nodes"][field][0] = 10**6
    tree.__setstate__(state)
    write_forest(forest, tmp_path / "f.skops")
    with raises("forest-invalid"):
        read_forest(tmp_path / "f.skops")


def damage(kind):
    forest = fitted()
    model = forest.model
    tree = model.estimators_[3]
    state = tree.tree_.__getstate__()
    if kind in ("nan", "negative"):
        state["values"][0] = np.nan if kind == "nan" else -1
    elif kind == "threshold":
        state["nodes"]["threshold"][0] = np.nan
    tree.tree_.__setstate__(state)
    if kind == "classes":
        model.classes_ = np.array([0, 2, 2])
    elif kind == "outputs":
        tree.n_outputs_ = 3
    elif kind == "kind":
        model.estimators_[3] = LogisticRegression()
    elif kind == "none":
        del model.estimators_
    return forest


@pytest.mark.parametrize(
    "kind", ["nan", "negative", "threshold", "classes", "outputs", "kind", "none"]
)
def test_damaged_trees_are_refused(tmp_path, kind):
    write_forest(damage(kind), tmp_path / "f.skops")
    with pytest.raises(UsageError) as error:
        read_forest(tmp_path / "f.skops")
    assert error.value.code in ("forest-invalid", "forest-unreadable")


def test_flipped_bytes_are_refused_or_change_nothing(tmp_path):
    """A forest that can be read predicts as the undamaged one does."""
    file, damaged = tmp_path / "f.skops", tmp_path / "damaged.skops"
    forest, (vad, _) = fitted(), data()
    write_forest(forest, file)
    content, rng = file.read_bytes(), np.random.default_rng(3)
    refused = 0
    for position, flip in zip(
        rng.integers(len(content), size=150), rng.integers(1, 256, size=150), strict=True
    ):
        flipped = bytearray(content)
        flipped[position] ^= int(flip)
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
    with raises("forest-unreadable"):
        read_forest(file)


def test_another_version_is_warned_of(tmp_path, caplog):
    skops_dump(content(fitted(), sklearn="0.1"), tmp_path / "f.skops")
    read_forest(tmp_path / "f.skops")
    assert f"fitted with scikit-learn 0.1, read with {sklearn.__version__}" in caplog.text


def test_files_that_are_no_forest(tmp_path):
    file = tmp_path / "f.skops"
    with raises("forest-missing"):
        read_forest(file)
    file.write_bytes(pickle.dumps({"a": 1}))
    with raises("forest-unreadable"):
        read_forest(file)


def test_designs_out_of_range():
    for design in ({"trees": 0}, {"min_samples_leaf": 0}, {"seed": -1}, {"class_weight": "x"}):
        with raises("forest-design-invalid"):
            Design(**design).check()
    with raises("forest-too-few-emotions"):
        fit_forest(np.zeros((3, 3)), np.zeros(3, dtype=np.int64), LABELS, Design(), {})
