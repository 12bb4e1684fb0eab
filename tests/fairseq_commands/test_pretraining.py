"""Pretraining on rows without labels, and the trainings that begin with it."""

import dataclasses

import hf_folders
import pytest
import torch
from codes import raises
from extended import all_but
from in_process import TRAIN

from data_prep.commands.tokenize_text import tokenize_with_hf
from data_prep.schema import read_manifest
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.checkpoint import load_checkpoint_model

CONTRASTIVE = "--criterion emotion_pretraining --modality text --pretraining-projection-dim 8"
VIEWS = f"{CONTRASTIVE} --augment-token-dropout 0.3"
# Of an encoder that brings its own sizes.
PRETRAINED = f"{TRAIN} --arch robertaEMO_tiny --embedding-dim 16"
MASKED = "--criterion emotion_masked_lm --modality text"


@pytest.fixture
def unlabeled(copy_toy):
    """The toy corpus without a single label."""

    def change(split, rows):
        no_labels = {"emotion": None, "sentiment": None}
        no_axes = dict.fromkeys(("valence", "arousal", "dominance"))
        return [dataclasses.replace(row, **no_labels, **no_axes) for row in rows]

    return copy_toy(change)


@pytest.fixture
def words(unlabeled, tmp_path):
    """The same with the tokens of a tiny BERT, whose encoder the option names."""
    (unlabeled / "text").unlink()
    texts = [row.text for row in read_manifest(unlabeled / "train.tsv")]
    torch.manual_seed(1)  # of the weights
    bert = hf_folders.build(tmp_path / "bert", texts=texts, mask="[MASK]")
    tokenize_with_hf(unlabeled, bert)
    return unlabeled, f"--text-encoder hf:{bert} --max-text-tokens 38"


def place(data, folder, words="--batch-size 8 --max-update 2"):
    return "--data", data, "--save-dir", folder, words


def test_two_views_then_emotions(unlabeled, toy_corpus, fairseq, commands, tmp_path):
    first = tmp_path / "views"
    log = fairseq("train", commands["train"], *place(unlabeled, first), VIEWS)
    figures = log.figures("valid")
    assert 0.0 <= figures["pair_accuracy"] <= 1.0
    assert figures["loss"] > 0.0
    assert not {"uar", "ccc"} & figures.keys()
    begin = f"--modality text --init-from {first / 'checkpoint_last.pt'}"
    log = fairseq("train", commands["train"], *place(toy_corpus, tmp_path / "second"), begin)
    assert "of embedding, " in log.log.partition("loaded ")[2].partition("\n")[0]
    assert "uar" in log.figures("valid")


def test_pretraining_draws_views_together(unlabeled, fairseq, commands, tmp_path):
    words = "--batch-size 32 --max-update 80 --lr 0.01 --log-interval 20"
    words += " --disable-validation --no-save"  # else after each update, which is an epoch
    log = fairseq("train", commands["train"], *place(unlabeled, tmp_path / "run", words), VIEWS)
    steps = log.all_figures("train_inner")
    assert steps[-1]["loss"] < 0.9 * steps[0]["loss"]
    assert steps[-1]["pair_accuracy"] > 2 * steps[0]["pair_accuracy"]


def test_views_of_speech_and_text(unlabeled, fairseq, commands, tmp_path):
    both = "--criterion emotion_pretraining --speech-input log_mel --augment-time-masks 1"
    log = fairseq("train", commands["train"], *place(unlabeled, tmp_path / "run"), both)
    assert log.figures("train")["num_updates"] == 2


def test_without_augmentation_dropout_makes_the_views(unlabeled, fairseq, commands, tmp_path):
    log = fairseq("train", commands["train"], *place(unlabeled, tmp_path / "run"), CONTRASTIVE)
    assert "the two views of an utterance differ by dropout alone" in log.log


