"""Simulated annotators: their votes are those that are expected, and the default toy stays."""

import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from codes import raises

from data_prep.commands.validate import validate
from data_prep.corpora.toy import prepare_toy
from data_prep.corpora.toy_annotators import (
    AROUSAL,
    NOISE,
    VALENCE,
    annotate,
    lowest_cross_entropies,
)
from data_prep.corpora.toy_draws import P_AMBIGUOUS, QUADRANTS, Draw, draw_split
from data_prep.manifest.votes import parse_votes
from data_prep.schema import Utterance, read_corpus, read_manifest

SIZES = {"n_train": 200, "n_valid": 8, "n_test": 8}


def expected_shares(draw: Draw) -> dict[str, float]:
    """Return the share of votes for each emotion that is expected of an utterance."""
    log_odds = {True: VALENCE, False: -VALENCE, None: 0.0}[draw.cue]
    positive = NormalDist().cdf(log_odds / NOISE)
    aroused = NormalDist().cdf((AROUSAL if draw.aroused else -AROUSAL) / NOISE)
    return {
        emotion: (positive if signs[0] else 1 - positive) * (aroused if signs[1] else 1 - aroused)
        for emotion, signs in QUADRANTS.items()
    }


def test_the_corpus_is_valid_and_its_emotion_is_the_majority(tmp_path: Path) -> None:
    prepare_toy(tmp_path / "a", with_audio=False, annotators=4, **SIZES)
    prepare_toy(tmp_path / "plain", with_audio=False, **SIZES)
    assert validate(tmp_path / "a") == []
    rows, plain = (read_manifest(tmp_path / name / "train.tsv") for name in ("a", "plain"))
    assert [row.text for row in rows] == [row.text for row in plain]
    assert [row.extra["true_emotion"] for row in rows] == [row.emotion for row in plain]
    ties = 0
    for row in rows:
        votes = sorted(parse_votes(row.votes or "").items(), key=lambda pair: -pair[1])
        assert sum(number for _, number in votes) == row.n_annotators == 4
        is_tie = len(votes) > 1 and votes[0][1] == votes[1][1]
        ties += is_tie
        assert row.emotion == (None if is_tie else votes[0][0])
        assert row.valence_sd is not None
        assert 0 <= row.valence_sd <= 0.5
    assert 0 < ties < len(rows) / 2
    corpus = read_corpus(tmp_path / "a")
    assert corpus.ceilings is None
    assert any(f"{ties} of train" in note for note in corpus.notes)


@pytest.mark.parametrize("draw", [Draw("happy", cue=True), Draw("sad", cue=None)])
def test_shares_of_many_annotators_are_the_expected_ones(draw: Draw) -> None:
    rng = np.random.default_rng(0)
    row = Utterance("u", text="x", emotion=draw.emotion, valence=0.5, arousal=0.5, dominance=0.5)
    n = 20_000
    found = parse_votes(annotate(row, draw, n, rng).votes or "")
    expected = expected_shares(draw)
    assert math.fsum(expected.values()) == pytest.approx(1.0)
    for emotion in QUADRANTS:
        assert found[emotion] / n == pytest.approx(expected[emotion], abs=0.015)


def test_the_lowest_cross_entropies_are_those_of_the_expected_shares() -> None:
    """Slow: of many draws, with the mean of the shares over what is not read."""
    draws = draw_split(4000, np.random.default_rng(1))
    both = [list(expected_shares(draw).values()) for draw in draws]
    entropies = [-sum(p * math.log(p) for p in shares) for shares in both]
    lowest = lowest_cross_entropies()
    assert np.mean(entropies) == pytest.approx(lowest["both"], abs=0.01)
    pairs = list(zip(draws, both, strict=True))
    by_cue = {
        cue: np.mean([shares for draw, shares in pairs if draw.cue is cue], axis=0)
        for cue in (True, False, None)
    }
    of_cue = {cue: float(-(p * np.log(p)).sum()) for cue, p in by_cue.items()}
    text = (1 - P_AMBIGUOUS) * (of_cue[True] + of_cue[False]) / 2 + P_AMBIGUOUS * of_cue[None]
    assert text == pytest.approx(lowest["text"], abs=0.01)


def test_one_annotator_and_dialogues_are_refused(tmp_path: Path) -> None:
    with raises("annotators-too-few"):
        prepare_toy(tmp_path, annotators=1)
    with raises("options-conflict"):
        prepare_toy(tmp_path, annotators=3, dialogues=True)
