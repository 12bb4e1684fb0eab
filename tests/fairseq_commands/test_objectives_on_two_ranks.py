"""Terms of the loss on two ranks, by the trainer and each of its ways to add gradients up."""

from dataclasses import replace

import pytest
import torch

from data_prep.prototypes import (
    PROTOTYPES_FILE,
    write_prototypes,
)
from data_prep.prototypes.fitting import fit_prototypes

# Nothing is drawn, and one update shows the gradient. All 32 utterances are in it.
ONE_UPDATE = """--optimizer sgd --lr 0.5 --clip-norm 0 --max-update 1 --modality text
    --dropout 0 --attention-dropout 0 --pooler-dropout 0 --disable-validation"""
TERMS = """--criterion emotion_supcon --supcon-weighting v2 --prototype-beta 4
    --supcon-projection-dim 8 --supcon-queue 20 --class-weighting inverse_frequency
    --auxiliary-targets vad,sentiment"""
OTHERS = {
    "pytorch_ddp": "--prototype-learning trained --r-drop-weight 1",
    "fully_sharded": "--prototype-learning trained --r-drop-weight 1",
    "legacy_ddp": "--prototype-learning ema --prototype-momentum 0.5 "
    "--auxiliary-weighting uncertainty",
}


@pytest.fixture
def data(copy_toy):
    """Not equally many of each emotion, so that class weights and the ranks' shares differ."""

    def change(split, rows):
        if split != "train":
            return rows
        return [replace(row, emotion="sad") if n % 5 == 0 else row for n, row in enumerate(rows)]

    folder = copy_toy(change)
    write_prototypes(folder / PROTOTYPES_FILE, fit_prototypes([folder]))
    return folder


@pytest.mark.parametrize("backend", OTHERS)
def test_an_update_on_two_ranks_is_that_on_one_with_twice_the_batch(
    backend, data, on_two_ranks, fairseq, commands, tmp_path
):
    train = [commands["train"], f"--data {data}", ONE_UPDATE, TERMS, OTHERS[backend]]
    one = fairseq("train", *train, f"--batch-size 32 --save-dir {tmp_path / 'one'}")
    apart = f"--batch-size 16 --ddp-backend {backend} --save-dir {tmp_path / 'two'}"
    two = on_two_ranks("train", *train, apart)
    before, after = (
        torch.load(tmp_path / folder / "checkpoint_last.pt") for folder in ("one", "two")
    )
    for part in ("model", "criterion"):
        assert before[part].keys() == after[part].keys()
        for name, expected in before[part].items():
            torch.testing.assert_close(after[part][name], expected, rtol=1e-4, atol=1e-6, msg=name)
    states = [state["task_state"] for state in (before, after)]
    torch.testing.assert_close(*[state["prototypes"]["values"] for state in states])
    assert [len(rows) for rows in states[1]["embedding_queue"]] == [20, 20, 20]
    figures = [finished.figures("train") for finished in (one, two)]
    for name in (
        "loss",
        "primary_loss",
        "contrastive_loss",
        "difficulty",
        "vad_loss",
        "uar",
        "gnorm",
    ):
        assert figures[1][name] == pytest.approx(figures[0][name], rel=1e-4), name


def test_a_rank_without_a_share_of_the_last_batch_keeps_step(
    data, on_two_ranks, commands, tmp_path
):
    """32 utterances are 3 batches of 12: in the second update the second rank has none.

    Torch's way to add gradients up waits for one of every parameter.
    """
    terms = f"{TERMS} --prototype-learning trained --auxiliary-weighting uncertainty"
    options = "--speaker-adversary-weight 0.1 --modality text --batch-size 12 --max-epoch 2"
    train = [commands["train"], f"--data {data} --save-dir {tmp_path / 'two'}", terms, options]
    done = on_two_ranks("train", *train)
    lines = done.all_figures("train_inner")
    sizes = [line["bsz"] for line in lines]
    assert [sizes[0] + sizes[1], sizes[2] + sizes[3]] == [32, 32]
    assert max(sizes[1], sizes[3]) <= 12
    state = torch.load(tmp_path / "two" / "checkpoint_last.pt")
    assert all(value[~value.isnan()].isfinite().all() for value in state["criterion"].values())
    assert len(state["task_state"]["embedding_queue"][0]) == 20