@pytest.mark.parametrize("momentum", [pytest.param(0.0, marks=pytest.mark.extended), 0.9])
def test_resumed(momentum, unlabeled, fairseq, commands, tmp_path):
    """With the queue, the projection, the averages and the augmentations of the epoch."""
    options = f"{VIEWS} --pretraining-queue 12 --lr 0.01 --momentum-encoder {momentum}"
    resumed = train_and_resume(fairseq, commands["train"], unlabeled, tmp_path, options)
    assert [len(rows) for rows in resumed["task_state"]["embedding_queue"]] == [12]
    averages = [name for name in resumed["criterion"] if "averages" in name]
    assert bool(averages) == bool(momentum)


def test_the_averages_follow_the_model(unlabeled, fairseq, commands, tmp_path):
    """By hand: they are the parameters before the first update, and follow them before others."""
    checkpoints = []
    for n_updates in (1, 2):
        words = f"--batch-size 8 --max-update {n_updates} --lr 0.01 --disable-validation"
        options = f"{CONTRASTIVE} --momentum-encoder 0.75 --update-freq 2"
        folder = tmp_path / str(n_updates)
        fairseq("train", commands["train"], *place(unlabeled, folder, words), options)
        checkpoints.append(torch.load(folder / "checkpoint_last.pt", weights_only=False))
    first, second = checkpoints
    name, weight = "projection.out_proj.weight", "key_encoder.projection.averages.2"
    parameter, begun, followed = (
        part[key]
        for part, key in (
            (first["criterion"], name),
            (first["criterion"], weight),
            (second["criterion"], weight),
        )
    )
    assert begun.shape == parameter.shape
    assert not torch.equal(begun, parameter)
    torch.testing.assert_close(followed, 0.75 * begun + 0.25 * parameter)


def train_and_resume(fairseq, train, data, folder, options):
    """Train 5 updates at once, and 2 and 3; return the last checkpoint, the same to the bit."""
    for name, lengths in (("one", (5,)), ("two", (2, 5))):
        for length in lengths:
            words = f"--batch-size 8 --max-update {length} --disable-validation"
            fairseq("train", train, *place(data, folder / name, words), options)
    one, two = (
        torch.load(folder / name / "checkpoint_last.pt", weights_only=False)
        for name in ("one", "two")
    )
    for part in ("model", "criterion"):
        assert one[part].keys() == two[part].keys()
        for name, value in one[part].items():
            assert torch.equal(value, two[part][name]), name
    return two


def test_masked_tokens_resumed(words, fairseq, tmp_path):
    """With the masks of the epoch, and the layers between encoder and embeddings."""
    data, encoder = words
    resumed = train_and_resume(fairseq, PRETRAINED, data, tmp_path, f"{MASKED} {encoder} --lr 0.01")
    assert any(name.startswith("head.") for name in resumed["criterion"])


def test_masked_tokens_then_emotions(words, toy_corpus, fairseq, tmp_path):
    data, encoder = words
    first = tmp_path / "masked"
    lengths = "--batch-size 16 --max-update 40 --lr 0.01 --text-encoder-dropout 0"
    lengths += " --save-interval 20"
    options = f"{MASKED} {encoder}"
    log = fairseq("train", PRETRAINED, *place(data, first, lengths), options)
    steps = log.all_figures("train_inner")
    assert steps[-1]["loss"] < 0.9 * steps[0]["loss"]
    validations = log.all_figures("valid")
    assert validations[-1]["loss"] < 0.95 * validations[0]["loss"]
    labeled = tmp_path / "labeled"
    labeled.mkdir()
    for path in toy_corpus.iterdir():
        (labeled / path.name).symlink_to(data / "text" if path.name == "text" else path)
    begin = f"--modality text {encoder} --init-text-from {first / 'checkpoint_last.pt'}"
    log = fairseq("train", PRETRAINED, *place(labeled, tmp_path / "second"), begin)
    assert "of encoders.text" in log.log.partition("loaded ")[2].partition("\n")[0]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (f"{VIEWS} --target emotion", "criterion-unfit"),
        (f"{VIEWS} --binary-target-iemocap", "criterion-unfit"),
        ("--modality text --target none --criterion emotion_classification", "criterion-unfit"),
        (f"{VIEWS} --dialogue-encoder gru", "pretraining-of-dialogues"),
        (f"{VIEWS} --momentum-encoder 0.9 --pretraining-projection-dim 0", "options-conflict"),
        (f"{VIEWS} --momentum-encoder 0.9 --bf16", "half-precision-unsupported"),
        (MASKED, "mask-missing"),
        ("--criterion emotion_masked_lm --modality speech", "pretraining-without-tokens"),
    ],
)
def test_refused(options, code, toy_corpus, fairseq, commands, tmp_path):
    with raises(code):
        fairseq("train", commands["train"], *place(toy_corpus, tmp_path / "run"), options)


