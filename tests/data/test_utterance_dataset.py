"""Nested batches of a split, and the order in which its rows fall into batches."""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from codes import raises
from token_folders import tokens_of

from data_prep.schema import Utterance, read_manifest
from data_prep.tokens.folder import TOKENIZER_FILE
from data_prep.tokens.text_tokenizers import load_text_tokenizer

SPEECH_FIELDS = {"waveform": ("waveform",), "log_mel": ("frames",), "tokens": ("tokens",)}


def loaded(make_task: Any, data: Path, split: str, **options: Any) -> tuple[Any, Any]:
    task = make_task(data, **options)
    task.load_dataset(split)
    return task, task.dataset(split)


def rows_of(data: Path, split: str) -> list[Utterance]:
    return read_manifest(data / f"{split}.tsv")


def batches_of(task: Any, dataset: Any, *, epoch: int = 1, **options: Any) -> list[Any]:
    """What fairseq-train and fairseq-validate ask the task for."""
    options = {"required_batch_size_multiple": 8, "seed": 1, "epoch": epoch, **options}
    iterator = task.get_batch_iterator(dataset, **options)
    return list(iterator.next_epoch_itr(shuffle=dataset.shuffle))


@pytest.mark.parametrize("speech_input", SPEECH_FIELDS)
def test_a_batch_is_nested(
    toy_corpus: Path, make_task: Any, collate_rows: Any, speech_input: str
) -> None:
    _, dataset = loaded(make_task, toy_corpus, "valid", speech_input=speech_input)
    batch = collate_rows(dataset, [0, 3, 5])
    assert batch.keys() == {
        "id",
        "utterance_id",
        "nsentences",
        "ntokens",
        "split",
        "net_input",
        "target",
    }
    assert batch["id"].tolist() == [0, 3, 5]
    assert (batch["nsentences"], batch["ntokens"], batch["split"]) == (3, 3, "valid")
    assert list(batch["net_input"]) == ["text", "speech"]
    assert batch["target"].dtype == torch.long
    assert batch["target"].shape == (3,)
    for modality, fields in (("text", ("tokens",)), ("speech", SPEECH_FIELDS[speech_input])):
        part = batch["net_input"][modality]
        assert part.keys() == {*fields, "padding_mask", "present"}
        mask = part["padding_mask"]
        lengths = (~mask).sum(dim=1)
        assert part[fields[0]].shape[:2] == mask.shape == (3, int(lengths.max()))
        assert (mask == (torch.arange(mask.size(1)) >= lengths[:, None])).all()
        assert part["present"].all()


@pytest.mark.parametrize("speech_input", ["waveform", "log_mel"])
def test_sizes_are_the_real_lengths(
    toy_corpus: Path, make_task: Any, collate_rows: Any, speech_input: str
) -> None:
    _, dataset = loaded(make_task, toy_corpus, "valid", modality="A", speech_input=speech_input)
    masks = [
        collate_rows(dataset, [row])["net_input"]["speech"]["padding_mask"]
        for row in range(len(dataset))
    ]
    assert [mask.size(1) for mask in masks] == dataset.sizes[0].tolist()
    assert not any(mask.any() for mask in masks)


def test_names_and_truth_belong_to_the_row(toy_corpus: Path, make_task: Any) -> None:
    task, dataset = loaded(make_task, toy_corpus, "test", modality="text")
    rows = rows_of(toy_corpus, "test")
    (batch,) = batches_of(task, dataset, max_sentences=64)
    by_id = {row.id: row for row in rows}
    for name, label in zip(batch["utterance_id"], batch["target"].tolist(), strict=True):
        assert task.labels[label] == by_id[name].emotion


def test_tokens_belong_to_the_row(toy_corpus: Path, make_task: Any) -> None:
    task, dataset = loaded(make_task, toy_corpus, "test", modality="text")
    tokenizer = load_text_tokenizer(tokens_of(toy_corpus))
    texts = {row.id: row.text for row in rows_of(toy_corpus, "test")}
    (batch,) = batches_of(task, dataset, max_sentences=64)
    for name, tokens in zip(
        batch["utterance_id"], batch["net_input"]["text"]["tokens"], strict=True
    ):
        assert tokenizer.decode(tokens) == texts[name]


def test_truth_of_several_axes(toy_corpus: Path, make_task: Any, collate_rows: Any) -> None:
    _, dataset = loaded(make_task, toy_corpus, "valid", modality="text", target="vad")
    batch = collate_rows(dataset, [0, 1])
    assert batch["target"].shape == (2, 3)
    assert batch["target"].dtype == torch.float64, "fairseq halves float32 under --fp16"


def test_an_empty_batch_is_empty(toy_corpus: Path, make_task: Any) -> None:
    """What a rank gets that has no share of the last batches."""
    _, dataset = loaded(make_task, toy_corpus, "valid", modality="text")
    assert dataset.collater([]) == {}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("batch_size", [1, 3, 7, 8, 64])
