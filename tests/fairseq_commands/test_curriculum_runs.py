"""Curricula and batch samplers through fairseq-train: which rows are seen, when, and once."""

import json
import math
import re
from collections import Counter
from dataclasses import replace

import pytest
import torch
from extended import all_but
from fairseq_process import assert_one_sentence

from data_prep.commands import fit_prototypes
from data_prep.schema import AXES, read_manifest
from emo_fairseq.data.curriculum import PACINGS
from emo_fairseq.data.samplers import SAMPLERS
from emo_fairseq.evaluation import predictions
from emo_fairseq.tasks.emotion_prediction import EmotionPredictionTask

N_ROWS = 32
TEXT = "--modality text --batch-size 4 --seed 5 --disable-validation --no-save"
CURRICULUM = "--curriculum-epochs 3 --curriculum-order"


@pytest.fixture
def data(copy_toy):
    """The toy corpus, with prototypes fitted by the command."""
    folder = copy_toy()
    assert fit_prototypes.main([str(folder)]) == 0
    return folder


class Seen(list):
    """(epoch, update, ids of the batch, padded text tokens) of each step of a training."""

    def of_epoch(self, epoch):
        return sorted(name for one in self if one[0] == epoch for name in one[2])

    def epochs(self):
        return sorted({one[0] for one in self})


@pytest.fixture
def seen(monkeypatch):
    """What the trainings of this test, in this process, are shown."""
    found = Seen()
    train_step = EmotionPredictionTask.train_step

    def noting(task, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        if not ignore_grad:
            tokens = sample["net_input"]["text"]["tokens"].numel()
            epoch = task.dataset("train").epoch
            found.append((epoch, update_num, sample["utterance_id"], tokens))
        return train_step(task, sample, model, criterion, optimizer, update_num, ignore_grad)

    monkeypatch.setattr(EmotionPredictionTask, "train_step", noting)
    return found


def shares(log):
    """Epoch -> (share, rows) as the log has them."""
    lines = re.findall(r"curriculum: epoch (\d+), .* share ([\d.]+), (\d+) of 32 rows", log)
    return {int(epoch): (float(share), int(rows)) for epoch, share, rows in lines}


# -- pacing and order ------------------------------------------------------------------------------

FOUR_EPOCHS = {
    "linear": {1: (0.25, 8), 2: (0.5, 16), 3: (0.75, 24)},
    "sqrt": {1: (0.5, 16), 2: (0.707, 23), 3: (0.866, 28)},
    "log": {1: (0.431, 14), 2: (0.683, 22), 3: (0.861, 28)},
    "exponential": {1: (0.25, 8), 2: (0.397, 13), 3: (0.63, 21)},
}


def test_every_pacing_has_a_case():
    assert {*FOUR_EPOCHS, "none"} == PACINGS.keys()


@pytest.mark.parametrize("pacing", all_but({"linear"}, FOUR_EPOCHS.keys()))
def test_shares(pacing, fairseq, commands, toy_corpus, seen):
    options = f"--curriculum-order random --curriculum-pacing {pacing} --curriculum-epochs 4"
    log = fairseq(
        "train", commands["train"], f"--data {toy_corpus}", TEXT, options, "--max-epoch 5"
    ).log
    expected = {**FOUR_EPOCHS[pacing], 4: (1.0, N_ROWS), 5: (1.0, N_ROWS)}
    found = shares(log)
    assert {epoch: found[epoch] for epoch in expected} == expected
    before = set()
    for epoch, (_, rows) in expected.items():
        names = seen.of_epoch(epoch)
        assert len(names) == len({*names}) == rows
        assert before <= {*names}
        before = {*names}
    assert seen.epochs() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("order", "sign"), [("difficulty", 1), ("inverse_difficulty", -1)])
def test_by_distance_to_the_prototypes(order, sign, fairseq, commands, data, seen):
    """Easy first, or hard first: the first epochs have the rows that lie nearest, or furthest."""
    centers = json.loads((data / "prototypes.json").read_text())["all"]["prototypes"]

    def distance(row):
        here = [getattr(row, axis) for axis in AXES]
        return math.dist(here, [centers[row.emotion][axis] for axis in AXES])

    rows = sorted(read_manifest(data / "train.tsv"), key=lambda row: sign * distance(row))
    ranked = [row.id for row in rows]
    options = f"{CURRICULUM} {order} --max-epoch 3"
    fairseq("train", commands["train"], f"--data {data}", TEXT, options)
    assert seen.of_epoch(1) == sorted(ranked[:11])
    assert seen.of_epoch(2) == sorted(ranked[:22])
    assert seen.of_epoch(3) == sorted(ranked)


