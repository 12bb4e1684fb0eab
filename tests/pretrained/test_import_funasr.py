"""emotion2vec+ of FunASR as a model folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoints as tiny
import torch
import yaml

from emo_fairseq.export.classifier_folder import OutputSpec, write_classifier_folder
from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.pretrained.fairseq_checkpoints import (
    build_fairseq,
    describe_fairseq,
    load_fairseq,
)

LABELS = ["生气/angry", "unuse_0", "开心/happy", "<unk>"]


@pytest.fixture
def emotion2vec_plus(tmp_path: Path) -> Path:
    """Write a tiny model as FunASR does: weights with a classifier, options and labels."""
    checkpoint = tiny.data2vec2(audio={"num_extra_tokens": 3})
    weights = dict(checkpoint.model.state_dict())
    del weights["_ema"]
    torch.manual_seed(6)
    proj = {"proj.weight": torch.randn(4, 24), "proj.bias": torch.randn(4)}
    folder = tmp_path / "emotion2vec_plus_tiny"
    folder.mkdir()
    torch.save({"model": {**weights, **proj}}, folder / "model.pt")
    options = {name: value for name, value in vars(checkpoint.args).items() if name != "task"}
    config = {"model": "Emotion2vec", "model_conf": {**options, "normalize": False}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "tokens.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def sound() -> Any:
    return 0.1 * np.random.default_rng(4).standard_normal(16_000).astype(np.float32)


@torch.no_grad()
def test_it_predicts_by_the_mean_of_its_frames(
    emotion2vec_plus: Path, tmp_path: Path, sound: Any
) -> None:
    out = tmp_path / "out"
    done = write_classifier_folder(f"fairseq:{emotion2vec_plus}", out, OutputSpec())
    assert (done.labels, done.is_compared) == (["angry", "happy", "<unk>"], False)
    card = describe_fairseq(emotion2vec_plus, "speech")
    encoder = build_fairseq(card).eval()
    load_fairseq(encoder, card)
    samples = torch.from_numpy(sound)[None]
    states, mask = encoder.layers(samples, torch.zeros_like(samples, dtype=torch.bool))
    assert not mask.any()
    saved = torch.load(emotion2vec_plus / "model.pt")["model"]
    logits = states[-1].mean(dim=1)[0] @ saved["proj.weight"].T + saved["proj.bias"]
    expected = logits[[0, 2, 3]].softmax(dim=0).tolist()
    predicted = load_predictor(out).predict(sound, sample_rate=16_000)
    assert list(predicted.probabilities) == ["angry", "happy", "<unk>"]
    assert list(predicted.probabilities.values()) == pytest.approx(expected, abs=1e-5)


def test_what_is_missing_is_named(emotion2vec_plus: Path, tmp_path: Path) -> None:
    source, out = f"fairseq:{emotion2vec_plus}", tmp_path / "out"
    (emotion2vec_plus / "tokens.txt").unlink()
    with pytest.raises(ValueError, match="do not name its 4 labels"):
        write_classifier_folder(source, out, OutputSpec())
    named = write_classifier_folder(source, out, OutputSpec(labels=["a", "b", "c", "d"]))
    assert named.labels == ["a", "b", "c", "d"]
    saved = torch.load(emotion2vec_plus / "model.pt")["model"]
    kept = {name: value for name, value in saved.items() if not name.startswith("proj")}
    torch.save({"model": kept}, emotion2vec_plus / "model.pt")
    with pytest.raises(ValueError, match="holds no classifier"):
        write_classifier_folder(source, out, OutputSpec())
