"""The toy corpus: its ceilings are exact, and neither modality gets past its own."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_prep.audio.frames import log_mel
from data_prep.audio.loading import load_audio
from data_prep.commands.prepare import main
from data_prep.commands.validate import main as validate
from data_prep.corpora import toy
from data_prep.corpora.toy import prepare_toy
from data_prep.corpora.toy_draws import (
    P_AMBIGUOUS,
    P_FLIPPED,
    QUADRANTS,
    Draw,
    bayes_ceilings,
    draw_split,
    oracle_score,
)
from data_prep.corpora.toy_voice import AROUSED, CALM, draw_voice, synthesize
from data_prep.schema import Utterance, read_corpus, read_manifest

Rows = list[Utterance]
Features = dict[tuple[str, str], np.ndarray]  # (feature, split) -> (n_utterances, n_numbers)


def band_statistics(waveform: np.ndarray) -> np.ndarray:
    """Mean and deviation over time of 8 bands, 16 numbers."""
    bands = log_mel(waveform).reshape(-1, 8, 10).mean(axis=2)
    return np.concatenate([bands.mean(axis=0), bands.std(axis=0)])


def energy(waveform: np.ndarray) -> np.ndarray:
    return np.log([np.mean(waveform**2)])


def pitch(waveform: np.ndarray) -> np.ndarray:
    """Log of the strongest autocorrelation's lag, between 70 and 450 Hz."""
    spectrum = np.abs(np.fft.rfft(waveform, 1 << 16)) ** 2
    correlation = np.fft.irfft(spectrum)[: 16_000 // 70]
    shortest = 16_000 // 450
    return np.log([shortest + np.argmax(correlation[shortest:])])


FEATURES = {"bands": band_statistics, "energy": energy, "pitch": pitch}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus as `python -m data_prep.toy` makes it."""
    folder = tmp_path_factory.mktemp("toy")
    assert main("toy", [str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def splits(corpus: Path) -> dict[str, Rows]:
    return {split: read_manifest(corpus / f"{split}.tsv") for split in ("train", "valid", "test")}


@pytest.fixture(scope="module")
def features(corpus: Path, splits: dict[str, Rows]) -> Features:
    """Of every train and test utterance: what `FEATURES` computes, and bands without the level."""
    found: Features = {}
    for split in ("train", "test"):
        sounds = [load_audio(corpus / str(row.audio)) for row in splits[split]]
        for name, extract in FEATURES.items():
            found[name, split] = np.array([extract(sound) for sound in sounds])
        # Twice as loud is 2 log 2 more in every band: what it is beyond the energy is no level.
        bands = found["bands", split].copy()
        bands[:, :8] -= found["energy", split]
        found["bands without level", split] = bands
    return found


# --- what can be known ----------------------------------------------------------------------------


def bayes_accuracy(flipped: float, ambiguous: float, *, text: bool, speech: bool) -> float:
    """Bayes's rule by enumeration: sum over observations of the likeliest class's probability."""
    joint: dict[tuple[object, object], dict[str, float]] = {}
    for emotion, cue in product(QUADRANTS, (True, False, None)):
        valence, arousal = QUADRANTS[emotion]
        chance = ambiguous if cue is None else flipped
        if cue is valence:
            chance = 1 - flipped - ambiguous
        seen = (cue if text else "?", arousal if speech else "?")
        joint.setdefault(seen, dict.fromkeys(QUADRANTS, 0.0))[emotion] += chance / len(QUADRANTS)
    assert sum(sum(classes.values()) for classes in joint.values()) == pytest.approx(1)
    return sum(max(classes.values()) for classes in joint.values())


@pytest.mark.parametrize(
    ("flipped", "ambiguous"),
    [(P_FLIPPED, P_AMBIGUOUS), (0, 0), (0.25, 0.5), (0.0, 1.0), (0.5, 0.0)],
)
def test_ceilings_are_those_of_bayes_rule(flipped: float, ambiguous: float) -> None:
    ceilings = bayes_ceilings(flipped, ambiguous)
    for name, text, speech in [
        ("text", True, False),
        ("speech", False, True),
        ("both", True, True),
    ]:
        expected = bayes_accuracy(flipped, ambiguous, text=text, speech=speech)
        assert ceilings[name] == pytest.approx(expected, abs=1e-12), name


def test_ceilings_of_a_cue_that_misleads_are_refused() -> None:
    with pytest.raises(ValueError, match="no cue to follow"):
        bayes_ceilings(0.6, 0.1)


def test_neither_modality_suffices() -> None:
    ceilings = bayes_ceilings()
    assert 0.45 <= ceilings["text"] <= 0.52
    assert 0.45 <= ceilings["speech"] <= 0.52
    assert 0.88 <= ceilings["both"] <= 0.92


def test_the_draws_follow_the_stated_chances() -> None:
    n = 40_000
    draws = draw_split(n, np.random.default_rng(0))
    assert [sum(d.emotion == e for d in draws) for e in QUADRANTS] == [n // 4] * 4
    ambiguous = np.mean([d.cue is None for d in draws])
    flipped = np.mean([d.cue is (not QUADRANTS[d.emotion][0]) for d in draws])
    sigma = np.sqrt(0.25 / n)
    assert ambiguous == pytest.approx(P_AMBIGUOUS, abs=3 * sigma)
    assert flipped == pytest.approx(P_FLIPPED, abs=3 * sigma)
    for name, score in oracle_score(draws).items():
        assert score == pytest.approx(bayes_ceilings()[name], abs=3 * sigma), name
    # Flips come alike in all classes: the ceiling is a mean recall too.
    right = [
        np.mean([d.cue is QUADRANTS[e][0] for d in draws if d.emotion == e]) for e in QUADRANTS
    ]
    assert np.ptp(right) < 6 * 2 * sigma


def test_the_oracle_counts_coin_tosses_as_half() -> None:
    draws = [Draw("happy", True), Draw("sad", True), Draw("angry", None), Draw("neutral", True)]
    assert oracle_score(draws) == {"text": 0.3125, "speech": 0.5, "both": 0.625}


def cue_of(sentence: str) -> bool | None:
    words = set(sentence.rstrip(".").replace(",", "").split())
    positive, negative = words & set(toy.POSITIVE), words & set(toy.NEGATIVE)
    return None if bool(positive) == bool(negative) else bool(positive)


@pytest.mark.parametrize("cue", [True, False, None])
def test_a_sentence_shows_its_cue_and_only_that(cue: bool | None) -> None:
    rng = np.random.default_rng(0)
    texts = [toy.write_sentence(cue, rng) for _ in range(400)]
    assert {cue_of(text) for text in texts} == {cue}
    assert all(text[0].isupper() and text.endswith(".") for text in texts)
    assert all(any(topic in text for text in texts) for topic in toy.TOPICS)


def test_no_word_has_two_meanings() -> None:
    cues = [*toy.POSITIVE, *toy.NEGATIVE, *toy.PLAIN]
    frames = " ".join([*toy.TEMPLATES, *toy.TOPICS, *toy.TIMES]).lower()
    assert len(set(cues)) == len(cues)
    assert not set(cues) & set(frames.replace(",", "").split())


# --- the corpus as written ------------------------------------------------------------------------


def test_the_corpus_is_valid_and_its_card_tells_the_ceilings(
    corpus: Path, splits: dict[str, Rows]
) -> None:
    assert validate([str(corpus)]) == 0
    card = read_corpus(corpus)
    assert card.ceilings == pytest.approx(bayes_ceilings())
    assert card.labels["emotion"] == ("neutral", "happy", "sad", "angry")
    assert [len(rows) for rows in splits.values()] == [480, 120, 240]
    for rows in splits.values():
        assert all(0.8 <= (row.n_samples or 0) / 16_000 <= 2.0 for row in rows)
        assert all(row.emotion and row.text and row.dialogue for row in rows)
    speakers = [{row.speaker for row in rows} for rows in splits.values()]
    assert [len(names) for names in speakers] == [12, 4, 6]
    assert len(set.union(*speakers)) == 22
    # The luck of the test split, as noted, is what the cues of its sentences score.
    right = [
        0.5 if cue_of(str(r.text)) is None else cue_of(str(r.text)) is QUADRANTS[str(r.emotion)][0]
        for r in splits["test"]
    ]
    assert any(f"both {np.mean(right):.4f}" in note for note in card.notes)


def test_vad_and_sentiment_follow_the_quadrants(splits: dict[str, Rows]) -> None:
    for emotion, (positive, high) in QUADRANTS.items():
        rows = [row for rows in splits.values() for row in rows if row.emotion == emotion]
        assert {row.sentiment for row in rows} == {"positive" if positive else "negative"}
        vad = np.array([(row.valence, row.arousal, row.dominance) for row in rows], dtype=float)
        assert vad.min() >= 0
        assert vad.max() <= 1
        center = [0.75 if positive else 0.25, 0.75 if high else 0.25]
        np.testing.assert_allclose(vad.mean(axis=0)[:2], center, atol=0.03)
        assert (vad.std(axis=0) > 0.03).all(), "no noise"


def test_dialogues_are_turns_of_two_speakers(splits: dict[str, Rows]) -> None:
    for rows in splits.values():
        dialogues: dict[str, Rows] = {}
        for row in rows:
            dialogues.setdefault(str(row.dialogue), []).append(row)
        assert len(dialogues) > 10
        for turns in dialogues.values():
            assert [row.turn for row in turns] == list(range(len(turns)))
            assert len({row.session for row in turns}) == 1
            assert len({row.speaker for row in turns}) <= 2
        assert np.mean([len(turns) for turns in dialogues.values()]) > 4


def read_all(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_one_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    options = {"n_train": 8, "n_valid": 4, "n_test": 4, "speakers": (3, 1, 2)}
    for name, seed in [("a", 5), ("b", 5), ("c", 6)]:
        prepare_toy(tmp_path / name, seed=seed, **options)
    a, b, c = (read_all(tmp_path / name) for name in "abc")
    assert a == b
    assert len(a) == 16 + 4
    assert a["train.tsv"] != c["train.tsv"]
    # Another size of train leaves test as it is.
    prepare_toy(tmp_path / "d", seed=5, n_train=12, n_valid=4, n_test=4, speakers=(3, 1, 2))
    d = read_all(tmp_path / "d")
    assert {k: v for k, v in d.items() if "test" in k} == {
        k: v for k, v in a.items() if "test" in k
    }


def test_shifted_voices_say_the_same_higher_and_louder(tmp_path: Path) -> None:
    small = ["--n-train", "8", "--n-valid", "4", "--n-test", "4", "--speakers", "3", "1", "2"]
    assert main("toy", [str(tmp_path / "plain"), *small]) == 0
    prepare_toy(tmp_path / "default", n_train=8, n_valid=4, n_test=4, speakers=(3, 1, 2))
    assert read_all(tmp_path / "plain") == read_all(tmp_path / "default")
    shifted = ["--name", "toy_b", "--speaker-shift", "6"]
    assert main("toy", [str(tmp_path / "b"), *small, *shifted]) == 0
    assert read_corpus(tmp_path / "b").name == "toy_b"
    assert "shifted by 6 semitones" in read_corpus(tmp_path / "b").notes[-1]
    rows = read_manifest(tmp_path / "plain" / "train.tsv")
    assert rows == read_manifest(tmp_path / "b" / "train.tsv")  # same words, lengths and truth
    plain, b = (
        [load_audio(tmp_path / name / str(row.audio)) for row in rows] for name in ("plain", "b")
    )
    lags = [pitch(other) - pitch(one) for one, other in zip(plain, b, strict=True)]
    assert np.median(lags) == pytest.approx(-0.5 * np.log(2), abs=0.05)  # half an octave higher
    powers = [energy(other) - energy(one) for one, other in zip(plain, b, strict=True)]
    assert np.median(powers) == pytest.approx(0.3 * np.log(10), abs=0.01)  # 3 dB more


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--name", "a b"], "name-malformed"),
        (["--speaker-shift", "nan"], "shift-out-of-range"),
        (["--n-train", "10"], "split-not-balanced"),
        (["--n-test", "0"], "split-not-balanced"),
        (["--n-valid", "0", "--dialogues"], "split-not-balanced"),
        (["--speakers", "2", "0", "1"], "speakers-too-few"),
    ],
)
def test_sizes_that_do_not_work_are_refused(
    arguments: list[str], code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("toy", [str(tmp_path / "toy"), *arguments]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"error: {arguments[0]} ")
    assert f"[{code}]" in errors
    assert not (tmp_path / "toy").exists()


def test_a_corpus_whose_writing_was_cut_short_has_no_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_toy(tmp_path, n_train=4, n_valid=4, n_test=4, speakers=(1, 1, 1))
    assert yaml.safe_load((tmp_path / "corpus.yaml").read_text())["name"] == "toy"

    def fail(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("data_prep.corpora.toy.write_sentence", fail)
    with pytest.raises(KeyboardInterrupt):
        prepare_toy(tmp_path, seed=2, n_train=4, n_valid=4, n_test=4, speakers=(1, 1, 1))
    assert not (tmp_path / "corpus.yaml").exists()


# --- what models can and cannot hear or read ------------------------------------------------------


def aroused(rows: Rows) -> np.ndarray:
    return np.array([QUADRANTS[str(row.emotion)][1] for row in rows])


def positive(rows: Rows) -> np.ndarray:
    return np.array([QUADRANTS[str(row.emotion)][0] for row in rows])


def emotions(valence: np.ndarray, arousal: np.ndarray) -> list[str]:
    names = {bits: emotion for emotion, bits in QUADRANTS.items()}
    return [names[bool(v), bool(a)] for v, a in zip(valence, arousal, strict=True)]


def hear(features: Features, name: str, labels: np.ndarray) -> np.ndarray:
    """Labels of the test sounds, by logistic regression on one feature of the train sounds."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return model.fit(features[name, "train"], labels).predict(features[name, "test"])


def read(splits: dict[str, Rows], labels: np.ndarray) -> np.ndarray:
    """Labels of the test sentences, by logistic regression on the words of the train sentences."""
    model = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=1000))
    model.fit([row.text for row in splits["train"]], labels)
    return model.predict([row.text for row in splits["test"]])