def test_preset(fairseq, commands, toy_corpus, seen, tmp_path):
    names = [row.id for row in read_manifest(toy_corpus / "train.tsv")]
    names = [*names[::-2], *names[-2::-2]]
    (tmp_path / "order.txt").write_text("\n".join(names))
    options = f"{CURRICULUM} preset --curriculum-preset {tmp_path / 'order.txt'} --max-epoch 2"
    fairseq("train", commands["train"], f"--data {toy_corpus}", TEXT, options)
    assert seen.of_epoch(1) == sorted(names[:11])
    assert seen.of_epoch(2) == sorted(names[:22])


def test_model_confidence(fairseq, commands, toy_corpus, seen, tmp_path):
    """The second epoch has what the model of the first one is surest of."""
    train = [commands["train"], f"--data {toy_corpus}", TEXT.replace("--no-save", "")]
    train.append(f"{CURRICULUM} model_confidence --save-dir {tmp_path}")
    fairseq("train", *train, "--max-epoch 1")
    score = f"--path {tmp_path / 'checkpoint_last.pt'} --data {toy_corpus} --valid-subset train"
    save = f"--batch-size 7 --save-predictions {tmp_path / 'predictions.tsv'}"
    fairseq("validate", commands["validate"], score, save)
    fairseq("train", *train, "--max-epoch 2")
    surest = sorted(
        predictions.read(tmp_path / "predictions.tsv"),
        key=lambda row: -float(row[f"probability_{row['truth']}"]),
    )
    assert len(seen.of_epoch(1)) == 11
    assert seen.of_epoch(2) == sorted(row["id"] for row in surest[:22])


# -- batches ---------------------------------------------------------------------------------------


LIMITS = ("--batch-size 4", "--max-tokens 90")
SAMPLED = {f"{name} {limit}": (name, limit) for name in SAMPLERS for limit in LIMITS}
KEPT = {
    "length --max-tokens 90",
    "class_balanced --batch-size 4",
    "speaker_aware --max-tokens 90",
    "speaker_grouped --batch-size 4",
}


@pytest.mark.parametrize(("sampler", "limit"), all_but(KEPT, SAMPLED))
def test_samplers_in_a_curriculum(sampler, limit, fairseq, commands, toy_corpus, seen):
    """Every row of the share in one batch, and no batch above the limit."""
    text = TEXT.replace("--batch-size 4", limit)
    options = f"{CURRICULUM} class_balance --batch-sampler {sampler} --max-epoch 3"
    fairseq("train", commands["train"], f"--data {toy_corpus}", text, options)
    rows = {row.id: row for row in read_manifest(toy_corpus / "train.tsv")}
    for epoch, expected in ((1, 11), (2, 22), (3, N_ROWS)):
        names = seen.of_epoch(epoch)
        assert len(names) == len({*names}) == expected
        counts = Counter(rows[name].emotion for name in names).values()
        assert max(counts) - min(counts) <= 1
    largest = max(len(names) for _, _, names, _ in seen)
    padded = max(tokens for *_, tokens in seen)
    assert (largest == 4) if "batch-size" in limit else (70 < padded <= 90)
    speakers = max(len({rows[name].speaker for name in names}) for _, _, names, _ in seen)
    assert (speakers == 1) == (sampler == "speaker_grouped")


# -- resuming --------------------------------------------------------------------------------------

CHANGED = """--augment-token-dropout 0.2 --augment-gain 6 --augment-time-masks 2
    --augment-time-mask-width 20 --curriculum-final-dropout 0.5"""
RESUMED = {
    "difficulty": f"{CURRICULUM} difficulty --batch-sampler class_balanced",
    "model_confidence": f"{CURRICULUM} model_confidence --batch-sampler speaker_aware",
}


WORKERS = {"difficulty": ("difficulty", 2), "model_confidence": ("model_confidence", 0)}


@pytest.mark.parametrize(("order", "workers"), all_but({"difficulty"}, WORKERS))
def test_resuming(order, workers, fairseq, commands, data, seen, tmp_path):
    """From within an epoch: 3, 6, 8 updates are the epochs of the curriculum, then come all rows.

    A training that is killed leaves the last checkpoint that it wrote.
    """
    train = [commands["train"], f"--data {data} --speech-input log_mel --num-workers {workers}"]
    train += [f"--batch-size 4 --seed 5 --max-update 22 {RESUMED[order]}", CHANGED]
    train.append("--disable-validation")
    whole = tmp_path / "whole"
    log = fairseq("train", *train, f"--save-dir {whole} --save-interval-updates 5").log
    course = list(seen)
    assert [len(seen.of_epoch(epoch)) for epoch in (1, 2, 3)] == [11, 22, N_ROWS]
    assert "epoch 4: dropout changed from 0.1 to 0.5" in log
    for place, start in (("2_5", 5), ("4_20", 20)):
        folder = tmp_path / place
        folder.mkdir()
        (folder / "checkpoint_last.pt").write_bytes((whole / f"checkpoint_{place}.pt").read_bytes())
        seen.clear()
        log = fairseq("train", *train, f"--save-dir {folder}").log
        assert f"@ {start} updates)" in log
        assert list(seen) == [step for step in course if step[1] >= start]
        assert_same_end(whole, folder)


