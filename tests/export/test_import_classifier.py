"""Classifiers of Hugging Face as model folders: the same outputs, and what is refused."""

import json
import math

import numpy as np
import pytest
import torch
import transformers
from extended import all_but
from hf_folders import FAMILIES, SIZES, build, build_whisper
from safetensors.torch import load_file, save_file

from data_prep.manifest.columns import AXES
from emo_fairseq.cli.__main__ import main
from emo_fairseq.export.classifier_folder import OutputSpec, write_classifier_folder
from emo_fairseq.inference.predictor import load_predictor

EMOTIONS = ["ang", "hap", "neu", "sad"]
TEXT = "so happy for you"
TEXT_FAMILIES = all_but(
    ("bert", "roberta", "electra", "distilbert", "deberta", "albert"),
    sorted({*FAMILIES} - {"modernbert"}),
)


def text_classifier(folder, family="bert", **settings):
    """Write a tiny classifier of texts, with its tokenizer."""
    build(folder, family)
    config = transformers.AutoConfig.from_pretrained(folder)
    config.id2label = dict(enumerate(settings.pop("labels", EMOTIONS)))
    config.label2id = {name: number for number, name in config.id2label.items()}
    for name, value in settings.items():
        setattr(config, name, value)
    torch.manual_seed(3)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    for parameter in model.parameters():  # those of a new head are too small to show differences
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder


def speech_classifier(folder, family="Wav2Vec2", **settings):
    """Write a tiny classifier of recordings, with its feature extractor."""
    config = getattr(transformers, f"{family}Config")(
        **SIZES,
        vocab_size=8,
        conv_dim=[8, 8],
        conv_kernel=[10, 3],
        conv_stride=[160, 2],
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=12,
        id2label=dict(enumerate(settings.pop("labels", EMOTIONS))),
        **settings,
    )
    torch.manual_seed(3)
    model = getattr(transformers, f"{family}ForSequenceClassification")(config)
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


def whisper_classifier(folder, seconds=2, **settings):
    """Write a tiny classifier of recordings that are padded to some seconds with silence."""
    build_whisper(folder, seconds)
    config = transformers.WhisperConfig.from_pretrained(
        folder, id2label=dict(enumerate(EMOTIONS)), classifier_proj_size=12, **settings
    )
    torch.manual_seed(3)
    model = transformers.WhisperForAudioClassification(config)
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder


def logits_of_text(folder, text=TEXT):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(**tokenizer(text, return_tensors="pt")).logits[0].numpy()


def logits_of_sound(folder, sound):
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(sound, sampling_rate=16_000, return_tensors="pt")
    model = transformers.AutoModelForAudioClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(inputs[extractor.model_input_names[0]]).logits[0].numpy()


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum()


@pytest.fixture
def sound():
    return 0.1 * np.random.default_rng(4).standard_normal(16_000).astype(np.float32)


@pytest.mark.parametrize("family", TEXT_FAMILIES)
def test_a_classifier_of_texts_predicts_the_same(tmp_path, family):
    source = text_classifier(tmp_path / "source", family)
    done = write_classifier_folder(f"hf:{source}", tmp_path / "out", OutputSpec())
    assert (done.modality, done.target, done.is_compared) == ("text", "emotion", True)
    predicted = load_predictor(tmp_path / "out").predict(text=TEXT)
    expected = dict(zip(EMOTIONS, softmax(logits_of_text(source)).tolist(), strict=True))
    assert predicted.probabilities == pytest.approx(expected, abs=1e-5)
    assert max(expected.values()) - min(expected.values()) > 0.01  # not the same for all


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("Wav2Vec2", {}),
        ("Wav2Vec2", {"use_weighted_layer_sum": True}),
        ("Hubert", {"use_weighted_layer_sum": True}),
        ("WavLM", {}),
        ("Data2VecAudio", {}),
    ],
)
def test_a_classifier_of_recordings_predicts_the_same(tmp_path, sound, family, settings):
    source = speech_classifier(tmp_path / "source", family, **settings)
    assert write_classifier_folder(f"hf:{source}", tmp_path / "out", OutputSpec()).is_compared
    predictor = load_predictor(tmp_path / "out")
    alone = predictor.predict(sound, sample_rate=16_000)
    expected = dict(zip(EMOTIONS, softmax(logits_of_sound(source, sound)).tolist(), strict=True))
    assert alone.probabilities == pytest.approx(expected, abs=1e-5)
    both = predictor.predict([sound[:9000], sound], sample_rate=16_000)
    assert both[1].probabilities == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("settings", [{}, {"use_weighted_layer_sum": True}])
