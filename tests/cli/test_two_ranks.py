"""Two ranks (gloo, on CPU) measure what one rank measures, and each utterance once."""

import pytest

from emo_fairseq import predictions

TARGETS = ("binary_emotion", "vad")  # the former logs the figures of emotion too
UNEQUAL = {"wps", "ups", "wpb", "bsz", "wall", "train_wall"}  # of fairseq: speed, and rows a step


@pytest.fixture
def on_two_ranks(fairseq_process, tmp_path):
    """Run a command on two ranks; returns what rank 0 left behind.

    fairseq would start one process a GPU itself. On CPU each rank is a command of its own.
    """

    def run(tool, *options):
        meeting = f"--distributed-init-method file://{tmp_path / 'meeting'}"
        world = f"--distributed-world-size 2 --distributed-no-spawn --distributed-backend gloo {meeting}"
        ranks = [
            fairseq_process(tool, *options, world, f"--distributed-rank {rank}") for rank in (0, 1)
        ]
        finished = [rank.wait() for rank in ranks]
        assert [rank.code for rank in finished] == [0, 0], finished[0].errors + finished[1].errors
        return finished[0]

    return run


@pytest.mark.parametrize("target", TARGETS)
def test_scoring(target, trained, on_two_ranks, fairseq, commands, toy_corpus, tmp_path):
    options = f"--speech-input log_mel --batch-size 8 --max-update 8 --target {target}"
    checkpoint = f"--path {trained(options)} --data {toy_corpus} --valid-subset test"
    # 12 utterances make 3 batches: the second rank has nothing to do in the last step.
    score = [commands["validate"], checkpoint, "--batch-size 5"]
    one = fairseq("validate", *score, f"--save-predictions {tmp_path / 'one.tsv'}")
    two = on_two_ranks("validate", *score, f"--save-predictions {tmp_path / 'two.tsv'}")
    assert_same_figures(one.figures("test"), two.figures("test"))
    ids = [row["id"] for row in predictions.read(tmp_path / "one.tsv")]
    assert len(set(ids)) == 12
    assert (tmp_path / "two.tsv").read_text() == (tmp_path / "one.tsv").read_text()


@pytest.mark.parametrize("target", TARGETS)
def test_validation_in_training(target, on_two_ranks, fairseq, commands, toy_corpus, tmp_path):
    # Weights that do not move: both are measured as they were drawn. 8 utterances, 3 batches.
    still = f"--optimizer sgd --lr 0 --batch-size 3 --max-update 1 --target {target}"
    train = [commands["train"], f"--data {toy_corpus} --speech-input log_mel", still]
    one = fairseq("train", *train, f"--save-dir {tmp_path / 'one'}")
    apart = "--ddp-backend no_c10d"  # torch's own wrapper is for GPUs here
    two = on_two_ranks("train", *train, apart, f"--save-dir {tmp_path / 'two'}")
    assert_same_figures(one.figures("valid"), two.figures("valid"))


def assert_same_figures(one, two):
    assert one.keys() == two.keys()
    assert len(one.keys() - UNEQUAL) >= 8
    for name in one.keys() - UNEQUAL:
        assert two[name] == pytest.approx(one[name], abs=1e-6, nan_ok=True), name
