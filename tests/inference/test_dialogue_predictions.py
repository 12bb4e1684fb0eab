"""Turns of dialogues are predicted as fairseq-validate does, however they are given."""

import shutil
import weakref
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from codes import raises
from dialogue_models import BOTH_SIDES, CAUSAL, NEIGHBORS

from data_prep.schema import SAMPLE_RATE, read_manifest
from data_prep.segmentation.turn import Turn
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.predictions import PROBABILITY
from emo_fairseq.export.as_checkpoint import write_checkpoint
from emo_fairseq.export.onnx import export_onnx
from emo_fairseq.inference import engine as engine_module
from emo_fairseq.inference.live import LiveConversation
from emo_fairseq.inference.occlusion import drop, explain, silence_interval
from emo_fairseq.inference.predictor import EmotionPredictor, load_predictor

MODELS = {"texts of neighbors": NEIGHBORS, "dialogues": BOTH_SIDES, "causal dialogues": CAUSAL}
TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=MODELS.values(), ids=MODELS)
def options(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def predictor(options, trained_models) -> EmotionPredictor:
    return load_predictor(trained_models.folder(options), "cpu")


@pytest.fixture(scope="module")
def turns(toy_corpus):
    """The rows of the test split, the first turns of all dialogues first."""
    rows = read_manifest(toy_corpus / "test.tsv")
    return sorted(rows, key=lambda row: (row.turn, row.id))


def arguments(data, turns, predictor):
    reads_audio = "speech" in predictor.modalities
    return {
        "audio": [data / row.audio if reads_audio else None for row in turns],
        "text": [row.text for row in turns],
        "speaker": [row.speaker for row in turns],
        "dialogue": [row.dialogue for row in turns],
    }


def scores(predictions):
    return np.array([list(prediction.probabilities.values()) for prediction in predictions])


@pytest.fixture(scope="module")
def whole(predictor, turns, toy_corpus):
    return predictor.predict(**arguments(toy_corpus, turns, predictor))


def test_dialogues_are_predicted_as_fairseq_validate_does(
    options, predictor, turns, whole, trained_models
):
    written = trained_models.validated(trained_models.checkpoint(options))
    of_id = {row["id"]: row for row in written}
    expected = [
        [float(of_id[row.id][PROBABILITY + label]) for label in predictor.labels] for row in turns
    ]
    assert len(written) == len(turns)
    assert scores(whole) == pytest.approx(np.array(expected), abs=TOLERANCE)
    assert all(prediction.warnings == () for prediction in whole)


def test_few_recordings_at_a_time_give_the_same(predictor, turns, whole, toy_corpus, monkeypatch):
    monkeypatch.setattr(engine_module, "_BATCHES_IN_MEMORY", 1)
    given = arguments(toy_corpus, turns, predictor)
    for batch_size in (1, 3):
        found = predictor.predict(**given, batch_size=batch_size)
        assert scores(found) == pytest.approx(scores(whole), abs=TOLERANCE)
    name = turns[0].dialogue
    rows = [number for number, row in enumerate(turns) if row.dialogue == name]
    items = (
        predictor.read_item(given["audio"][x], turns[x].text, speaker=turns[x].speaker)
        for x in rows
    )
    found = predictor.predict_dialogue(items, batch_size=2)
    assert scores(found) == pytest.approx(scores([whole[x] for x in rows]), abs=TOLERANCE)


def test_recordings_of_few_turns_are_in_memory(predictor, monkeypatch):
    if "speech" not in predictor.modalities:
        pytest.skip("the model reads no speech")
    monkeypatch.setattr(engine_module, "_BATCHES_IN_MEMORY", 1)
    alive = weakref.WeakValueDictionary()
    most = 0

    def items():
        nonlocal most
        for number in range(12):
            sound = np.full(3000, 0.01 * (number + 1), dtype=np.float32)
            alive[number] = sound
            most = max(most, len(alive))
            item = predictor.read_item(sound, f"words {number}", SAMPLE_RATE, speaker="A")
            alive[number] = item.samples
            del sound
            yield item
            del item

    assert len(predictor.predict_dialogue(items(), batch_size=2)) == 12
    assert most <= 4  # a batch, the turn after it, and the one that is read


def test_a_turn_alone_is_another_input_and_is_warned_of(predictor, turns, whole, toy_corpus):
    given = arguments(toy_corpus, turns, predictor) | {"dialogue": None}
    alone = predictor.predict(**given)
    assert np.abs(scores(alone) - scores(whole)).max() > 100 * TOLERANCE
    assert all("the dialogue is not given" in " ".join(x.warnings) for x in alone)
    each = given | {"dialogue": [str(number) for number in range(len(turns))]}
    of_one_turn = predictor.predict(**each)
    assert scores(of_one_turn) == pytest.approx(scores(alone), abs=TOLERANCE)


def test_a_turn_that_cannot_be_read_is_left_out_and_named(predictor, turns, toy_corpus, tmp_path):
    given = arguments(toy_corpus, turns, predictor)
    broken = given | {"audio": [*given["audio"][:1], tmp_path / "gone.wav", *given["audio"][2:]]}
    with pytest.raises(UsageError, match=r"^item 2\b"):
        predictor.predict(**broken)
    found = predictor.predict_each(**broken)
    assert isinstance(found[1], UsageError)
    rest = {name: [*values[:1], *values[2:]] for name, values in given.items()}
    expected = predictor.predict(**rest)
    assert scores([found[0], *found[2:]]) == pytest.approx(scores(expected), abs=TOLERANCE)


def test_turns_of_a_recording_are_one_dialogue_in_order_of_time(predictor, turns, toy_corpus):
    recording = toy_corpus / turns[0].audio
    cuts = [Turn(Decimal(n) / 10, Decimal(n + 3) / 10, f"s{n % 2}", f"words {n}") for n in range(5)]
    later_first = [cuts[3], cuts[0], cuts[4], cuts[1], cuts[2]]
    segments = predictor.predict_segments(recording, later_first)
    in_order = sorted(segments, key=lambda segment: segment.start)
    assert [segment.start for segment in segments] == [0.3, 0.0, 0.4, 0.1, 0.2]
    expected = predictor.predict_segments(recording, cuts)
    assert scores([x.prediction for x in in_order]) == pytest.approx(
        scores([x.prediction for x in expected]), abs=TOLERANCE
    )
    other = [replace(turn, text="something else") for turn in cuts[:1]]
    changed = predictor.predict_segments(recording, [*other, *cuts[1:]])
    assert changed[1].prediction.probabilities != expected[1].prediction.probabilities


@pytest.fixture
def one_dialogue(predictor, turns, toy_corpus):
    """All rows as the turns of one dialogue, which is longer than a window."""
    return arguments(toy_corpus, turns, predictor) | {"dialogue": "all"}


def test_a_live_turn_is_predicted_as_the_last_of_its_dialogue(predictor, one_dialogue, options):
    names = ("audio", "text", "speaker")
    given = list(zip(*(one_dialogue[name] for name in names), strict=True))
    live, other = LiveConversation(predictor), LiveConversation(predictor)
    found = []
    for number, turn in enumerate(given):
        if number == 5:  # a turn that cannot be read is no part of the conversation
            with pytest.raises(UsageError, match="^turn 6: the text is empty"):
                live.add_turn(text=" ", speaker="nobody")
        found.append(live.add_turn(**dict(zip(names, turn, strict=True))))
        other.add_turn(text=f"another conversation {number}")
        so_far = {name: one_dialogue[name][: number + 1] for name in names}
        expected = predictor.predict(**so_far, dialogue="all")
        assert scores(found[-1:]) == pytest.approx(scores(expected[-1:]), abs=TOLERANCE)
    whole = predictor.predict(**one_dialogue)
    is_causal = options == CAUSAL
    assert (scores(found) == pytest.approx(scores(whole), abs=TOLERANCE)) is is_causal
    warned = ["the turns after each one" in " ".join(x.warnings) for x in found]
    assert warned == [not is_causal] * len(given)


def test_a_turn_is_explained_in_its_dialogue(predictor, one_dialogue):
    place = 5
    given = list(zip(*(one_dialogue[name] for name in ("audio", "text", "speaker")), strict=True))
    items = [predictor.read_item(audio, text, speaker=speaker) for audio, text, speaker in given]
    audio, text, speaker = given[place]
    found = explain(
        predictor, audio, text, speaker=speaker, before=items[:place], after=items[place + 1 :]
    )
    whole = predictor.predict(**one_dialogue)[place]
    words = text.split()
    assert found.label == whole.label
    assert [word for word, _ in found.words] == words
    for number in (0, len(words) - 1):
        rest = " ".join(words[:number] + words[number + 1 :])
        texts = [*one_dialogue["text"][:place], rest, *one_dialogue["text"][place + 1 :]]
        occluded = predictor.predict(**one_dialogue | {"text": texts})[place]
        assert found.words[number][1] == pytest.approx(drop(whole, occluded), abs=1e-4)
    if audio is not None:
        start, end, weight = found.intervals[0]
        silent = silence_interval(
            items[place].samples, round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)
        )
        sounds = [item.samples for item in items]
        sounds[place] = silent
        rates = {"sample_rate": SAMPLE_RATE, "audio": sounds}
        occluded = predictor.predict(**one_dialogue | rates)[place]
        assert weight == pytest.approx(drop(whole, occluded), abs=1e-4)


