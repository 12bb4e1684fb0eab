"""Forests on disk, by skops: a file that runs no code when it is read.

The file holds scikit-learn's forest and plain values that say what it is. Types that skops does not
trust are refused, but for the one of the allow-list, whose content is checked before it is used.
"""

import importlib
import logging
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.ensemble import RandomForestClassifier

from data_prep.files.replacing import replacing
from data_prep.schema import AXES
from emo_fairseq.errors import UsageError
from emo_fairseq.vad_to_emotion.forest import Forest

FORMAT = 1
# The nodes of a tree. A malicious file could point outside of them: see `_check_tree`.
ALLOWED = ("sklearn.tree._tree.Tree",)
_NO_CHILD = -1
_KEYS = {"format", "model", "labels", "axes", "scale", "sklearn", "about"}

logger = logging.getLogger(__name__)


def write_forest(forest: Forest, file: Path) -> None:
    """Write a forest, whole or not at all."""
    content = {
        "format": FORMAT,
        "model": forest.model,
        "labels": list(forest.labels),
        "axes": list(forest.axes),
        "scale": [0.0, 1.0],
        "sklearn": sklearn.__version__,
        "about": dict(forest.about),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as part:
        _skops().dump(content, part, compression=zipfile.ZIP_DEFLATED)


def read_forest(file: Path) -> Forest:
    """Read what :func:`write_forest` wrote.

    A file of another version of scikit-learn is read, and said to be one.

    Raises:
        UsageError: no such file, none of ours, a type in it that is not trusted, or trees whose
            nodes point outside of them.
    """
    skops = _skops()
    if not file.is_file():
        raise UsageError(
            f"{file}: there is no such file; fit one: python -m emo_fairseq.vad_to_emotion fit"
        )
    content = file.read_bytes()  # once: what is checked is what is loaded
    try:
        found = skops.get_untrusted_types(data=content)
        if strange := sorted(set(found) - set(ALLOWED)):
            raise UsageError(
                f"{file}: holds types that no forest of ours has ({', '.join(strange)}); a file "
                "that may run code on loading is not loaded: fit the forest again"
            )
        held = skops.loads(content, trusted=list(ALLOWED))
    except UsageError:
        raise
    except (zipfile.BadZipFile, ValueError, LookupError, TypeError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UsageError(f"{file}: cannot be read as a forest ({what}); fit it again") from error
    return _checked(file, held)


def _checked(file: Path, held: Any) -> Forest:
    known = isinstance(held, dict) and held.keys() >= _KEYS
    if not known or held["format"] != FORMAT:
        raise UsageError(f"{file}: not a forest of this project, format {FORMAT}; fit it again")
    model, labels, axes = held["model"], tuple(held["labels"]), tuple(held["axes"])
    problem = _problem(model, labels, axes) or ("scale" if held["scale"] != [0.0, 1.0] else "")
    if problem:
        raise UsageError(f"{file}: its {problem} is not what `fit` writes; fit the forest again")
    if held["sklearn"] != sklearn.__version__:
        logger.warning(
            "%s: fitted with scikit-learn %s, read with %s: check its figures, or fit it again",
            *(file, held["sklearn"], sklearn.__version__),
        )
    return Forest(model, labels, axes, held["about"])


def _problem(model: Any, labels: tuple[str, ...], axes: tuple[str, ...]) -> str:
    """What is wrong with it, if anything."""
    if type(model) is not RandomForestClassifier or model.n_features_in_ != len(AXES):
        return "model"
    if sorted(axes) != sorted(AXES):
        return "list of axes"
    classes = np.asarray(model.classes_)
    if classes.dtype.kind != "i" or not ((classes >= 0) & (classes < len(labels))).all():
        return "list of labels"
    for tree in model.estimators_:
        if tree.n_features_in_ != len(AXES) or not _is_sound(tree.tree_, len(classes)):
            return "tree"
    return ""


def _is_sound(tree: Any, n_classes: int) -> bool:
    """Whether every node leads to a later one or is a leaf, and asks for an axis that there is."""
    n, node = tree.node_count, np.arange(tree.node_count)
    left, right, axis = tree.children_left, tree.children_right, tree.feature
    is_leaf = left == _NO_CHILD
    inner = ~is_leaf
    leads_on = all(((child > node) & (child < n))[inner].all() for child in (left, right))
    asks = ((axis >= 0) & (axis < len(AXES)))[inner].all()
    ends = (right == _NO_CHILD)[is_leaf].all()
    return bool(n and leads_on and asks and ends and tree.value.shape == (n, 1, n_classes))


def _skops() -> Any:
    try:
        return importlib.import_module("skops.io")
    except ImportError as error:
        raise UsageError(
            'forests are kept by the library skops: `pip install -e ".[forest]"`'
        ) from error