def test_a_whisper_averages_over_the_silence_too(tmp_path, sound, settings):
    source = whisper_classifier(tmp_path / "source", **settings)
    assert write_classifier_folder(f"hf:{source}", tmp_path / "out", OutputSpec()).is_compared
    predictor = load_predictor(tmp_path / "out")
    sounds = [sound[:9000], sound, np.tile(sound, 3)]  # the last is longer than it reads
    predicted = predictor.predict(sounds, sample_rate=16_000)
    for own, prediction in zip(sounds, predicted, strict=True):
        expected = dict(zip(EMOTIONS, softmax(logits_of_sound(source, own)).tolist(), strict=True))
        assert prediction.probabilities == pytest.approx(expected, abs=1e-5)
    assert [bool(prediction.truncations) for prediction in predicted] == [False, False, True]


def wagner(folder, sound):
    """Turn a classifier into the model of Wagner et al., and return its outputs for a sound."""
    weights = load_file(folder / "model.safetensors")
    torch.manual_seed(5)
    head = {
        "classifier.dense.weight": torch.randn(16, 16) / 4,
        "classifier.dense.bias": torch.randn(16),
        "classifier.out_proj.weight": torch.randn(3, 16) / 4,
        "classifier.out_proj.bias": torch.randn(3),
    }
    kept = {n: x for n, x in weights.items() if not n.startswith(("projector", "classifier"))}
    save_file({**kept, **head}, folder / "model.safetensors", metadata={"format": "pt"})
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config["architectures"] = ["Wav2Vec2ForSpeechClassification"]
    config["problem_type"] = "regression"
    file.write_text(json.dumps(config))
    encoder = transformers.Wav2Vec2Model.from_pretrained(folder).eval()
    samples = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
    with torch.no_grad():
        pooled = encoder(torch.from_numpy(samples[None])).last_hidden_state.mean(dim=1)
        hidden = torch.tanh(
            pooled @ head["classifier.dense.weight"].T + head["classifier.dense.bias"]
        )
        outputs = hidden @ head["classifier.out_proj.weight"].T + head["classifier.out_proj.bias"]
    return outputs[0].tolist()


def test_numbers_are_put_in_order_and_on_our_scale(tmp_path, sound):
    axes = ["arousal", "dominance", "valence"]
    source = speech_classifier(tmp_path / "source", labels=axes)
    outputs = dict(zip(axes, wagner(source, sound), strict=True))
    done = write_classifier_folder(
        f"hf:{source}", tmp_path / "out", OutputSpec(vad_scale=(1.0, 7.0))
    )
    assert (done.target, done.is_compared) == ("vad", False)
    predicted = load_predictor(tmp_path / "out").predict(sound, sample_rate=16_000)
    assert list(predicted.values) == ["valence", "arousal", "dominance"]
    assert predicted.values == pytest.approx({k: (v - 1) / 6 for k, v in outputs.items()}, abs=1e-5)


def test_a_head_of_which_a_part_is_unknown_is_refused(tmp_path, sound):
    source = speech_classifier(tmp_path / "source", labels=["arousal", "dominance", "valence"])
    wagner(source, sound)
    weights = load_file(source / "model.safetensors")
    weights["classifier.attention.weight"] = torch.ones(1, 16)
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"its head has classifier\.attention\.weight, too"):
        write_classifier_folder(f"hf:{source}", tmp_path / "out", OutputSpec(vad_scale=(0, 1)))


