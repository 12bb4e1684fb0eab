"""The prototypes of a task: which file, which classes, which corpus, and what is kept."""

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from codes import raises
from fairseq.dataclass.utils import merge_with_parent
from omegaconf import OmegaConf

from data_prep.prototypes import (
    PROTOTYPES_FILE,
    read_prototypes,
    write_prototypes,
)
from data_prep.prototypes.fitting import fit_prototypes
from data_prep.schema import Utterance
from emo_fairseq.criterions.registered import EmotionClassificationConfig, EmotionSupConConfig

MakeTask = Callable[..., Any]
CopyToy = Callable[..., Path]


def of_two_corpora(split: str, rows: list[Utterance]) -> Sequence[Utterance]:
    """Every third row from another one, the first of unknown origin."""
    named = [replace(row, corpus="b" if n % 3 else "a") for n, row in enumerate(rows)]
    return [replace(named[0], corpus=None), *named[1:]]


def fit(data: Path, label: str = "emotion", output: str = PROTOTYPES_FILE) -> Path:
    write_prototypes(data / output, fit_prototypes([data], label))
    return data / output


@pytest.fixture
def data(copy_toy: CopyToy) -> Path:
    folder = copy_toy(of_two_corpora)
    fit(folder)
    return folder


def test_the_file_in_the_data_dir_is_read(data: Path, make_task: MakeTask) -> None:
    task = make_task(data, modality="text")
    assert task.class_prototypes.exist()
    task.class_prototypes.require("this test")
    expected = read_prototypes(data / PROTOTYPES_FILE).array(task.labels)
    assert task.class_prototypes.values.shape == (1, 4, 3)
    assert task.class_prototypes.values.is_contiguous()
    np.testing.assert_array_equal(task.class_prototypes.values[0], expected)
    scopes = task.class_prototypes.scopes(task.train_split())
    assert set(scopes.tolist()) == {-1}


def test_another_file_may_be_named(data: Path, make_task: MakeTask) -> None:
    (data / PROTOTYPES_FILE).rename(data / "elsewhere.json")
    assert not make_task(data, modality="text").class_prototypes.exist()
    task = make_task(data, modality="text", prototypes=str(data / "elsewhere.json"))
    assert task.class_prototypes.exist()
    task.class_prototypes.require("this test")
    assert task.class_prototypes.values.shape == (1, 4, 3)


def test_each_row_is_held_against_its_own_corpus(data: Path, make_task: MakeTask) -> None:
    task = make_task(data, modality="text", prototype_scope="corpus")
    task.class_prototypes.require("this test")
    file = read_prototypes(data / PROTOTYPES_FILE)
    rows = task.train_split().utterances
    found = task.class_prototypes.distances(task.train_split())
    for row, distance in zip(rows, found, strict=True):
        own = file.array([row.emotion], row.corpus)[0]
        vad = (row.valence, row.arousal, row.dominance)
        assert distance == pytest.approx(math.dist(vad, own), abs=1e-12)
    assert rows[0].corpus is None


def test_a_corpus_that_the_file_does_not_know_has_the_prototypes_of_all(
    data: Path, make_task: MakeTask
) -> None:
    task = make_task(data, modality="text", prototype_scope="corpus")
    task.class_prototypes.require("this test")
    rows = [replace(row, corpus="another") for row in task.train_split().utterances]
    assert set(task.class_prototypes.scopes(replace(task.train_split(), utterances=rows))) == {-1}


def test_beside_numbers_the_classes_are_emotions(data: Path, make_task: MakeTask) -> None:
    task = make_task(data, modality="text", target="vad")
    task.class_prototypes.require("this test")
    assert task.class_prototypes.classes.names == ["neutral", "happy", "sad", "angry"]
    assert not np.isnan(task.class_prototypes.distances(task.train_split())).any()


def test_mean_difficulties_of_classes_and_quantiles(data: Path, make_task: MakeTask) -> None:
    task = make_task(data, modality="text")
    task.class_prototypes.require("this test")
    split, found = task.train_split(), task.class_prototypes
    distances, ids = found.distances(split), found.classes.ids(split)
    expected = [distances[ids == label].mean() for label in range(4)]
    np.testing.assert_allclose(found.class_means(split), expected)
    assert found.quantile(split, 0.3) == pytest.approx(np.quantile(distances, 0.3))


def test_what_was_derived_stays_when_prototypes_move(data: Path, make_task: MakeTask) -> None:
    task = make_task(data, modality="text")
    found, split = task.class_prototypes, task.train_split()
    found.require("this test")
    before = found.quantile(split, 0.5), found.class_means(split).clone()
    found.values = found.values + 0.2
    assert found.quantile(split, 0.5) == before[0]
    assert torch.equal(found.class_means(split), before[1])
    assert found.quantile(split, 0.4) <= before[0]  # also one that was never asked for before


def test_the_checkpoints_come_first(data: Path, make_task: MakeTask) -> None:
    task = make_task(data, modality="text")
    kept = {"values": torch.full((1, 4, 3), 0.5, dtype=torch.float64), "corpora": []}
    task.state.merge_state_dict({"prototypes": kept})
    (data / PROTOTYPES_FILE).unlink()
    assert task.class_prototypes.exist()
    task.class_prototypes.require("this test")
    assert torch.equal(task.class_prototypes.values, kept["values"])


