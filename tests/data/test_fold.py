"""``--fold``: train, valid and test are sets of one split on disk."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from codes import raises
from token_folders import tokens_of

from data_prep.commands.fit_prototypes import main
from data_prep.features.stored import write_split
from data_prep.folds.file import FOLDS_FOLDER, read_base
from data_prep.manifest.provenance import provenance_path
from data_prep.schema import SPLITS, read_manifest
from data_prep.tokens.folder import TOKENIZER_FILE
from emo_fairseq.data.fold import read_fold
from emo_fairseq.errors import UsageError

PROTOCOL = "by_speaker"  # of no known name: held to its unit alone, not to dialogues


@pytest.fixture
def folded(copy_toy: Callable[..., Path]) -> Path:
    """The toy's train split as the whole: each speaker once the test, the next one valid."""
    data = copy_toy()
    for kind in ("text", "speech"):  # as tokenizers that are taken as they are
        whole = (data / kind).resolve()
        (data / kind).unlink()
        shutil.copytree(whole, data / kind)
        file = tokens_of(data, kind) / TOKENIZER_FILE
        card = yaml.safe_load(file.read_text())
        del card["settings"]["fitted_on"]
        file.write_text(yaml.safe_dump(card))
    rows = read_manifest(data / "train.tsv")
    speakers = sorted({str(row.speaker) for row in rows})
    folds = {}
    for number, speaker in enumerate(speakers):
        dev = speakers[(number + 1) % len(speakers)]
        sets: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
        for row in rows:
            name = {speaker: "test", dev: "valid"}.get(str(row.speaker), "train")
            sets[name].append(row.id)
        folds[str(number + 1)] = sets
    file = data / FOLDS_FOLDER / f"{PROTOCOL}.json"
    file.parent.mkdir()
    content = {"protocol": PROTOCOL, "unit": "speaker", "seed": 1, "base": "train", "folds": folds}
    file.write_text(json.dumps(content))
    return data


def sets_of(data: Path, fold: str) -> dict[str, list[str]]:
    return json.loads((data / FOLDS_FOLDER / f"{PROTOCOL}.json").read_text())["folds"][fold]


@pytest.mark.parametrize("speech_input", ["waveform", "log_mel", "tokens"])
def test_a_set_has_its_rows_and_their_inputs(
    folded: Path, make_task: Any, speech_input: str
) -> None:
    plain = make_task(folded, speech_input=speech_input)
    plain.load_dataset("train")
    task = make_task(folded, speech_input=speech_input, fold=f"{PROTOCOL}/3")
    if speech_input == "log_mel":  # they are normalized by what is trained on
        statistics = plain.task_state.frame_statistics
        task.task_state = replace(task.task_state, frame_statistics=statistics)
    whole = plain.dataset("train")
    place = {name: row for row, name in enumerate(whole.utterance_ids)}
    for split, ids in sets_of(folded, "3").items():
        task.load_dataset(split)
        dataset = task.dataset(split)
        assert sorted(dataset.utterance_ids) == sorted(ids)
        for row, name in enumerate(dataset.utterance_ids):
            one, other = dataset[row], whole[place[name]]
            assert one["target"] == other["target"]
            for modality in ("text", "speech"):
                key = f"net_input.{modality}"
                torch.testing.assert_close(one[key][0], other[key][0])
        sizes = [size[[place[name] for name in dataset.utterance_ids]] for size in whole.sizes]
        assert all(map(np.array_equal, dataset.sizes, sizes))


@pytest.mark.parametrize("speech", ["waveform", "log_mel", "tokens", "features:mine"])
def test_a_fold_of_several_splits_reads_the_inputs_of_each(
    folded: Path, make_task: Any, speech: str
) -> None:
    """Each row has the input and the truth that it has without folds, in whichever split it is."""
    is_stored = speech.startswith("features:")
    inputs = {"speech_encoder": speech} if is_stored else {"speech_input": speech}
    rows = {split: read_manifest(folded / f"{split}.tsv") for split in SPLITS}
    for split, of_split in rows.items() if is_stored else ():
        frames = [np.full((1 + n % 2, 3), len(split) + n, np.float32) for n in range(len(of_split))]
        settings = {"dtype": "float32", "modality": "speech"}
        write_split(folded / "features" / "mine", split, of_split, frames, settings, "x")
    everyone = [row.id for of_split in rows.values() for row in of_split]
    sets = {split: everyone[number::3] for number, split in enumerate(SPLITS)}
    content = {"protocol": "mixed", "unit": "row", "seed": 1, "base": list(SPLITS)}
    (folded / FOLDS_FOLDER / "mixed.json").write_text(json.dumps({**content, "folds": {"1": sets}}))
    plain = make_task(folded, **inputs)
    task = make_task(folded, **inputs, fold="mixed/1")
    assert task.class_counts != plain.class_counts
    statistics = plain.task_state.frame_statistics
    task.task_state = replace(task.task_state, frame_statistics=statistics)
    items = {}
    for split in SPLITS:
        plain.load_dataset(split)
        items |= dict(zip(plain.dataset(split).utterance_ids, plain.dataset(split), strict=True))
    for split, ids in sets.items():
        task.load_dataset(split)
        dataset = task.dataset(split)
        assert sorted(dataset.utterance_ids) == sorted(ids)
        for row, name in enumerate(dataset.utterance_ids):
            assert dataset[row]["target"] == items[name]["target"]
            for modality in ("text", "speech"):
                key = f"net_input.{modality}"
                torch.testing.assert_close(dataset[row][key][0], items[name][key][0])