def test_several_labels_at_once_are_questions_of_their_own(tmp_path):
    source = text_classifier(tmp_path / "source", problem_type="multi_label_classification")
    done = write_classifier_folder(f"hf:{source}", tmp_path / "out", OutputSpec())
    assert done.target == "binary_emotion"
    predicted = load_predictor(tmp_path / "out").predict(text=TEXT)
    logits = logits_of_text(source)
    sigmoids = dict(zip(EMOTIONS, (1 / (1 + np.exp(-logits))).tolist(), strict=True))
    assert predicted.probabilities == pytest.approx(sigmoids, abs=1e-5)
    assert predicted.label == EMOTIONS[logits.argmax()]


def test_the_command_renames_labels_and_prints_what_is_next(tmp_path, capsys):
    source = text_classifier(tmp_path / "source")
    words = [
        "import",
        f"hf:{source}",
        "--output",
        str(tmp_path / "out"),
        "--label-map",
        "neu=neutral",
    ]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "it predicts emotion (ang, hap, neutral, sad)" in printed
    assert f"next: emotion-recognize predict {tmp_path / 'out'} --text" in printed
    assert main(["predict", str(tmp_path / "out"), "--text", TEXT]) == 0
    assert "neutral" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("labels", "problem", "meaning", "message"),
    [
        (["LABEL_0", "LABEL_1"], None, OutputSpec(), "do not name its 2 labels"),
        (EMOTIONS, None, OutputSpec(labels=["a", "b"]), "2 names, and hf:.* has 4 outputs"),
        (EMOTIONS, None, OutputSpec(renamed={"neutral": "calm"}), "no such label"),
        (EMOTIONS, None, OutputSpec(renamed={"neu": "sad"}), "two outputs are called sad"),
        (["a", "b\tc"], None, OutputSpec(), "characters that are not printed"),
        (["a", ""], None, OutputSpec(), "the label '' is empty"),
        (EMOTIONS, None, OutputSpec(vad_scale=(0, 1)), "which have no scale"),
        (EMOTIONS, "multi_label_classification", OutputSpec("sentiment"), "does not choose one"),
        (["valence", "arousal"], "regression", OutputSpec(vad_scale=(0, 1)), "where models here"),
        (["valence", "arousal", "dominance"], "regression", OutputSpec(), "give the values of its"),
        (list(AXES), "regression", OutputSpec(vad_scale=(7, 1)), "the lowest value before"),
        (list(AXES), "regression", OutputSpec(vad_scale=(0, math.inf)), "the lowest value before"),
    ],
)
def test_what_has_no_meaning_is_refused(tmp_path, labels, problem, meaning, message):
    source = text_classifier(tmp_path / "source", labels=labels, problem_type=problem)
    with pytest.raises(ValueError, match=message):
        write_classifier_folder(f"hf:{source}", tmp_path / "out", meaning)
    assert not (tmp_path / "out").exists()


def test_an_encoder_alone_is_no_classifier(tmp_path):
    source = build(tmp_path / "source", "roberta")
    with pytest.raises(ValueError, match=r"holds no head of a classifier \(classifier.dense and"):
        write_classifier_folder(f"hf:{source}", tmp_path / "out", OutputSpec())


def test_a_head_that_computes_something_else_is_refused(tmp_path, monkeypatch):
    source = text_classifier(tmp_path / "source", "electra")
    from emo_fairseq.export import hf_classifiers

    heads = {**hf_classifiers._HEADS, "electra": hf_classifiers._HEADS["roberta"]}  # tanh
    monkeypatch.setattr(hf_classifiers, "_HEADS", heads)
    with pytest.raises(ValueError, match="its outputs differ from its own"):
        write_classifier_folder(f"hf:{source}", tmp_path / "out", OutputSpec())
