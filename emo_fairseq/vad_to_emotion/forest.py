"""A random forest from valence, arousal and dominance to K emotions, and its file.

The file is written by skops, so that reading it runs no code: it holds scikit-learn's forest and
plain values that describe it. Types that skops does not trust are refused, but for that of the
trees, whose nodes are checked before use.
"""

import importlib
import logging
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from data_prep.files.replacing import replacing
from data_prep.schema import AXES
from emo_fairseq.errors import UsageError
from emo_fairseq.vad_to_emotion.design import Design

RECORD = "provenance"  # key in `about` of the rows that a forest was fitted on


@dataclass(frozen=True, eq=False)
class Forest:
    """A fitted forest.

    Attributes:
        model: scikit-learn's; its classes are ids of `labels`.
        labels: K emotions in the corpus's order.
        axes: the order of the model's features.
        about: what it was fitted on and how, as plain values.
    """

    model: Any
    labels: tuple[str, ...]
    axes: tuple[str, ...]
    about: Mapping[str, Any]

    @property
    def design(self) -> Design:
        """The hyperparameters that it was fitted with."""
        return Design(**self.about["design"])

    def probabilities(self, vad: np.ndarray) -> np.ndarray:
        """Predict emotions.

        Args:
            vad: (N, 3) in [0, 1], axes in the order of `AXES`, none missing.

        Returns:
            (N, K) float64 in the order of `labels`; 0 for a label that no training row had.
        """
        columns = [AXES.index(axis) for axis in self.axes]
        probabilities = np.zeros((len(vad), len(self.labels)))
        probabilities[:, self.model.classes_] = self.model.predict_proba(vad[:, columns])
        return probabilities


def fit_forest(
    vad: np.ndarray,
    emotions: np.ndarray,
    labels: Sequence[str],
    design: Design,
    about: Mapping[str, Any],
) -> Forest:
    """Fit a forest; the same rows and design give the same one.

    Args:
        vad: (N, 3) in [0, 1], axes in the order of `AXES`, none missing.
        emotions: (N,) ids of `labels`.
        labels: K names.
        design: see :class:`Design`.
        about: plain values to keep with it.

    Raises:
        UsageError: a design out of range, or fewer than two emotions in the rows.
    """
    design.check()
    if len(present := np.unique(emotions)) < 2:
        raise UsageError(
            f"{len(present)} emotions among {len(emotions)} rows: two are needed; fit more rows",
            "forest-too-few-emotions",
        )
    model = RandomForestClassifier(
        n_estimators=design.trees,
        class_weight=None if design.class_weight == "none" else design.class_weight,
        min_samples_leaf=design.min_samples_leaf,
        random_state=design.seed,
        n_jobs=1,  # several would add probabilities up in an order that varies
    ).fit(vad, emotions)
    counts = np.bincount(emotions, minlength=len(labels)).tolist()
    facts = {
        **about,
        "design": asdict(design),
        "rows": len(emotions),
        "rows_by_label": dict(zip(labels, counts, strict=True)),
    }
    return Forest(model, tuple(labels), AXES, facts)


# --- The file -------------------------------------------------------------------------------------

FORMAT = 1
# The nodes of a tree. A malicious file could point outside of them: see `_is_sound`.
ALLOWED = ("sklearn.tree._tree.Tree",)
_NO_CHILD = -1
_KEYS = {"format", "model", "labels", "axes", "scale", "sklearn", "about"}
_ABOUT = {"corpus", "fitted_on", "regressor", "design"}
# What zip, skops, numpy and scikit-learn raise of damaged files.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ImportError,
    RuntimeError,
    MemoryError,
    ArithmeticError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)

logger = logging.getLogger(__name__)


def write_forest(forest: Forest, file: Path) -> None:
    """Write a forest atomically."""
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
    """Load a forest that :func:`write_forest` wrote; warn of another version of scikit-learn.

    Raises:
        UsageError: no such file, a file of another format, a type in it that is not trusted, or
            trees whose nodes point outside of them.
    """
    skops = _skops()
    if not file.is_file():
        raise UsageError(
            f"{file}: there is no such file; fit one: python -m emo_fairseq.vad_to_emotion fit",
            "forest-missing",
        )
    content = file.read_bytes()  # once: what is checked is what is loaded
    try:
        untrusted = set(skops.get_untrusted_types(data=content)) - set(ALLOWED)
        if untrusted:
            raise UsageError(
                f"{file}: holds types that no forest has ({', '.join(sorted(untrusted))}); "
                "a file that may run code on loading is not loaded: fit the forest again",
                "forest-untrusted",
            )
        return _checked(file, skops.loads(content, trusted=list(ALLOWED)))
    except UsageError:
        raise
    except _UNREADABLE as error:
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UsageError(
            f"{file}: cannot be read as a forest ({problem}); fit it again", "forest-unreadable"
        ) from error


