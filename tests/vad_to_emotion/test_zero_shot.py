"""Zero-shot VAD against one pair at a time, by tiny real models of entailment."""

import json
import math
from argparse import Namespace

import numpy as np
import pytest
import torch
import transformers
from codes import raises
from fairseq.data import Dictionary
from fairseq.data.encoders.gpt2_bpe import GPT2BPE
from nli_checkpoints import NAMES, build_fairseq, build_hf

from data_prep.schema import AXES, read_manifest
from emo_fairseq.evaluation import predictions
from emo_fairseq.vad_to_emotion.__main__ import main
from emo_fairseq.vad_to_emotion.entailment import open_entailment
from emo_fairseq.vad_to_emotion.zero_shot import (
    HYPOTHESES,
    predict_vad,
)

CPU = torch.device("cpu")
TEXTS = ["so what", "I am so happy for you", "no", "leave me alone you two and do not come back"]


def slow(entailment):
    """(N, 3) from a function of premise and hypothesis to the probability of entailment."""
    found = []
    for text in TEXTS:
        for axis in AXES:
            low, middle, high = (entailment(text, sentence) for sentence in HYPOTHESES[axis])
            found.append((middle / 2 + high) / (low + middle + high))
    return np.array(found).reshape(len(TEXTS), len(AXES))


@pytest.fixture
def hf(tmp_path):
    return build_hf(tmp_path / "nli")


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_hugging_face(hf, batch_size):
    tokenizer = transformers.AutoTokenizer.from_pretrained(hf)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(hf).eval()

    def entailment(premise, hypothesis):
        inputs = tokenizer(premise, hypothesis, return_tensors="pt")
        assert inputs["token_type_ids"].any()
        with torch.no_grad():
            return model(**inputs).logits.double().softmax(-1)[0, 2].item()

    found = predict_vad(open_entailment(f"hf:{hf}", CPU), TEXTS, batch_size)
    assert found == pytest.approx(slow(entailment), abs=1e-5)
    assert np.ptp(found, axis=0).min() > 1e-3


@pytest.mark.parametrize("batch_size", [1, 7])
def test_fairseq(tmp_path, batch_size):
    """As RobertaHubInterface encodes pairs; labels by the option, or by label/dict.txt."""
    folder = tmp_path / "nli"
    model = build_fairseq(folder, names=NAMES)
    dictionary = Dictionary.load(str(folder / "dict.txt"))
    files = {"gpt2_encoder_json": folder / "encoder.json", "gpt2_vocab_bpe": folder / "vocab.bpe"}
    bpe = GPT2BPE(Namespace(**{name: str(file) for name, file in files.items()}))

    def entailment(premise, hypothesis):
        line = f"<s> {bpe.encode(premise)} </s> </s> {bpe.encode(hypothesis)} </s>"
        tokens = dictionary.encode_line(line, append_eos=False, add_if_not_exist=False).long()
        with torch.no_grad():
            logits, _ = model(tokens[None], features_only=True, classification_head_name="mnli")
        return logits.double().softmax(-1)[0, 2].item()

    expected = slow(entailment)
    (folder / "label").rename(folder / "gone")
    given = open_entailment(f"fairseq:{folder}", CPU, ("a", "b", "entailment"))
    assert predict_vad(given, TEXTS, batch_size) == pytest.approx(expected, abs=1e-5)
    with raises("nli-labels-missing"):
        open_entailment(f"fairseq:{folder}", CPU)
    (folder / "gone").rename(folder / "label")
    read = open_entailment(f"fairseq:{folder / 'model.pt'}", CPU)
    assert predict_vad(read, TEXTS, batch_size) == pytest.approx(expected, abs=1e-5)