def test_an_id_of_two_splits_that_a_fold_joins_is_refused(folded: Path) -> None:
    (folded / "valid.tsv").write_text((folded / "train.tsv").read_text())
    with raises("id-duplicate") as error:
        read_base(folded, ["train", "valid"])
    assert "valid.tsv" in str(error.value)


def test_counts_and_statistics_are_of_the_train_set_alone(folded: Path, make_task: Any) -> None:
    task = make_task(folded, speech_input="log_mel", fold=f"{PROTOCOL}/1")
    rows = {row.id: row for row in read_manifest(folded / "train.tsv")}
    emotions = [rows[name].emotion for name in sets_of(folded, "1")["train"]]
    assert task.class_counts == [emotions.count(label) for label in task.labels]
    other = make_task(folded, speech_input="log_mel", fold=f"{PROTOCOL}/3")
    assert task.state.frame_statistics != other.state.frame_statistics


def test_classes_that_a_set_lacks_are_warned_of(
    folded: Path, make_task: Any, caplog: pytest.LogCaptureFixture
) -> None:
    task = make_task(folded, modality="text", fold=f"{PROTOCOL}/1")
    rows = {row.id: row for row in read_manifest(folded / "train.tsv")}
    lacking = 0
    for split in ("valid", "test"):
        there = {rows[name].emotion for name in sets_of(folded, "1")[split]}
        for label in set(task.labels) - there:
            lacking += 1
            warning = rf"in train, and not in {split}, where its recall is undefined: .*'{label}'"
            assert re.search(warning, caplog.text)
    assert lacking


