"""Options of the terms that any criterion may have, and their parameters in a checkpoint."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from codes import raises
from fairseq.logging import metrics as fairseq_metrics
from term_cases import Net, Task, figures, make_rows, plain, step, supcon, write_rows

from emo_fairseq.criterions.registered import EmotionPredictionCriterion, EmotionSupConConfig
from emo_fairseq.criterions.terms.registry import TERMS, build_terms
from emo_fairseq.options.option import rules_of
from emo_fairseq.options.registered import registered_schemas


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("small"), make_rows())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"r_drop_weight": 1.0, "mixup_alpha": 0.2}, "--r-drop-weight and --mixup-alpha"),
        (
            {"mixup_alpha": 0.2, "auxiliary_weighting": "uncertainty"},
            "--auxiliary-weighting uncertainty and --mixup-alpha",
        ),
        (
            {"r_drop_weight": 1.0, "auxiliary_weighting": "uncertainty"},
            "--auxiliary-weighting uncertainty and --r-drop-weight",
        ),
    ],
)
def test_two_terms_that_replace_the_primary_loss_are_refused(
    options: dict[str, Any], named: str, folder: Path
) -> None:
    """Each takes the plain loss out: two would leave it in with a minus sign."""
    task = Task(folder, make_rows(), auxiliary="vad")
    with raises("terms-exclusive") as error:
        plain(task, **options)
    assert str(error.value).startswith(named)


def test_terms_are_built_in_the_order_of_the_registry(folder: Path) -> None:
    task = Task(folder, make_rows(), auxiliary="vad")
    options = {"speaker_adversary_weight": 1.0, "mixup_alpha": 0.2}
    names = [type(term).__name__ for term in supcon(task, **options).terms]
    assert names == ["Contrastive", "AuxiliaryTargets", "SpeakerAdversary", "EmbeddingMixup"]


# What uses each term; those without options are the criterion's own.
USED_BY: dict[str, dict[str, Any]] = {
    "contrastive": {},
    "distillation": {},
    "auxiliary_targets": {},
    "speaker_adversary": {"speaker_adversary_weight": 1.0},
    "corpus_adversary": {"corpus_adversary_weight": 1.0},
    "r_drop": {"r_drop_weight": 1.0},
    "mixup": {"mixup_alpha": 0.2},
    "subspaces": {},
    "prototypical": {"spcl_weight": 1.0},
}


@pytest.mark.parametrize("name", TERMS)
def test_a_term_has_options_of_a_criterion_and_is_used_by_them(name: str, folder: Path) -> None:
    entry = TERMS[name]
    criterions = registered_schemas()["criterion"].values()
    schema: Any = next(one for one in criterions if issubclass(one, entry.options))
    assert rules_of(entry.options).keys() <= rules_of(schema).keys()
    with_auxiliary = Task(folder, make_rows(), auxiliary="vad")
    task = with_auxiliary if name == "auxiliary_targets" else Task(folder, make_rows())
    task.fusion = "misa" if name == "subspaces" else "concat"
    assert entry.is_used(schema(**USED_BY[name]), task)
    if USED_BY[name]:
        assert not entry.is_used(schema(), task)


def test_nothing_is_built_where_nothing_is_trained(folder: Path) -> None:
    task: Any = Task(folder, make_rows(), auxiliary="vad")
    task.is_training = False
    assert build_terms(EmotionSupConConfig(r_drop_weight=1.0), task, EmotionSupConConfig) == []


def test_the_legacy_criterion_has_no_terms_but_those_of_the_task(folder: Path) -> None:
    for auxiliary, expected in ((None, []), ("vad", ["AuxiliaryTargets"])):
        task = Task(folder, make_rows(), auxiliary=auxiliary)
        picked: Any = EmotionPredictionCriterion.build_criterion(None, task)
        assert [type(term).__name__ for term in picked.terms] == expected


ALL = {
    "supcon_weighting": "v1",
    "prototype_learning": "trained",
    "supcon_projection_dim": 3,
    "speaker_adversary_weight": 1.0,
    "auxiliary_weighting": "uncertainty",
}


def test_parameters_of_terms_are_saved_with_the_criterion(folder: Path) -> None:
    task = Task(folder, make_rows(), auxiliary="vad")
    saved = supcon(task, seed=1, **ALL).state_dict()
    for part in ("projection", "difficulty.trained", "adversary", "log_variances.vad"):
        assert any(part in name for name in saved), part
    resumed = supcon(task, seed=2, **ALL)
    assert any(not torch.equal(value, saved[key]) for key, value in resumed.state_dict().items())
    resumed.load_state_dict(saved, strict=True)
    assert all(torch.equal(value, saved[key]) for key, value in resumed.state_dict().items())


def test_a_criterion_without_parameters_saves_nothing(folder: Path) -> None:
    criterion = supcon(Task(folder, make_rows()), r_drop_weight=1.0, supcon_queue=8)
    assert criterion.state_dict() == {}


@pytest.mark.parametrize(
    "other",
    [
        None,
        {"speaker_adversary_weight": 1.0},
        {**ALL, "supcon_projection_dim": 4},
    ],
)
def test_a_checkpoint_of_other_terms_is_refused(other: dict[str, Any] | None, folder: Path) -> None:
    """fairseq saves None for a criterion without parameters."""
    task = Task(folder, make_rows(), auxiliary="vad")
    saved = None
    if other is not None:
        saved = supcon(task, **other).state_dict()
    with raises("terms-other"):
        supcon(task, **ALL).load_state_dict(saved, strict=True)


# -- the log adds up -------------------------------------------------------------------------------

WEIGHED = {
    "speaker adversary": ({"speaker_adversary_weight": 0.3}, {"speaker_adversary_loss": 0.3}),
    "r-drop": ({"r_drop_weight": 3.0}, {"r_drop_loss": 3.0}),
    "auxiliary": (
        {"auxiliary_weights": "vad=0.5", "corpus_adversary_weight": 0.2},
        {"vad_loss": 0.5, "sentiment_loss": 1.0, "corpus_adversary_loss": 0.2},
    ),
    "everything": (
        {
            "speaker_adversary_weight": 0.3,
            "corpus_adversary_weight": 0.2,
            "r_drop_weight": 3.0,
            "auxiliary_weights": "vad=0.5,sentiment=2",
        },
        {
            "speaker_adversary_loss": 0.3,
            "corpus_adversary_loss": 0.2,
            "r_drop_loss": 3.0,
            "vad_loss": 0.5,
            "sentiment_loss": 2.0,
        },
    ),
}


@pytest.mark.parametrize("with_contrastive", [False, True])
@pytest.mark.parametrize("case", WEIGHED)
def test_the_logged_loss_is_the_primary_loss_and_each_weighted_term(
    case: str, with_contrastive: bool, tmp_path: Path
) -> None:
    """All in nats; several batches of different sizes."""
    whole = {"speaker": "speaker1", "corpus": "one", "sentiment": "positive"}
    vad = {"valence": 0.4, "arousal": 0.6, "dominance": 0.5}
    rows = [
        replace(row, **{name: x for name, x in (whole | vad).items() if getattr(row, name) is None})
        for row in make_rows()
    ]
    options, weights = WEIGHED[case]
    task = Task(
        write_rows(tmp_path, rows),
        rows,
        auxiliary="vad,sentiment" if "auxiliary_weights" in options else None,
    )
    if with_contrastive:
        criterion = supcon(task, supcon_weight=0.7, supcon_weighting="v1", **options)
        weights = {**weights, "contrastive_loss": 0.7}
    else:
        criterion = plain(task, **options)
    model, n = Net(task, dropout=0.3), len(task.rows)
    outputs = [
        step(criterion, model, task.batch(range(start, min(n, start + 9))))[2]
        for start in range(0, n, 9)
    ]
    with fairseq_metrics.aggregate(new_root=True) as found:
        criterion.reduce_metrics(outputs)
    terms = figures(outputs, task)
    added = {name: weight * terms[name] for name, weight in weights.items()}
    assert all(value > 0.001 for value in added.values())
    loss = found.get_smoothed_value("loss")
    assert loss == pytest.approx(terms["primary_loss"] + sum(added.values()), abs=1e-4)