def hears_arousal(features: Features, name: str, splits: dict[str, Rows]) -> float:
    heard = hear(features, name, aroused(splits["train"]))
    return float(np.mean(heard == aroused(splits["test"])))


@pytest.mark.parametrize("name", ["bands", "bands without level"])
def test_arousal_is_heard_across_speakers(
    name: str, splits: dict[str, Rows], features: Features
) -> None:
    assert hears_arousal(features, name, splits) > 0.95


@pytest.mark.parametrize("name", ["energy", "pitch"])
def test_energy_or_pitch_tells_arousal_only_to_who_knows_the_speaker(
    name: str, splits: dict[str, Rows], features: Features
) -> None:
    assert hears_arousal(features, name, splits) < 0.85
    relative = {}
    for split in ("train", "test"):
        speakers = np.array([row.speaker for row in splits[split]])
        values = features[name, split].copy()
        for speaker in set(speakers):
            values[speakers == speaker] -= values[speakers == speaker].mean()
        relative[name, split] = values
    assert hears_arousal(relative, name, splits) > 0.95


def test_valence_is_not_heard_and_arousal_is_not_read(
    splits: dict[str, Rows], features: Features
) -> None:
    three_sigma = 3 * np.sqrt(0.25 / len(splits["test"]))
    heard = hear(features, "bands", positive(splits["train"]))
    assert np.mean(heard == positive(splits["test"])) == pytest.approx(0.5, abs=three_sigma)
    read_off = read(splits, aroused(splits["train"]))
    assert np.mean(read_off == aroused(splits["test"])) == pytest.approx(0.5, abs=three_sigma)