def test_every_utterance_comes_exactly_once(
    toy_corpus: Path, make_task: Any, split: str, batch_size: int
) -> None:
    task, dataset = loaded(make_task, toy_corpus, split, speech_input="tokens")
    batches = batches_of(task, dataset, max_sentences=batch_size)
    seen = Counter(name for batch in batches for name in batch["utterance_id"])
    assert seen == Counter(row.id for row in rows_of(toy_corpus, split))
    assert max(batch["nsentences"] for batch in batches) <= batch_size


def test_every_utterance_comes_to_exactly_one_of_two_ranks(
    toy_corpus: Path, make_task: Any
) -> None:
    task, dataset = loaded(make_task, toy_corpus, "test", modality="text")
    names: Counter[str] = Counter()
    for rank in range(2):
        share = {"num_shards": 2, "shard_id": rank, "disable_iterator_cache": True}
        for batch in batches_of(task, dataset, max_sentences=5, **share):
            names.update(batch.get("utterance_id", []))
    assert names == Counter(row.id for row in rows_of(toy_corpus, "test"))


def test_max_tokens_limits_batches_and_skips_nothing(toy_corpus: Path, make_task: Any) -> None:
    """fairseq-train passes --max-tokens as the longest utterance it may keep, too."""
    task, dataset = loaded(make_task, toy_corpus, "train", speech_input="tokens")
    longest = int(np.max(dataset.sizes))
    limit = 2 * longest
    batches = batches_of(task, dataset, max_tokens=limit, max_positions=limit)
    assert sum(batch["nsentences"] for batch in batches) == len(dataset)
    for batch in batches:
        widths = [part["tokens"].size(1) for part in batch["net_input"].values()]
        assert batch["nsentences"] * max(widths) <= limit


@pytest.mark.parametrize("options", [{"modality": "text"}, {"speech_input": "tokens"}])
def test_max_tokens_below_the_longest_utterance_are_refused(
    toy_corpus: Path, make_task: Any, options: dict[str, Any]
) -> None:
    task, dataset = loaded(make_task, toy_corpus, "train", **options)
    limit = int(np.max(dataset.sizes)) - 1
    with raises("max-tokens-too-small") as error:
        batches_of(task, dataset, max_tokens=limit, max_positions=limit)
    assert str(limit + 1) in str(error.value)


def compositions(task: Any, dataset: Any, n_epochs: int) -> list[list[frozenset[str]]]:
    iterator = task.get_batch_iterator(dataset, max_sentences=4, seed=1, epoch=1)
    return [
        [frozenset(batch["utterance_id"]) for batch in iterator.next_epoch_itr(shuffle=True)]
        for _ in range(n_epochs)
    ]


def test_training_batches_are_composed_anew_every_epoch(toy_corpus: Path, make_task: Any) -> None:
    task, dataset = loaded(make_task, toy_corpus, "train", modality="speech", speech_input="tokens")
    first, second = compositions(task, dataset, 2)
    assert first != second, "the order of batches"
    assert set(first) != set(second), "what is in a batch"


def test_a_resumed_epoch_has_the_batches_of_an_uninterrupted_one(
    toy_corpus: Path, make_task: Any
) -> None:
    options = {"modality": "speech", "speech_input": "tokens"}
    _, _, third = compositions(*loaded(make_task, toy_corpus, "train", **options), 3)
    task, dataset = loaded(make_task, toy_corpus, "train", **options)
    resumed = [
        frozenset(b["utterance_id"]) for b in batches_of(task, dataset, epoch=3, max_sentences=4)
    ]
    assert resumed == third


def test_scoring_goes_from_the_longest_to_the_shortest(toy_corpus: Path, make_task: Any) -> None:
    _, dataset = loaded(make_task, toy_corpus, "test", speech_input="waveform")
    speech = dataset.sizes[0]
    assert speech.max() > 5000, "samples, the size that costs most, come first"
    assert (np.diff(speech[dataset.ordered_indices()]) <= 0).all()


def test_rows_lacking_a_modality_are_masked_and_those_lacking_all_left_out(
    toy_corpus: Path, copy_toy: Callable[..., Path], make_task: Any, collate_rows: Any
) -> None:
    def mute(split: str, rows: list[Utterance]) -> list[Utterance]:
        rows[0] = replace(rows[0], audio=None, n_samples=None)
        rows[1] = replace(rows[1], text=None)
        rows[2] = replace(rows[2], text=None, audio=None, n_samples=None)
        rows[3] = replace(rows[3], emotion=None)
        return rows

    data = copy_toy(mute)
    (data / "text").unlink()
    shutil.copytree(toy_corpus / "text", data / "text")
    (tokens_of(data) / TOKENIZER_FILE).unlink()  # it vouches for the texts of the original
    _, dataset = loaded(make_task, data, "valid")
    names = [row.id for row in rows_of(data, "valid")]
    batch = collate_rows(dataset, range(len(dataset)))
    assert batch["utterance_id"] == [*names[:2], *names[4:]]
    assert batch["net_input"]["text"]["present"].tolist() == [True, False, *[True] * 4]
    assert batch["net_input"]["speech"]["present"].tolist() == [False, *[True] * 5]
    lengths = (~batch["net_input"]["speech"]["padding_mask"]).sum(dim=1)
    assert dataset.sizes[0].tolist() == lengths.tolist(), "of the rows that are left"
