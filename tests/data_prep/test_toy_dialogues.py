"""Dialogues of the toy corpus: their ceilings, against sums over all paths and observations."""

from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from codes import raises

from data_prep.commands.validate import main as validate
from data_prep.corpora import toy_dialogues
from data_prep.corpora.toy import prepare_toy
from data_prep.corpora.toy_dialogues import (
    CUES,
    EMOTIONS,
    P_AMBIGUOUS,
    P_ANSWERED,
    P_CHANGE,
    P_FLIPPED,
    P_KEPT,
    TURNS,
)
from data_prep.corpora.toy_draws import QUADRANTS
from data_prep.schema import read_corpus, read_manifest

Observation = tuple[tuple[bool | None, bool], ...]  # cue and arousal of each turn


def chance_of_step(before: str, after: str, changes: bool) -> float:
    """P(emotion | that of the turn before), spelled out."""
    (was_positive, was_high), (is_positive, is_high) = QUADRANTS[before], QUADRANTS[after]
    if not changes:
        valence = P_KEPT if is_positive == was_positive else 1 - P_KEPT
        arousal = P_KEPT if is_high == was_high else 1 - P_KEPT
    else:
        valence = P_ANSWERED if is_positive != was_high else 1 - P_ANSWERED
        arousal = P_ANSWERED if is_high != was_positive else 1 - P_ANSWERED
    return valence * arousal


def chance_of_cue(emotion: str, cue: bool | None) -> float:
    if cue is None:
        return P_AMBIGUOUS
    return 1 - P_FLIPPED - P_AMBIGUOUS if cue == QUADRANTS[emotion][0] else P_FLIPPED


def chance_of_path(path: tuple[str, ...], cues: tuple[bool | None, ...], changes: tuple) -> float:
    chance = 1 / 4
    for before, after, change in zip(path, path[1:], changes, strict=False):
        chance *= (
            sum(
                p * chance_of_step(before, after, kind)
                for kind, p in ((True, P_CHANGE), (False, 1 - P_CHANGE))
            )
            if change is None
            else chance_of_step(before, after, change)
        )
    for emotion, cue in zip(path, cues, strict=True):
        chance *= chance_of_cue(emotion, cue)
    return chance


def brute_posterior(seen: Observation, changes: tuple, at: int, text: bool, speech: bool) -> list:
    """P(emotion of a turn | what all turns show), by a sum over all paths."""
    weights = dict.fromkeys(EMOTIONS, 0.0)
    for path in product(EMOTIONS, repeat=len(seen)):
        heard = all(QUADRANTS[e][1] == high for e, (_, high) in zip(path, seen, strict=True))
        if speech and not heard:
            continue
        cues = tuple(cue for cue, _ in seen)
        chance = chance_of_path(path, cues, changes)
        if not text:
            chance /= np.prod([chance_of_cue(e, c) for e, c in zip(path, cues, strict=True)])
        weights[path[at]] += float(chance)
    return [weight / sum(weights.values()) for weight in weights.values()]


@pytest.mark.parametrize(("text", "speech"), [(True, False), (False, True), (True, True)])
def test_posteriors_are_sums_over_all_paths(text: bool, speech: bool) -> None:
    rng = np.random.default_rng(0)
    n_turns = 5
    steps = toy_dialogues.transitions()
    for _ in range(4):
        cues, aroused = rng.integers(3, size=n_turns), rng.uniform(size=n_turns) < 0.5
        changes = tuple((rng.uniform(size=n_turns - 1) < 0.5).tolist())
        seen = tuple(
            (CUES[cue], bool(high)) for cue, high in zip(cues.tolist(), aroused, strict=True)
        )
        shown = toy_dialogues.likelihoods(cues[None], aroused[None], text=text, speech=speech)
        matrices = steps[[0, *map(int, changes)]][None]
        everything = toy_dialogues.posteriors(shown, matrices, past=True, future=True)[0]
        past = toy_dialogues.posteriors(shown, matrices, past=True, future=False)[0]
        for at in range(n_turns):
            expected = brute_posterior(seen, changes, at, text, speech)
            np.testing.assert_allclose(everything[at], expected, atol=1e-12)
            expected = brute_posterior(seen[: at + 1], changes[:at], at, text, speech)
            np.testing.assert_allclose(past[at], expected, atol=1e-12)


def test_ceilings_are_what_the_best_guesses_of_drawn_turns_score() -> None:
    """The mean largest posterior, and how often the likeliest emotion is the one that was drawn."""
    ceilings = toy_dialogues.ceilings()
    turns = toy_dialogues.draw_turns(40_000, 8, np.random.default_rng(7))
    scores = toy_dialogues.oracle_scores(turns)
    assert scores.keys() == ceilings.keys()
    for name, ceiling in ceilings.items():
        assert scores[name] == pytest.approx(ceiling, abs=0.012), name
    for channel, clear in (("text", 0.5), ("both", 1.0)):
        single = (1 - P_FLIPPED - P_AMBIGUOUS / 2) * clear
        assert ceilings[channel] == pytest.approx(single, abs=0.003)
    assert ceilings["speech"] == 0.5