def test_the_remedy_of_half_precision_is_one_that_is_taken(toy_corpus, fairseq, commands, tmp_path):
    """``--amp`` is refused as well."""
    options = f"{VIEWS} --momentum-encoder 0.9 --bf16"
    with pytest.raises(UsageError, match="leave out --bf16") as refused:
        fairseq("train", commands["train"], *place(toy_corpus, tmp_path / "run"), options)
    assert "--amp" not in str(refused.value)


def test_a_frozen_encoder_is_refused(words, fairseq, tmp_path):
    data, encoder = words
    with raises("options-conflict"):
        options = f"{MASKED} {encoder} --text-tuning frozen"
        fairseq("train", PRETRAINED, *place(data, tmp_path / "run"), options)


def test_nothing_is_predicted(unlabeled, fairseq, commands, tmp_path):
    fairseq("train", commands["train"], *place(unlabeled, tmp_path / "run"), VIEWS)
    checkpoint = tmp_path / "run" / "checkpoint_last.pt"
    with raises("model-pretrained-only"):
        fairseq(
            "validate",
            commands["validate"],
            f"--data {unlabeled} --path {checkpoint} --batch-size 8",
        )
    with raises("model-pretrained-only"):
        load_checkpoint_model(checkpoint)


# Nothing is drawn by the ranks, and one update shows the gradient. All 32 utterances are in it.
ONE_UPDATE = """--optimizer sgd --lr 0.5 --clip-norm 0 --max-update 1 --pooler-dropout 0
    --disable-validation"""


@pytest.mark.parametrize("criterion", all_but({"keys", "masked"}, ["views", "keys", "masked"]))
def test_two_ranks(criterion, words, on_two_ranks, fairseq, tmp_path):
    data, encoder = words
    views = f"{VIEWS} --pretraining-queue 8"
    options = {"views": views, "keys": f"{views} --momentum-encoder 0.9", "masked": MASKED}[
        criterion
    ]
    train = [PRETRAINED, f"--data {data}", encoder, ONE_UPDATE, options]
    train.append("--text-encoder-dropout 0")
    one = fairseq("train", *train, f"--batch-size 32 --save-dir {tmp_path / 'one'}")
    apart = f"--batch-size 16 --ddp-backend pytorch_ddp --save-dir {tmp_path / 'two'}"
    two = on_two_ranks("train", *train, apart)
    before, after = (
        torch.load(tmp_path / folder / "checkpoint_last.pt", weights_only=False)
        for folder in ("one", "two")
    )
    for part in ("model", "criterion"):
        assert before[part].keys() == after[part].keys()
        for name, expected in before[part].items():
            torch.testing.assert_close(after[part][name], expected, rtol=1e-4, atol=1e-5, msg=name)
    accuracy = "masked_accuracy" if criterion == "masked" else "pair_accuracy"
    for name in ("loss", accuracy, "gnorm"):
        expected = pytest.approx(one.figures("train")[name], rel=1e-3)
        assert two.figures("train")[name] == expected, name
