"""--save-attention of a trained model, and the figures that the report draws of it."""

import sys

import numpy as np
import pytest

from data_prep.schema import read_manifest
from emo_fairseq.evaluation import attention
from emo_fairseq.report.__main__ import main

BOTH = "--modality text+speech --speech-input log_mel --batch-size 8 --max-update 1"
ASK_ALL = "--cross-attention-query all_tokens"


@pytest.fixture
def save(trained, toy_corpus, fairseq, commands, tmp_path):
    def save(options, *words):
        place = f"--path {trained(options)} --data {toy_corpus} --valid-subset test"
        return fairseq("validate", commands["validate"], place, "--batch-size 5", *words)

    return save


def test_cross_attention(save, toy_corpus, tmp_path, monkeypatch):
    rows = [row for row in read_manifest(toy_corpus / "test.tsv") if row.text and row.audio][:2]
    ids = ",".join(row.id for row in rows)
    file, predictions = tmp_path / "attention.npz", tmp_path / "predictions.tsv"
    words = f"--save-attention {file} --attention-ids {ids},nobody --save-predictions {predictions}"
    log = save(f"{BOTH} {ASK_ALL}", words).log
    assert "not scored so far: nobody" in log
    found = {one.id: one for one in attention.read(file)}
    assert found.keys() == {row.id for row in rows}
    for row in rows:
        one = found[row.id]
        assert (one.split, one.seconds) == ("test", row.n_samples / 16000)
        assert "".join(one.words).replace("·", "") == row.text.replace(" ", "")
        asked, told = one.weights["text_from_speech"], one.weights["speech_from_text"]
        assert asked.shape[2] == told.shape[3] == len(one.words)
        for weights in (asked, told):  # of a row alone, where nothing is padded
            np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-5)
    report = tmp_path / "report"
    given = ["--data", toy_corpus, "--attention", file, "--output", report, "--resamples", "5"]
    monkeypatch.setattr(sys, "argv", ["report", str(predictions), *map(str, given)])
    main()
    figures = {path.name for path in (report / "figures").iterdir()}
    assert {"attention_1_text_from_speech.svg", "attention_2_speech_from_text.png"} <= figures
    assert "no --attention" not in (report / "not_drawn.txt").read_text()
    assert rows[0].id in (report / "report.html").read_text()


def test_masked_modality(save, toy_corpus, tmp_path):
    row = next(row for row in read_manifest(toy_corpus / "test.tsv") if row.text and row.audio)
    file = tmp_path / "attention.npz"
    save(BOTH, f"--save-attention {file} --attention-ids {row.id} --mask-modality speech")
    (one,) = attention.read(file)
    assert one.seconds is None
    assert not [name for name in one.weights if "speech" in name]
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(ValueError, match="cannot be read"):
        attention.read(file)


def test_pooling(save, toy_corpus, tmp_path):
    row = next(row for row in read_manifest(toy_corpus / "test.tsv") if row.text)
    file = tmp_path / "attention.npz"
    options = "--modality text --text-pooling attention --batch-size 8 --max-update 1"
    save(options, f"--save-attention {file} --attention-ids {row.id}")
    (one,) = attention.read(file)
    assert one.weights["text"].shape == (len(one.words),)
    assert one.weights["text"].sum() == pytest.approx(1.0, abs=1e-5)
    assert one.seconds is None


@pytest.mark.parametrize(
    ("options", "words", "message"),
    [
        ("--modality text --batch-size 8 --max-update 1", "--save-attention {} ", "together"),
        (
            "--modality text --text-pooling mean --batch-size 8 --max-update 1",
            "--save-attention {} --attention-ids {id}",
            "has no attention",
        ),
    ],
)
def test_what_cannot_be_saved(options, words, message, save, toy_corpus, tmp_path):
    file = tmp_path / "attention.npz"
    name = read_manifest(toy_corpus / "test.tsv")[0].id
    with pytest.raises(ValueError, match=message):
        save(options, words.format(file, id=name))
    assert not file.exists()
