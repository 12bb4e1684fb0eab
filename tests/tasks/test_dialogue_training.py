"""Criterions, terms and outputs on batches of dialogues, against each window by itself."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from codes import raises
from dialogue_corpora import TINY_DIALOGUE, WINDOW, write_dialogues
from fairseq.dataclass.utils import merge_with_parent
from fairseq.logging import metrics
from in_process import TRAIN, words
from omegaconf import OmegaConf
from torch import nn

from data_prep.features.stored import write_split
from data_prep.schema import read_manifest
from emo_fairseq.cli.train.batch_trial import Training
from emo_fairseq.data.curriculum import ORDERS
from emo_fairseq.evaluation import predictions
from emo_fairseq.models.roberta_emo import EmotionOutput
from emo_fairseq.options.registered import registered_schemas
from emo_fairseq.tasks.predicting import predict_rows

SIZES = {
    "text_embed_dim": 16,
    "text_ffn_embed_dim": 16,
    "text_attention_heads": 2,
    "text_encoder_layers": 1,
    "embedding_dim": 16,
    "dialogue_embed_dim": 16,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dialogues(tmp_path_factory.mktemp("dialogues") / "data")


@pytest.fixture
def dialogue_task(make_task: Any, corpus: Path) -> Any:
    def make(**options: Any) -> Any:
        options = {"dialogue_encoder": "gru", "dialogue_window": WINDOW, **options}
        return make_task(corpus, modality="text", **options)

    return make


@pytest.fixture
def dialogue_model(make_model: Any) -> Any:
    def make(task: Any, **options: Any) -> Any:
        model = make_model(task, **SIZES, **options)
        if model.dialogue_encoder is not None:
            nn.init.normal_(model.dialogue_encoder.out_proj.weight)  # begins at 0
        return model

    return make


class WindowByWindow(nn.Module):
    """Slow reference: one call of the model for each scored row, with its window alone."""

    def __init__(self, model: Any, rows: Mapping[int, Mapping[str, Any]]) -> None:
        super().__init__()
        self.model, self.rows = model, rows

    @property
    def head(self) -> nn.Module:
        return self.model.head

    def forward(self, **net_input: Any) -> EmotionOutput:
        outputs = [self.model(**net_input) for net_input in self.rows.values()]
        joined = [torch.cat([output[part] for output in outputs]) for part in (0, 1)]
        auxiliary = {
            name: torch.cat([output.auxiliary[name] for output in outputs])
            for name in outputs[0].auxiliary
        }
        return EmotionOutput(*joined, auxiliary)


CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "classification": ("emotion_classification", {"class_weighting": "inverse_frequency"}, {}),
    "regression": ("emotion_regression", {"regression_loss": "ccc"}, {"target": "vad"}),
    "distribution": ("emotion_classification", {}, {"target": "emotion_distribution"}),
    "contrastive": ("emotion_supcon", {}, {}),
    "contrastive queue": ("emotion_supcon", {"supcon_queue": 6}, {}),
    "r-drop": ("emotion_classification", {"r_drop_weight": 2.0}, {}),
    "mixup": ("emotion_classification", {"mixup_alpha": 0.4}, {}),
    "speaker adversary": ("emotion_classification", {"speaker_adversary_weight": 0.5}, {}),
    "auxiliary": ("emotion_classification", {}, {"auxiliary_targets": "vad"}),
    "transformer": ("emotion_classification", {}, {"dialogue_encoder": "transformer"}),
    "causal": ("emotion_classification", {}, {"dialogue_causal": True}),
    "neighbors joined": ("emotion_classification", {}, {"context_past": 2}),
}


def build_criterion(task: Any, name: str, options: Mapping[str, Any]) -> Any:
    schema = registered_schemas()["criterion"][name]
    config = merge_with_parent(schema(), OmegaConf.create({"_name": name, **options}))
    return task.build_criterion(config)


@pytest.mark.parametrize("case", CASES)
def test_a_loss_is_that_of_each_window_by_itself(
    case: str, dialogue_task: Any, dialogue_model: Any
) -> None:
    name, criterion_options, task_options = CASES[case]
    task = dialogue_task(**task_options)
    model = dialogue_model(task)  # in evaluation: without dropout
    criterion = build_criterion(task, name, criterion_options).train()
    for module in criterion.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    task.load_dataset("train")
    dataset = task.dataset("train")
    rows = [30, 2, 0, 31, 3, 17, 9]
    batch = dataset.collater([dataset[row] for row in rows])
    alone = {row: dataset.collater([dataset[row]])["net_input"] for row in rows}
    found = []
    for scored_by in (model, WindowByWindow(model, alone)):
        torch.manual_seed(3)
        task.embedding_queue.clear()
        loss, size, logged = criterion(scored_by, batch)
        loss.backward()
        gradient = model.dialogue_encoder.out_proj.weight.grad.clone()
        model.zero_grad()
        found.append((loss.detach(), gradient, size, logged["nsentences"]))
    assert float(found[0][0]) == pytest.approx(float(found[1][0]), rel=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-5, rtol=1e-4)
    assert found[0][1].abs().sum() > 0
    assert found[0][2:] == found[1][2:]
    assert found[0][3] == len(rows)


@pytest.mark.parametrize("options", [{}, {"dialogue_encoder": "transformer"}])
def test_an_output_does_not_depend_on_the_batch(
    options: dict[str, Any], dialogue_task: Any, dialogue_model: Any
) -> None:
    task = dialogue_task(**options)
    model = dialogue_model(task).double()
    task.load_dataset("valid")
    dataset = task.dataset("valid")
    rows, found = predict_rows(model, dataset, torch.device("cpu"))
    assert sorted(rows.tolist()) == list(range(len(dataset)))
    alone = [model(**dataset.collater([row])["net_input"]).logits[0] for row in rows.tolist()]
    np.testing.assert_allclose(found, torch.stack(alone).detach().numpy(), atol=1e-10)
    # In another dialogue, or none, a turn is another one.
    singles = [model(**dataset.turns.collater([dataset.turns[row]])["net_input"]) for row in rows]
    single = torch.stack([output.logits[0] for output in singles]).detach().numpy()
    assert (np.abs(found - single).max(axis=1) > 1e-6).mean() > 0.5


def test_rows_without_truth_are_counted_nowhere(dialogue_task: Any, corpus: Path) -> None:
    task = dialogue_task()
    rows = read_manifest(corpus / "train.tsv")
    labeled = [row.id for row in rows if row.emotion is not None]
    assert 0 < len(labeled) < len(rows)
    assert sum(task.class_counts) == len(labeled)
    task.load_dataset("train")
    dataset = task.dataset("train")
    assert dataset.utterance_ids == labeled
    batch = dataset.collater(list(range(len(dataset))))
    assert (batch["target"] >= 0).all()
    assert batch["nsentences"] == len(labeled)
    assert len(batch["net_input"]["text"]["tokens"]) > len(rows)  # in windows that overlap


def test_a_student_of_dialogues_has_the_outputs_of_its_teacher(
    dialogue_task: Any, dialogue_model: Any, corpus: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    rows = [row for row in read_manifest(corpus / "train.tsv") if row.emotion is not None]
    outputs = {row.id: rng.dirichlet(np.ones(3)) for row in rows}
    columns = [f"probability_{label}" for label in ("joy", "anger", "sadness")]
    predictions.write(
        tmp_path / "teacher.tsv",
        [
            {
                "id": row.id,
                "split": "train",
                "truth": row.emotion,
                "prediction": "joy",
                **dict(zip(columns, outputs[row.id], strict=True)),
            }
            for row in rows
        ],
    )
    task = dialogue_task()
    model = dialogue_model(task)
    path = str(tmp_path / "teacher.tsv")
    criterion = build_criterion(task, "emotion_distillation", {"teacher_predictions": path})
    task.load_dataset("train")
    dataset = task.dataset("train")
    batch = dataset.collater([30, 2, 31])
    (taught,) = batch["annotations"].values()
    expected = np.log([outputs[name] for name in batch["utterance_id"]])
    np.testing.assert_allclose(taught.numpy(), expected, atol=1e-5)
    loss, _, logged = criterion.train()(model, batch)
    assert loss.isfinite()
    assert any("distillation_loss" in name for name in logged)


@pytest.mark.parametrize("order", sorted({*ORDERS} - {"none", "model_confidence"}))
def test_every_order_of_a_curriculum(
    order: str, dialogue_task: Any, dialogue_model: Any, corpus: Path, tmp_path: Path
) -> None:
    labeled = [row.id for row in read_manifest(corpus / "train.tsv") if row.emotion is not None]
    (tmp_path / "order.txt").write_text("\n".join(reversed(labeled)))
    options: dict[str, Any] = {"curriculum_order": order, "curriculum_epochs": 2}
    if order == "preset":
        options["curriculum_preset"] = str(tmp_path / "order.txt")
    if "difficulty" in order:
        options["prototypes"] = "published"
    task = dialogue_task(**options)
    dialogue_model(task)
    build_criterion(task, "emotion_classification", {})
    task.load_dataset("train")
    dataset = task.dataset("train")
    for epoch, n_rows in ((1, -(-len(labeled) // 2)), (2, len(labeled))):
        dataset.set_epoch(epoch)
        iterator = task.get_batch_iterator(dataset, max_sentences=20, seed=1, epoch=epoch)
        batches = list(iterator.next_epoch_itr(shuffle=True))
        names = [name for batch in batches for name in batch["utterance_id"]]
        assert len(names) == len({*names}) == n_rows
        assert all(len(batch["net_input"]["text"]["tokens"]) <= 20 for batch in batches)
        if order == "preset":
            assert {*names} == {*labeled[-n_rows:]}


# -- two modalities --------------------------------------------------------------------------------


@pytest.fixture
def with_features(corpus: Path, tmp_path: Path) -> Path:
    """The corpus with features of a second modality, which every third row lacks."""
    folder = tmp_path / "data"
    shutil.copytree(corpus, folder)
    noise = np.random.default_rng(0)
    for split in ("train", "valid", "test"):
        rows = read_manifest(folder / f"{split}.tsv")
        frames = (
            noise.normal(size=(0 if number % 3 == 0 else 2, 4)).astype(np.float32)
            for number in range(len(rows))
        )
        write_split(
            folder / "features" / "faces", split, rows, frames, {"dtype": "float32"}, "content"
        )
    return folder


TWO = {"modality": "text+video", "video_encoder": "features:faces"}


def test_cases_are_those_of_the_scored_turns(
    with_features: Path, make_task: Any, make_model: Any
) -> None:
    task = make_task(with_features, dialogue_encoder="gru", dialogue_window=WINDOW, **TWO)
    model = make_model(task, **SIZES, video_embed_dim=8)
    criterion = build_criterion(task, "emotion_classification", {}).eval()
    task.load_dataset("valid")
    dataset = task.dataset("valid")
    rows = [20, 3, 4, 5, 21]
    batch = dataset.collater(rows)
    assert batch["case"] == ["text" if row % 3 == 0 else "text+video" for row in rows]
    logged = criterion(model, batch)[2]
    assert int(logged["_n@text"]) == sum(row % 3 == 0 for row in rows)
    assert int(logged["_n@text+video"]) == sum(row % 3 > 0 for row in rows)
    masked = make_task(
        with_features,
        dialogue_encoder="gru",
        dialogue_window=WINDOW,
        mask_modality="video",
        **TWO,
    )
    masked.load_dataset("valid")
    other = masked.dataset("valid").collater(rows)
    assert "case" not in other
    assert not other["net_input"]["video"]["present"].any()
    assert len(other["net_input"]["video"]["present"]) == len(batch["net_input"]["text"]["tokens"])
    assert not torch.allclose(
        model(**other["net_input"]).logits, model(**batch["net_input"]).logits
    )


# -- refusals, and folds ---------------------------------------------------------------------------


def test_other_batches_are_refused(dialogue_task: Any, dialogue_model: Any) -> None:
    with raises("option-idle") as error:
        dialogue_model(dialogue_task(batch_sampler="class_balanced"))
    assert "--batch-sampler does not act" in str(error.value)


def test_a_probe_is_refused(dialogue_task: Any) -> None:
    with raises("option-idle") as error:
        dialogue_task(probe=True)
    assert "--dialogue-encoder does not act: --probe" in str(error.value)


def test_turns_of_another_set_of_a_fold_are_left_out(
    corpus: Path, make_task: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(corpus, folder)
    rows = read_manifest(folder / "train.tsv")
    sets: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for row in rows:
        is_first = row.turn is not None and row.turn == 0
        sets["valid" if is_first else "test" if row.turn == 1 else "train"].append(row.id)
    content = {"protocol": "by_turn", "unit": "row", "seed": 1, "base": "train"}
    (folder / "folds").mkdir()
    text = json.dumps({**content, "folds": {"1": sets}})
    (folder / "folds" / "by_turn.json").write_text(text)
    options = {"dialogue_encoder": "gru", "dialogue_window": 2, "dialogue_causal": True}
    task = make_task(folder, modality="text", fold="by_turn/1", allow_leak=True, **options)
    task.load_dataset("train")
    batch = task.dataset("train").collater(list(range(len(task.dataset("train")))))
    assert {*batch["utterance_id"]} <= {*sets["train"]}
    thirds = [row for row in rows if row.turn == 2]
    message = f"{len(thirds)} rows of train have turns around them in another set of the fold"
    assert any(message in one for one in caplog.messages)


def test_the_largest_batch_is_tried_on_whole_windows(corpus: Path, tmp_path: Path) -> None:
    place = f"--data {corpus} --save-dir {tmp_path} --batch-size 8"
    training = Training(words((TRAIN, "--arch robertaEMO_tiny", TINY_DIALOGUE, place)))
    before = [value.clone() for value in training.trainer.model.parameters()]
    with metrics.aggregate(new_root=True):  # apart from what other tests have logged
        training.update(8)
    assert any(
        not torch.equal(one, two)
        for one, two in zip(before, training.trainer.model.parameters(), strict=True)
    )
    batch = training.dataset.collater(training.dataset.largest_batch(8).tolist())
    assert batch["net_input"]["dialogue"]["turns"].shape == (1, WINDOW)