def test_context_does_not_cross_the_sets(
    folded: Path, make_task: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """One dialogue through all rows: a turn's neighbors are those of its own set."""
    lines = (folded / "train.tsv").read_text().splitlines()
    header = lines[0].split("\t")
    changed = [lines[0]]
    for turn, line in enumerate(lines[1:]):
        cells = line.split("\t")
        cells[header.index("dialogue")], cells[header.index("turn")] = "one", str(turn)
        changed.append("\t".join(cells))
    (folded / "train.tsv").write_text("\n".join(changed) + "\n")
    options = {"modality": "text", "context_past": 1}
    task = make_task(folded, fold=f"{PROTOCOL}/1", **options)
    task.load_dataset("test")
    tested = set(sets_of(folded, "1")["test"])
    order = [row.id in tested for row in read_manifest(folded / "train.tsv")]
    n_hidden = sum(own and not before for before, own in pairwise(order))
    assert n_hidden > 0
    assert (
        f"{n_hidden} rows of test have neighboring turns in another set of the fold" in caplog.text
    )
    caplog.clear()
    alone = make_task(folded, modality="text", fold=f"{PROTOCOL}/1")
    alone.load_dataset("test")
    assert "another set of the fold" not in caplog.text
    dataset, single = task.dataset("test"), alone.dataset("test")
    for row in range(1, len(dataset)):
        tokens = dataset[row]["net_input.text"][0].tolist()
        before, own = (single[n]["net_input.text"][0].tolist() for n in (row - 1, row))
        assert tokens == before + own[1:]


@pytest.mark.parametrize(
    ("limit", "options"),
    [
        ("truncated at --max-text-tokens", {"modality": "text", "max_text_tokens": 3}),
        (
            "context truncated at --max-text-tokens",
            {"modality": "text", "max_text_tokens": 3, "context_past": 1},
        ),
        (
            "truncated at --max-speech-seconds",
            {"modality": "speech", "speech_input": "waveform", "max_speech_seconds": 0.1},
        ),
        (
            "speech truncated at --max-frames",
            {"modality": "speech", "speech_encoder": "features:loud", "max_frames": 2},
        ),
    ],
)
def test_each_set_counts_what_is_cut_of_its_own_rows(
    folded: Path,
    make_task: Any,
    caplog: pytest.LogCaptureFixture,
    limit: str,
    options: dict[str, Any],
) -> None:
    rows = read_manifest(folded / "train.tsv")
    frames = [np.ones((3, 2), np.float32) for _ in rows]
    write_split(folded / "features/loud", "train", rows, frames, {"dtype": "float32"}, "made up")
    task = make_task(folded, fold=f"{PROTOCOL}/1", **options)
    for split, ids in sets_of(folded, "1").items():
        task.load_dataset(split)  # which the statistics of the train set have read before
        of_set = [line for line in caplog.messages if limit in line and ids[0] in line]
        assert len(of_set) == 1
        assert f" {len(ids)} rows " in of_set[0]
    assert sum(limit in line for line in caplog.messages) == len(sets_of(folded, "1"))


@pytest.mark.parametrize(
    ("fold", "code"),
    [
        ("nothing/1", "folds-missing"),
        (f"{PROTOCOL}/9", "fold-unknown"),
        (PROTOCOL, "fold-unknown"),
    ],
)
def test_an_unknown_fold_is_refused(folded: Path, fold: str, code: str) -> None:
    with raises(code) as error:
        read_fold(folded, fold)
    assert ("1, 2, 3" if code == "fold-unknown" else PROTOCOL) in str(error.value)


def test_a_row_that_the_manifest_lacks_is_refused(folded: Path, make_task: Any) -> None:
    file = folded / FOLDS_FOLDER / f"{PROTOCOL}.json"
    content = json.loads(file.read_text())
    content["folds"]["1"]["train"].append("nobody")
    file.write_text(json.dumps(content))
    with raises("folds-invalid") as error:
        make_task(folded, modality="text", fold=f"{PROTOCOL}/1")
    assert "nobody" in str(error.value)


def test_prototypes_of_a_fold_are_of_its_train_set(folded: Path, make_task: Any) -> None:
    fold = f"{PROTOCOL}/1"
    task = make_task(folded, modality="text", fold=fold)
    with raises("prototypes-missing") as error:
        task.class_prototypes.require("v1")
    assert f"--fold {fold}`" in str(error.value)
    assert main([str(folded), "--fold", fold]) == 0
    task.class_prototypes.require("v1")
    rows = {row.id: row for row in read_manifest(folded / "train.tsv")}
    trained = [rows[name] for name in sets_of(folded, "1")["train"]]
    for label, (valence, _, _) in zip(task.labels, task.class_prototypes.values[0], strict=True):
        values = [row.valence for row in trained if row.emotion == label]
        assert float(valence) == pytest.approx(np.mean(values), abs=1e-6)


def test_prototypes_of_other_rows_are_refused(folded: Path, make_task: Any) -> None:
    assert main([str(folded)]) == 0
    file = folded / "prototypes.json"
    task = make_task(folded, modality="text", fold=f"{PROTOCOL}/1", prototypes=str(file))
    with raises("leak-held-out-rows"):
        task.class_prototypes.require("v1")
    provenance_path(file).unlink()
    with pytest.raises(UsageError, match="fitted on the train split, which holds rows that --fold"):
        task.class_prototypes.require("v1")


def test_a_tokenizer_that_was_fitted_on_all_folds_is_refused(
    folded: Path, toy_corpus: Path, make_task: Any
) -> None:
    shutil.copy(tokens_of(toy_corpus) / TOKENIZER_FILE, tokens_of(folded) / TOKENIZER_FILE)
    with raises("leak-held-out-rows"):
        make_task(folded, modality="text", fold=f"{PROTOCOL}/1")


def test_a_tokenizer_fitted_on_other_rows_than_a_fold_holds_out_is_taken(
    folded: Path, toy_corpus: Path, make_task: Any
) -> None:
    """Folds of the test split, a tokenizer of the train split; then another train split."""
    shutil.copy(tokens_of(toy_corpus) / TOKENIZER_FILE, tokens_of(folded) / TOKENIZER_FILE)
    ids = [row.id for row in read_manifest(folded / "test.tsv")]
    file = folded / FOLDS_FOLDER / f"{PROTOCOL}.json"
    sets = {"train": ids[4:], "valid": ids[:2], "test": ids[2:4]}
    file.write_text(
        json.dumps(
            json.loads(file.read_text()) | {"base": "test", "unit": "row", "folds": {"1": sets}}
        )
    )
    task = make_task(folded, modality="text", fold=f"{PROTOCOL}/1")
    seen = {(part.split, part.fold): len(part.hashes) for part in task.provenance().seen}
    assert seen["train", None] == 32, "the rows of the tokenizer"
    assert seen["train", f"{PROTOCOL}/1"] == len(ids) - 4, "the model's own"
    lines = (folded / "train.tsv").read_text().splitlines()
    (folded / "train.tsv").write_text("\n".join(lines[:-1]) + "\n")
    with raises("tokenizer-outdated"):
        make_task(folded, modality="text", fold=f"{PROTOCOL}/1")


def test_the_state_names_the_fold_and_another_one_is_not_scored(
    folded: Path, make_task: Any
) -> None:
    state = make_task(folded, modality="text", fold=f"{PROTOCOL}/1").state_dict()
    assert state["fold"] == f"{PROTOCOL}/1"
    for fold, is_seen in ((f"{PROTOCOL}/1", False), (f"{PROTOCOL}/3", True)):
        scored = make_task(folded, modality="text", fold=fold, from_checkpoint=True)
        scored.load_state_dict(state)
        scored.load_dataset("train")
        if not is_seen:
            scored.load_dataset("test")
            continue
        with pytest.raises(UsageError, match=r"test: the model was trained on \d+ of"):
            scored.load_dataset("test")