def test_a_class_without_a_prototype_is_said(
    data: Path, make_task: MakeTask, caplog: pytest.LogCaptureFixture
) -> None:
    document = json.loads((data / PROTOTYPES_FILE).read_text())
    del document["all"]["prototypes"]["sad"]
    (data / PROTOTYPES_FILE).write_text(json.dumps(document))
    task = make_task(data, modality="text")
    with caplog.at_level(logging.WARNING):
        task.class_prototypes.require("this test")
    assert "no prototype of sad: its rows have no difficulty" in caplog.text
    distances = task.class_prototypes.distances(task.train_split())
    sad = task.class_prototypes.classes.ids(task.train_split()) == task.labels.index("sad")
    assert np.isnan(distances[sad]).all()
    assert not np.isnan(distances[~sad]).any()


# -- refusals --------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_named_with_the_remedy(data: Path, make_task: MakeTask) -> None:
    (data / PROTOTYPES_FILE).unlink()
    task = make_task(data, modality="text")
    with raises("prototypes-missing") as error:
        task.class_prototypes.require("--curriculum-order difficulty")
    assert "--curriculum-order difficulty" in str(error.value)
    assert "data_prep.fit_prototypes" in str(error.value)


def test_a_broken_file_is_refused(data: Path, make_task: MakeTask) -> None:
    (data / PROTOTYPES_FILE).write_text("{")
    with raises("document-invalid"):
        make_task(data, modality="text").class_prototypes.require("this test")


def test_prototypes_of_another_column_are_refused(data: Path, make_task: MakeTask) -> None:
    fit(data, label="sentiment")
    task = make_task(data, modality="text")
    assert not task.class_prototypes.exist()
    with raises("prototypes-other"):
        task.class_prototypes.require("this test")


def test_prototypes_of_other_classes_are_refused(data: Path, make_task: MakeTask) -> None:
    document = json.loads((data / PROTOTYPES_FILE).read_text())
    names = {"neutral": "bored", "happy": "elated", "sad": "grieving", "angry": "furious"}
    document["labels"] = list(names.values())
    for scope in (document["all"]["prototypes"], *document["corpus"]["prototypes"].values()):
        for old, new in names.items():
            if old in scope:
                scope[new] = scope.pop(old)
    (data / PROTOTYPES_FILE).write_text(json.dumps(document))
    with raises("prototypes-other"):
        make_task(data, modality="text").class_prototypes.require("this test")


def test_plain_supcon_goes_without_prototypes_of_other_classes(
    data: Path, make_task: MakeTask, caplog: pytest.LogCaptureFixture
) -> None:
    """It would only log difficulties; a file that was asked for is still refused."""
    text = (data / PROTOTYPES_FILE).read_text()
    for old, new in {"neutral": "bored", "happy": "elated", "sad": "grim", "angry": "mad"}.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    (data / PROTOTYPES_FILE).write_text(text)
    supcon = OmegaConf.create({"_name": "emotion_supcon"})
    config = merge_with_parent(EmotionSupConConfig(), supcon)
    task = make_task(data, modality="text")
    (contrastive,) = task.build_criterion(config).terms
    assert contrastive.difficulty is None
    assert "has none of the classes neutral, happy, sad, angry, not used" in caplog.text
    asked = make_task(data, modality="text", prototypes=str(data / PROTOTYPES_FILE))
    with raises("prototypes-other"):
        asked.build_criterion(config)


@pytest.mark.parametrize("options", [{}, {"prototypes": "published"}])
def test_a_file_that_knows_no_corpora_is_refused_for_them(
    options: dict[str, str], copy_toy: CopyToy, make_task: MakeTask
) -> None:
    data = copy_toy()
    fit(data)
    task = make_task(data, modality="text", prototype_scope="corpus", **options)
    with raises("prototypes-corpora-missing"):
        task.class_prototypes.require("this test")


def test_a_split_without_any_difficulty_is_refused(data: Path, make_task: MakeTask) -> None:
    task = make_task(data, modality="text")
    task.class_prototypes.require("this test")
    task.class_prototypes.check_measured(task.train_split(), "this test")
    rows = [replace(row, arousal=None) for row in task.train_split().utterances]
    unmeasured = replace(task.train_split(), utterances=rows)
    with raises("difficulty-unknown"):
        task.class_prototypes.check_measured(unmeasured, "this test")


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"prototypes": "published"}, "--prototypes"),
        ({"prototype_scope": "corpus"}, "--prototype-s"),
    ],
)
def test_prototypes_that_nothing_asks_for_are_refused(
    options: dict[str, str], flag: str, data: Path, make_task: MakeTask
) -> None:
    plain = merge_with_parent(
        EmotionClassificationConfig(), OmegaConf.create({"_name": "emotion_classification"})
    )
    with raises("option-idle") as error:
        make_task(data, modality="text", **options).build_criterion(plain)
    assert flag in str(error.value)
    used = make_task(data, modality="text", curriculum_order="difficulty", **options)
    used.build_criterion(plain)


def test_a_criterion_without_prototypes_saves_none(data: Path, make_task: MakeTask) -> None:
    plain = OmegaConf.create({"_name": "emotion_prediction_cri"})
    task = make_task(data, modality="text")
    task.build_criterion(plain)
    assert "prototypes" not in task.state.state_dict