def assert_same_end(whole, resumed):
    one, other = (
        torch.load(folder / "checkpoint_last.pt", weights_only=True) for folder in (whole, resumed)
    )
    assert all(torch.equal(one["model"][key], other["model"][key]) for key in one["model"])
    assert one["optimizer_history"][-1] == other["optimizer_history"][-1]
    assert one["extra_state"]["train_iterator"] == other["extra_state"]["train_iterator"]


# -- ranks -----------------------------------------------------------------------------------------

# A plugin of its own, which writes down what each rank is shown.
NOTING = """
import emo_fairseq
from emo_fairseq.tasks.emotion_prediction import EmotionPredictionTask as Task
from fairseq.distributed import utils

train_step = Task.train_step

def noting(task, sample, model, criterion, optimizer, update_num, ignore_grad=False):
    if not ignore_grad:
        with open(f"rank{utils.get_global_rank()}.txt", "a") as file:
            for name in sample["utterance_id"]:
                print(task.dataset("train").epoch, name, file=file)
    return train_step(task, sample, model, criterion, optimizer, update_num, ignore_grad)

Task.train_step = noting
"""


@pytest.mark.parametrize("order", all_but({"model_confidence"}, RESUMED.keys()))
def test_two_ranks(order, fairseq_process, commands, data, tmp_path):
    """They have the same share, and each row of it once between them."""
    (tmp_path / "noting").mkdir()
    (tmp_path / "noting" / "__init__.py").write_text(NOTING)
    options = f"{TEXT} {RESUMED[order]} --user-dir {tmp_path / 'noting'} --max-epoch 3"
    world = "--distributed-world-size 2 --distributed-no-spawn --distributed-backend gloo"
    world += f" --ddp-backend no_c10d --distributed-init-method file://{tmp_path / 'meeting'}"
    train = [commands["train"], f"--data {data}", options, world]
    ranks = [fairseq_process("train", *train, f"--distributed-rank {rank}") for rank in (0, 1)]
    finished = [rank.wait() for rank in ranks]
    assert [rank.code for rank in finished] == [0, 0], finished[0].errors + finished[1].errors
    lines = [(tmp_path / f"rank{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    assert all(lines)
    assert not {*lines[0]} & {*lines[1]}
    names = {epoch: [] for epoch in ("1", "2", "3")}
    for line in (*lines[0], *lines[1]):
        names[line.split()[0]].append(line.split()[1])
    for epoch, expected in (("1", 11), ("2", 22), ("3", N_ROWS)):
        assert len(names[epoch]) == len({*names[epoch]}) == expected


# -- what cannot be --------------------------------------------------------------------------------


def test_samplers_of_speakers_where_there_are_none(run, copy_toy):
    data = copy_toy(lambda _, rows: [replace(row, speaker=None) for row in rows])
    finished = run("train", f"--data {data} {TEXT} --batch-sampler speaker_grouped")
    assert_one_sentence(finished, "--batch-sampler speaker_grouped", "train.tsv", "speaker")


def test_preset_with_a_faulty_line(run, toy_corpus, tmp_path):
    names = [row.id for row in read_manifest(toy_corpus / "train.tsv")]
    (tmp_path / "order.txt").write_text("\n".join([*names[:5], "who", *names[5:]]))
    preset = "--curriculum-preset order.txt --curriculum-order preset"
    finished = run("train", f"--data {toy_corpus} {TEXT} {preset}")
    assert_one_sentence(finished, "order.txt, line 6", "'who'")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--curriculum-order preset", "--curriculum-preset"),
        ("--curriculum-order difficulty", "python -m data_prep.fit_prototypes"),
        ("--curriculum-order random --curriculum-epochs 0", "--curriculum-epochs 0"),
    ],
)
def test_what_an_order_lacks(options, named, run, toy_corpus):
    finished = run("train", f"--data {toy_corpus} {TEXT} {options}")
    assert_one_sentence(finished, named)
