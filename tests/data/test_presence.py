"""Which modalities rows have, and rows that are made to lack one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_prep.schema import read_manifest
from emo_fairseq.data.utterance_dataset import presence_cases
from emo_fairseq.errors import UsageError


def test_cases_name_the_modalities_of_each_row() -> None:
    present = {
        "text": np.array([True, False, True]),
        "speech": np.array([True, True, False]),
    }
    assert presence_cases(present) == ["text+speech", "speech", "text"]


def test_there_are_no_cases_where_all_rows_are_alike() -> None:
    assert presence_cases({"text": np.ones(3, bool), "speech": np.zeros(3, bool)}) is None


def test_a_masked_modality_is_missing_in_every_row(
    toy_corpus: Path, make_task: Callable[..., Any], make_model: Callable[..., Any]
) -> None:
    """And is neither read nor encoded."""
    task = make_task(toy_corpus, speech_input="tokens", mask_modality="speech")
    task.load_dataset("valid")
    dataset = task.dataset("valid")
    batch = dataset.collater([dataset[n] for n in range(4)])
    assert "case" not in batch
    inputs = batch["net_input"]
    assert inputs["speech"].keys() == {"present"}
    assert not inputs["speech"]["present"].any()
    assert inputs["text"]["present"].all()
    model = make_model(task)
    masked = model(**inputs).logits
    whole = make_task(toy_corpus, speech_input="tokens")
    whole.load_dataset("valid")
    heard = whole.dataset("valid").collater([whole.dataset("valid")[n] for n in range(4)])
    batch = heard["net_input"]
    assert not torch.allclose(model(**batch).logits, masked, atol=1e-4)
    batch["speech"]["present"][:] = False
    torch.testing.assert_close(model(**batch).logits, masked, atol=1e-6, rtol=0)


def test_batches_of_mixed_rows_name_their_cases(
    copy_toy: Callable[..., Path], make_task: Callable[..., Any]
) -> None:
    data = copy_toy(
        lambda split, rows: [
            replace(row, audio=None, n_samples=None) if number % 2 else row
            for number, row in enumerate(rows)
        ]
    )
    (data / "speech").unlink()
    task = make_task(data, speech_input="waveform")
    task.load_dataset("valid")
    dataset = task.dataset("valid")
    batch = dataset.collater([dataset[0], dataset[1], dataset[3]])
    assert batch["case"] == ["text+speech", "text", "text"]
    assert batch["cases"] == ["text", "text+speech"]


def test_the_train_split_is_scored_without_a_modality(
    toy_corpus: Path, copy_toy: Callable[..., Path], make_task: Callable[..., Any]
) -> None:
    """Because it is masked, or because the rows of another corpus have none."""
    texts = copy_toy(lambda split, rows: [replace(row, audio=None, n_samples=None) for row in rows])
    (texts / "speech").unlink()
    state = make_task(toy_corpus, speech_input="waveform").state_dict()
    for data, options in ((toy_corpus, {"mask_modality": "speech"}), (texts, {})):
        scored = make_task(data, from_checkpoint=True, speech_input="waveform", **options)
        scored.load_state_dict(state)
        scored.load_dataset("train")
        dataset = scored.dataset("train")
        assert len(dataset) == len(read_manifest(data / "train.tsv"))
        batch = dataset.collater([dataset[0], dataset[1]])["net_input"]
        assert batch["text"]["present"].all()
        assert not batch["speech"]["present"].any()


def test_training_sees_every_modality(
    toy_corpus: Path, copy_toy: Callable[..., Path], make_task: Callable[..., Any]
) -> None:
    with pytest.raises(UsageError, match="--mask-modality speech: leave it out in training"):
        make_task(toy_corpus, speech_input="waveform", mask_modality="speech").load_dataset("train")
    texts = copy_toy(lambda split, rows: [replace(row, audio=None, n_samples=None) for row in rows])
    with pytest.raises(UsageError, match="no row has speech; leave it out of --modality"):
        make_task(texts, speech_input="waveform").load_dataset("train")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modality": "text", "mask_modality": "speech"}, "the model reads text; mask some"),
        ({"mask_modality": "T+A"}, "mask some of these, and not all"),
        ({"mask_modality": "smell"}, "not understood"),
    ],
)
def test_a_mask_that_cannot_be_is_refused(
    toy_corpus: Path, make_task: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    task = make_task(toy_corpus, **options)
    with pytest.raises(UsageError, match=message):
        task.load_dataset("valid")