def test_an_exported_model_of_dialogues_predicts_the_same(
    trained_models, turns, toy_corpus, tmp_path
):
    """As ONNX graphs, live too, and as a checkpoint again."""
    folder = Path(shutil.copytree(trained_models.folder(CAUSAL), tmp_path / "model"))
    export_onnx(folder, check=2)
    predictor, graphs = load_predictor(folder, "cpu"), load_predictor(folder, onnx=True)
    given = arguments(toy_corpus, turns, predictor)
    expected = scores(predictor.predict(**given))
    assert scores(graphs.predict(**given)) == pytest.approx(expected, abs=1e-4)
    live = LiveConversation(graphs)
    found = [live.add_turn(text=row.text, speaker=row.speaker) for row in turns]
    as_one = predictor.predict(**given | {"dialogue": "all"})
    assert scores(found) == pytest.approx(scores(as_one), abs=1e-4)
    again = trained_models.validated(write_checkpoint(folder, tmp_path / "again.pt"))
    of_id = {row["id"]: row for row in again}
    written = [
        [float(of_id[row.id][PROBABILITY + label]) for label in predictor.labels] for row in turns
    ]
    assert expected == pytest.approx(np.array(written), abs=TOLERANCE)


def test_names_that_are_no_strings_are_refused(predictor):
    with raises("name-type") as refused:
        predictor.predict(text=["a", "b"], dialogue=["d", float("nan")])
    assert str(refused.value).startswith("item 2: the dialogue is float")
    with raises("batch-lengths-differ"):
        predictor.predict(text=["a", "b"], dialogue=["d"])