def test_old_names_of_fairseq(tmp_path):
    model = build_fairseq(tmp_path / "nli")
    file = tmp_path / "nli" / "model.pt"
    state = torch.load(file, weights_only=True)
    state["model"] = {
        name.replace("encoder.", "decoder.", 1).replace(
            ".layernorm_embedding.", ".emb_layer_norm."
        ): x
        for name, x in state["model"].items()
    }
    torch.save(state, file)
    old = open_entailment(f"fairseq:{file}", CPU, ("a", "b", "entailment"))
    for name, value in model.state_dict().items():
        assert torch.equal(old._model.state_dict()[name], value)


@pytest.mark.parametrize("kind", ["hf", "fairseq"])
def test_long_texts_are_truncated_and_counted(tmp_path, kind, caplog):
    """The hypothesis stays whole; the end of the text has no effect."""
    folder = tmp_path / "nli"
    labels = ("a", "b", "entailment") if kind == "fairseq" else ()
    build_hf(folder) if kind == "hf" else build_fairseq(folder)
    model = open_entailment(f"{kind}:{folder}", CPU, labels)
    texts = [f"so what do you say{' no' * 150}{end}" for end in ("", " alone", " happy")]
    with raises("predictions-constant"):
        predict_vad(model, texts)
    assert "3 of 3 texts are truncated" in caplog.text
    short = model.encode("no", HYPOTHESES["valence"][0])
    long = model.encode(texts[0], HYPOTHESES["valence"][0])
    assert (short.is_truncated, long.is_truncated, len(long.ids)) == (False, True, 120)
    assert long.ids[-8:] == short.ids[-8:]


def test_labels_are_found_by_name_or_not_at_all(tmp_path):
    build_hf(tmp_path / "nli", ("LABEL_0", "LABEL_1", "LABEL_2"))
    with raises("entailment-missing"):
        open_entailment(f"hf:{tmp_path / 'nli'}", CPU)
    build_fairseq(tmp_path / "roberta")
    for names, code in (
        (("a", "b", "c"), "entailment-missing"),
        (("entailment",), "nli-labels-mismatch"),
    ):
        with raises(code):
            open_entailment(f"fairseq:{tmp_path / 'roberta'}", CPU, names)


def test_an_encoder_without_its_classifier_is_no_model_of_entailment(hf):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(hf)
    model.bert.save_pretrained(hf)
    config = json.loads((hf / "config.json").read_text())
    config["id2label"] = dict(enumerate(NAMES))
    (hf / "config.json").write_text(json.dumps(config))
    with raises("nli-head-missing"):
        open_entailment(f"hf:{hf}", CPU)


class ConstantModel:
    """A model whose probabilities are the same for every pair."""

    def __init__(self, model):
        self.encode = model.encode

    def log_entailment(self, pairs):
        return torch.zeros(len(pairs), dtype=torch.float64)


def test_constant_predictions_are_refused(hf):
    model = ConstantModel(open_entailment(f"hf:{hf}", CPU))
    with raises("predictions-constant"):
        predict_vad(model, TEXTS)


def test_command_writes_predictions_and_leaves_rows_without_text_out(hf, place, capsys):
    file = place.data / "test.tsv"
    silent = read_manifest(file)[3]
    lines = file.read_text().splitlines()
    lines[4] = lines[4].replace(f"\t{silent.text}\t", "\t\t")
    file.write_text("\n".join([*lines, ""]))
    out = place.data.parent / "zero" / "predictions.tsv"
    words = ["zero-shot", "--data", str(place.data), "--model", f"hf:{hf}", "--output", str(out)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "1 rows of test have no text, and are left out: test_3" in printed
    assert "zero-shot NLI" in printed
    texts = {row.id: row for row in read_manifest(file)}
    rows = predictions.read(out)
    assert len(rows) == 29
    expected = predict_vad(
        open_entailment(f"hf:{hf}", CPU), [texts[row["id"]].text for row in rows]
    )
    for row, vad in zip(rows, expected, strict=True):
        assert [float(row[f"prediction_{axis}"]) for axis in AXES] == pytest.approx(vad, abs=1e-6)
        assert math.isclose(float(row["truth_arousal"]), texts[row["id"]].arousal, abs_tol=1e-8)
