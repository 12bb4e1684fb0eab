"""Model cards: all that the files say, and nothing that they do not."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from codes import raises
from dialogue_models import CAUSAL, NEIGHBORS
from huggingface_hub import ModelCard

from data_prep.manifest.provenance import (
    Provenance,
    write_beside,
)
from data_prep.schema import read_manifest
from emo_fairseq import metrics
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.evaluation import predictions
from emo_fairseq.export.model_card import write_card
from emo_fairseq.export.model_folder import write_model_folder
from emo_fairseq.export.non_default_options import non_default_options
from emo_fairseq.export.scored_predictions import score_file
from emo_fairseq.inference.checkpoint import read_checkpoint

pytestmark = pytest.mark.usefixtures("few_resamples")

OPTIONS = "--modality text --dropout 0.3"
LABELS = ("neutral", "happy", "sad", "angry")


@pytest.fixture
def own_folder(trained_models, tmp_path) -> Path:
    return Path(shutil.copytree(trained_models.folder(OPTIONS), tmp_path / "model"))


def write_predictions(file: Path, truth: str, said: str) -> Path:
    """Of letters of labels: who was what, and what was said of them."""
    named = {label[0]: label for label in LABELS}
    rows = [
        {"id": f"u{n}", "split": "test", "truth": named[t], "prediction": named[p]}
        | {f"probability_{label}": float(label == named[p]) for label in LABELS}
        for n, (t, p) in enumerate(zip(truth, said, strict=True))
    ]
    predictions.write(file, rows)
    return file


def test_what_is_in_the_files(trained_models, own_folder, toy_corpus, tmp_path):
    checkpoint, file = trained_models.checkpoint(OPTIONS), tmp_path / "test.tsv"
    rows = trained_models.validated(checkpoint)
    predictions.write(file, rows)
    wa = sum(row["truth"] == row["prediction"] for row in rows) / len(rows)
    speakers = {row.speaker for row in read_manifest(toy_corpus / "train.tsv")}
    card = write_card(own_folder, checkpoint, toy_corpus, [file], "T--ET(toy)").read_text()
    front, _, text = card.removeprefix("---\n").partition("---\n")
    card_data = ModelCard(card).data
    matter = yaml.safe_load(front)
    assert [result["task"] for result in matter.pop("model-index")[0]["results"]] == [
        {"type": "text-classification"}
    ]
    assert matter == {
        "license": "unknown",
        "library_name": "emo_fairseq",
        "tags": ["emotion-recognition", "emotion", "text"],
        "datasets": ["toy"],
        "metrics": ["accuracy", "f1", "recall"],
        "pipeline_tag": "text-classification",
    }
    wa_of_hub = next(x for x in card_data.eval_results if x.metric_type == "accuracy")
    assert wa_of_hub.metric_value == pytest.approx(wa, abs=1e-4)
    assert (wa_of_hub.dataset_name, wa_of_hub.dataset_split) == ("toy", "test")
    for said in (
        "# T--ET(toy)",
        f"one of 4 labels ({', '.join(LABELS)})",
        "Protocol: one fixed split, speakers and dialogues disjoint",
        "of the trained models as they are: they do not contain the variance over seeds",
        "| train | 32 |",
        "Training set by class: neutral 8, happy 8, sad 8, angry 8.",
        "`checkpoint_last.pt`, when it was saved; no split has chosen them",
        "| model | `dropout` | `0.3` |",
        f"It was trained on {len(speakers)} speakers",
        f"| WA | {wa:.4f} |",
        "test, 12 utterances (`test.tsv`)",
        "5 of these utterances were predicted again by this model: equal.",
        "Languages: unknown",
    ):
        assert said in text, said
    assert "speech_embed_dim" not in text, "it has no speech"
    assert "adam_betas" not in text, "the default, otherwise written"
    assert str(toy_corpus.parent) not in card, "no folder of this machine"
    with torch.no_grad():
        weights = torch.load(checkpoint, weights_only=True)["model"]
    assert f"{sum(x.numel() for n, x in weights.items() if 'version' not in n):,}" in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (NEIGHBORS, "with each text those of up to 2 turns before and 1 after it."),
        (CAUSAL, "with each turn those before it, among 4 at most."),
    ],
)
def test_figures_of_dialogues_are_checked_in_their_dialogues(
    options, said, trained_models, toy_corpus, tmp_path
):
    checkpoint = trained_models.checkpoint(options)
    folder = Path(shutil.copytree(trained_models.folder(options), tmp_path / "model"))
    file = tmp_path / "test.tsv"
    predictions.write(file, trained_models.validated(checkpoint))
    card = " ".join(write_card(folder, checkpoint, toy_corpus, [file]).read_text().split())
    assert f"on turns in their dialogues: {said}" in card
    assert "5 of these utterances were predicted again by this model: equal." in card


def test_what_no_file_says_is_called_unknown(trained_models, own_folder, toy_corpus, tmp_path):
    moved = tmp_path / "checkpoint_last.pt"
    saved = torch.load(trained_models.checkpoint(OPTIONS), weights_only=True)
    saved["cfg"]["task"]["data"] = str(tmp_path / "gone")
    torch.save(saved, moved)
    card = write_card(own_folder, moved).read_text()
    assert "Corpus: unknown" in card
    assert "How many speakers it was trained on: unknown" in card
    assert "## Metrics\n\nUnknown: no predictions file was given" in card
    assert "datasets" not in card
    assert "metrics" not in card


CHOSEN = {
    "checkpoint_best.pt": "The test split chose the checkpoint: that with the largest uar.",
    "checkpoint.best_uar_0.4121.pt": "chose the checkpoint: one of those with the largest uar.",
    "checkpoint.best_loss_0.4121.pt": "what chose them is not known",
    "checkpoint_best_old.pt": "what chose them is not known",
    "checkpoint.avg10.pt": "what chose them is not known",
    "checkpoint3.pt": "no split has chosen them",
    "checkpoint_2_100.pt": "no split has chosen them",
}


@pytest.mark.parametrize(("name", "said"), CHOSEN.items(), ids=CHOSEN)
def test_the_split_that_chose_the_checkpoint(name, said, trained_models, own_folder, tmp_path):
    saved = torch.load(trained_models.checkpoint(OPTIONS), weights_only=True)
    saved["cfg"]["dataset"] |= {"disable_validation": False, "valid_subset": "test"}
    saved["cfg"]["checkpoint"] |= {
        "best_checkpoint_metric": "uar",
        "maximize_best_checkpoint_metric": True,
    }
    torch.save(saved, tmp_path / name)
    card = write_card(own_folder, tmp_path / name).read_text()
    assert said in card
    assert ("metrics on it are optimistic" in card) == ("chose the checkpoint" in said)


def test_the_last_epoch_that_was_trained(trained_models, own_folder):
    whole = trained_models.checkpoint("--modality text --max-update 0 --max-epoch 2")
    assert "Updates: 8; epoch 2." in write_card(own_folder, whole).read_text()
    part = trained_models.checkpoint(OPTIONS)  # half an epoch
    assert "Updates: 2; epoch 1." in write_card(own_folder, part).read_text()


def test_options_that_are_defaults_or_do_not_act_are_left_out(trained_models):
    sizes = """--arch robertaEMO_tiny --embedding-dim 16 --speech-conv-channels 16
        --speech-conv-layers '[(8, 10, 5)]' --text-attention-heads 2"""
    checkpoint = trained_models.checkpoint("--modality speech --speech-input log_mel", sizes=sizes)
    saved = torch.load(checkpoint, weights_only=True)
    config = read_checkpoint(checkpoint)["cfg"]
    cards = {k: EncoderSpec(**card) for k, card in saved["task_state"]["encoders"].items()}
    changed = non_default_options(config, cards)
    assert changed["model"] == {
        "name": "robertaEMO_tiny",
        "embedding_dim": "16",
        "speech_conv_channels": "16",
    }
    assert changed["optimization"] == {"clip_norm": "1.0", "lr": "[0.003]", "max_update": "2"}


def test_figures_are_those_of_the_rows(tmp_path):
    file = write_predictions(tmp_path / "p.tsv", "nnnnhhssa", "nnnhhssan")
    (scored,) = score_file(file, LABELS, has_labels=True)
    codes = [["nhsa".index(letter) for letter in word] for word in ("nnnnhhssa", "nnnhhssan")]
    counts = metrics.confusion(*map(torch.tensor, codes), len(LABELS))
    assert scored.metrics["weighted_f1"].value == pytest.approx(metrics.weighted_f1(counts))
    assert scored.metrics["uar"].value == pytest.approx(metrics.unweighted_average_recall(counts))
    value, low, high = scored.metrics["wa"]
    assert value == pytest.approx(5 / 9)
    assert 0 < low < value < high < 1


def test_figures_of_numbers(tmp_path):
    truth, said = torch.tensor([[0.1, 0.4], [0.9, 0.2], [0.5, 0.6]]), torch.rand(3, 2)
    rows = [
        {"id": f"u{n}", "split": "test"}
        | {f"truth_{axis}": float(t[k]) for k, axis in enumerate("va")}
        | {f"prediction_{axis}": float(p[k]) for k, axis in enumerate("va")}
        for n, (t, p) in enumerate(zip(truth, said, strict=True))
    ]
    predictions.write(tmp_path / "p.tsv", rows)
    (scored,) = score_file(tmp_path / "p.tsv", "va", has_labels=False)
    of_axis = [metrics.concordance_cc(metrics.moments(truth[:, k], said[:, k])) for k in (0, 1)]
    assert scored.metrics["ccc_a"].value == pytest.approx(of_axis[1], abs=1e-6)
    assert scored.metrics["ccc"].value == pytest.approx(sum(of_axis) / 2, abs=1e-6)


def test_predictions_of_another_model_are_refused(trained_models, own_folder, toy_corpus, tmp_path):
    checkpoint, file = trained_models.checkpoint(OPTIONS), tmp_path / "p.tsv"
    other = trained_models.checkpoint(f"{OPTIONS} --seed 5")
    predictions.write(file, trained_models.validated(other))
    with raises("predictions-other-model"):
        write_card(own_folder, checkpoint, toy_corpus, [file])
    foreign = write_predictions(tmp_path / "foreign.tsv", "nh", "nh")
    with raises("predictions-other-corpus") as error:
        write_card(own_folder, checkpoint, toy_corpus, [foreign])
    assert f"{foreign}: u0 " in str(error.value)
    assert not (own_folder / "README.md").exists()


def test_recorded_predictions_of_another_model_are_refused_without_data(
    trained_models, own_folder, tmp_path
):
    file = tmp_path / "p.tsv"
    trained_models.validated(trained_models.checkpoint(f"{OPTIONS} --seed 5"), file=file)
    saved = torch.load(trained_models.checkpoint(OPTIONS), weights_only=True)
    saved["cfg"]["task"]["data"] = str(tmp_path / "gone")
    torch.save(saved, tmp_path / "checkpoint_last.pt")
    with raises("predictions-other-model"):
        write_card(own_folder, tmp_path / "checkpoint_last.pt", None, [file])


def test_figures_that_cannot_be_checked_are_called_so(trained_models, own_folder, tmp_path):
    saved = torch.load(trained_models.checkpoint(OPTIONS), weights_only=True)
    saved["cfg"]["task"]["data"] = str(tmp_path / "gone")
    torch.save(saved, tmp_path / "checkpoint_last.pt")
    file = write_predictions(tmp_path / "p.tsv", "nh", "nh")
    card = write_card(own_folder, tmp_path / "checkpoint_last.pt", None, [file]).read_text()
    assert "Taken from `p.tsv` as given, and not checked to be this model's" in card


def test_predictions_of_other_labels_are_refused(tmp_path):
    file = write_predictions(tmp_path / "p.tsv", "nh", "nh")
    with raises("predictions-other-labels"):
        score_file(file, ("joy", "fear"), has_labels=True)


def test_allowed_leaks_are_in_the_card(trained_models, own_folder, tmp_path):
    saved = torch.load(trained_models.checkpoint(OPTIONS), weights_only=True)
    saved["cfg"]["task"]["data"] = str(tmp_path / "gone")
    saved["task_state"]["provenance"]["allowed"] = ["--init-from a.pt: was trained on 2 rows"]
    checkpoint = tmp_path / "checkpoint_last.pt"
    torch.save(saved, checkpoint)
    folder = write_model_folder(checkpoint, trained_models.data, tmp_path / "leaky")
    file = write_predictions(tmp_path / "p.tsv", "nh", "nh")
    write_beside(file, Provenance(allowed=("the model was trained on 1 row",)))
    card = write_card(folder, checkpoint, None, [file]).read_text()
    assert "Leak allowed in its training: --init-from a.pt: was trained on 2 rows." in card
    assert "Leak allowed: the model was trained on 1 row." in card
    honest = write_card(own_folder, trained_models.checkpoint(OPTIONS))
    assert "Leak allowed" not in honest.read_text()