def test_each_modality_keeps_below_its_ceiling_and_both_come_near_theirs(
    splits: dict[str, Rows], features: Features
) -> None:
    truth = [str(row.emotion) for row in splits["test"]]
    train = np.array([str(row.emotion) for row in splits["train"]])
    ceilings = bayes_ceilings()
    three_sigma = 3 * np.sqrt(0.25 / len(truth))
    text = balanced_accuracy_score(truth, read(splits, train))
    speech = balanced_accuracy_score(truth, hear(features, "bands", train))
    assert text == pytest.approx(ceilings["text"], abs=three_sigma)
    assert speech == pytest.approx(ceilings["speech"], abs=three_sigma)
    valence = read(splits, positive(splits["train"]))
    arousal = hear(features, "bands", aroused(splits["train"]))
    both = balanced_accuracy_score(truth, emotions(valence, arousal))
    assert both == pytest.approx(ceilings["both"], abs=0.04)
    assert both > max(text, speech) + 0.3


def test_the_two_manners_do_not_meet() -> None:
    voices = [draw_voice(np.random.default_rng(i)) for i in range(200)]
    tilts, paces = [v.tilt_db for v in voices], [v.pace for v in voices]
    assert CALM.tilt_db[1] + max(tilts) < AROUSED.tilt_db[0] + min(tilts)
    assert CALM.syllables_per_second[1] * max(paces) < AROUSED.syllables_per_second[0] * min(paces)
    pitches = [v.pitch_hz for v in voices]
    assert max(pitches) / min(pitches) > AROUSED.pitch_ratio[1] / CALM.pitch_ratio[0]


def test_a_voice_fills_its_range_without_clipping() -> None:
    rng = np.random.default_rng(0)
    for i in range(20):
        waveform = synthesize(draw_voice(rng), bool(i % 2), rng)
        assert waveform.dtype == np.float32
        assert 0.8 * 16_000 <= len(waveform) <= 2.0 * 16_000
        assert np.isfinite(waveform).all()
        assert 0.01 < np.abs(waveform).max() <= 0.99