def _checked(file: Path, content: Any) -> Forest:
    has_keys = isinstance(content, dict) and content.keys() >= _KEYS
    if not has_keys or content["format"] != FORMAT:
        raise UsageError(
            f"{file}: not a forest of this project, format {FORMAT}; fit it again", "forest-format"
        )
    model, labels, axes = content["model"], tuple(content["labels"]), tuple(content["axes"])
    problem = _problem(model, labels, axes) or _trees_problem(model, content["about"])
    if problem := problem or ("scale" if content["scale"] != [0.0, 1.0] else ""):
        raise UsageError(
            f"{file}: its {problem} is not what `fit` writes; fit the forest again",
            "forest-invalid",
        )
    if content["sklearn"] != sklearn.__version__:
        logger.warning(
            "%s: fitted with scikit-learn %s, read with %s: check its metrics, or fit it again",
            file,
            content["sklearn"],
            sklearn.__version__,
        )
    return Forest(model, labels, axes, content["about"])


def _problem(model: Any, labels: tuple[str, ...], axes: tuple[str, ...]) -> str:
    """Which part of the forest is invalid; empty if none is."""
    if type(model) is not RandomForestClassifier or model.n_features_in_ != len(AXES):
        return "model"
    if sorted(axes) != sorted(AXES):
        return "list of axes"
    if len(set(labels)) != len(labels) or not all(isinstance(name, str) for name in labels):
        return "list of labels"
    classes = np.asarray(model.classes_)
    if classes.dtype.kind != "i" or not ((classes >= 0) & (classes < len(labels))).all():
        return "list of labels"
    if classes.ndim != 1 or len(np.unique(classes)) != len(classes) or not _is_of(model, classes):
        return "list of labels"
    return ""


def _trees_problem(model: Any, about: Any) -> str:
    """The same of its trees and their design; a `UsageError` for a design out of range."""
    if not (isinstance(about, dict) and about.keys() >= _ABOUT):
        return "record of where it is from"
    if not isinstance(about["regressor"], Mapping):
        return "record of where it is from"
    design = Design(**about["design"])
    design.check()
    if not len(model.estimators_) == model.n_estimators == design.trees:
        return "number of trees"
    for tree in model.estimators_:
        if type(tree) is not DecisionTreeClassifier or tree.n_features_in_ != len(AXES):
            return "tree"
        if not (_is_of(tree, model.classes_) and _is_sound(tree.tree_, len(model.classes_))):
            return "tree"
    return ""


def _is_of(model: Any, classes: np.ndarray) -> bool:
    """Whether a forest or a tree has these classes as its one output."""
    return bool(model.n_outputs_ == 1 and model.n_classes_ == len(classes))


def _is_sound(tree: Any, n_classes: int) -> bool:
    """Whether every node leads to later ones or is a leaf, and splits an axis that exists."""
    n, node = tree.node_count, np.arange(tree.node_count)
    left, right, axis = tree.children_left, tree.children_right, tree.feature
    is_leaf = left == _NO_CHILD
    inner = ~is_leaf
    children_later = all(((child > node) & (child < n))[inner].all() for child in (left, right))
    axes_exist = ((axis >= 0) & (axis < len(AXES)))[inner].all()
    leaves_end = (right == _NO_CHILD)[is_leaf].all()
    if tree.value.shape != (n, 1, n_classes) or not np.isfinite(tree.threshold).all():
        return False
    values_valid = (np.isfinite(tree.value) & (tree.value >= 0)).all()
    return bool(n and children_later and axes_exist and leaves_end and values_valid)


def _skops() -> Any:
    try:
        return importlib.import_module("skops.io")
    except ImportError as error:
        raise UsageError(
            'forests are kept by the library skops: `pip install -e ".[forest]"`', "package-missing"
        ) from error