def test_ceilings_of_short_dialogues_are_exact_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """All dialogues of three turns: every path, cue and speaker, each with its chance."""
    monkeypatch.setattr(toy_dialogues, "TURNS", (3, 3))
    monkeypatch.setattr(toy_dialogues, "_SIMULATED", 20_000)
    simulated = toy_dialogues.ceilings()
    for name, text, speech, knows in (
        ("text_dialogue", True, False, True),
        ("speech_dialogue", False, True, True),
        ("both_dialogue_no_speakers", True, True, False),
    ):
        accuracy = 0.0
        for changes in product((True, False), repeat=2) if knows else [(None, None)]:
            p = np.prod([P_CHANGE if change else 1 - P_CHANGE for change in changes])
            observations: dict[object, np.ndarray] = {}
            for path in product(EMOTIONS, repeat=3):
                for cues in product(CUES, repeat=3):
                    seen = (cues if text else None, [QUADRANTS[e][1] for e in path] * speech)
                    joint = observations.setdefault(str(seen), np.zeros((3, 4)))
                    chance = chance_of_path(path, cues, changes)
                    for at, emotion in enumerate(path):
                        joint[at, EMOTIONS.index(emotion)] += chance
            total = sum(joint.max(axis=1).mean() for joint in observations.values())
            accuracy += total * (p if knows else 1)
        assert simulated[name] == pytest.approx(accuracy, abs=0.004), name


def test_context_and_speakers_matter() -> None:
    ceilings = toy_dialogues.ceilings()
    for channel in ("text", "speech", "both"):
        alone, past, whole, blind = (
            ceilings[f"{channel}{context}"]
            for context in ("", "_past", "_dialogue", "_dialogue_no_speakers")
        )
        assert alone + 0.1 < past < whole - 0.04
        assert blind < whole - 0.02


def test_drawn_turns_follow_the_stated_chances() -> None:
    turns = toy_dialogues.draw_turns(20_000, 6, np.random.default_rng(3))
    assert len(turns) == 20_000
    pairs = [(a, b) for a, b in pairwise(turns) if a.dialogue == b.dialogue]
    assert all(b.turn == a.turn + 1 and a.speaker // 2 == b.speaker // 2 for a, b in pairs)
    changes = [a.speaker != b.speaker for a, b in pairs]
    assert np.mean(changes) == pytest.approx(P_CHANGE, abs=0.012)
    for changed in (True, False):
        steps = [(a, b) for (a, b), c in zip(pairs, changes, strict=True) if c == changed]
        for before in EMOTIONS:
            after = [b.draw.emotion for a, b in steps if a.draw.emotion == before]
            for emotion in EMOTIONS:
                share = np.mean([e == emotion for e in after])
                expected = chance_of_step(before, emotion, changed)
                assert share == pytest.approx(expected, abs=0.04), (before, emotion, changed)
    lengths = np.bincount([turn.dialogue for turn in turns])[:-1]
    assert (lengths.min(), lengths.max()) == TURNS


def test_the_corpus_of_dialogues(tmp_path: Path) -> None:
    options = {"n_train": 40, "n_valid": 10, "n_test": 21, "speakers": (4, 2, 2)}
    prepare_toy(tmp_path / "a", dialogues=True, **options)
    prepare_toy(tmp_path / "b", dialogues=True, with_audio=False, **options)
    assert validate([str(tmp_path / "a")]) == validate([str(tmp_path / "b")]) == 0
    card = read_corpus(tmp_path / "a")
    assert card.ceilings == toy_dialogues.ceilings()
    assert any("on the test split as drawn" in note for note in card.notes)
    for split, n in (("train", 40), ("valid", 10), ("test", 21)):
        with_audio = read_manifest(tmp_path / "a" / f"{split}.tsv")
        silent = read_manifest(tmp_path / "b" / f"{split}.tsv")
        assert [row.emotion for row in with_audio] == [row.emotion for row in silent]
        assert len(with_audio) == n
        assert all(row.audio and row.n_samples for row in with_audio)
        assert not any(row.audio for row in silent)
    assert not (tmp_path / "b" / "audio").exists()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"dialogues": True, "speakers": (4, 3, 2)}, "speakers-too-few"),
        ({"dialogues": True, "n_valid": 0}, "split-not-balanced"),
        ({"with_audio": False, "speaker_shift": 2.0}, "options-conflict"),
    ],
)
def test_dialogues_that_cannot_be_drawn(tmp_path: Path, options: dict, code: str) -> None:
    with raises(code):
        prepare_toy(tmp_path / "toy", **options)
    assert not (tmp_path / "toy").exists()
