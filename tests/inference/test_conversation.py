"""Conversations: every turn of a recording with its prediction, its shift, or its error."""

import json
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
import soundfile
from codes import raises

from data_prep.errors import CodedError
from data_prep.segmentation.turn import Segmentation, Turn
from emo_fairseq.diarization import turns as turns_module
from emo_fairseq.diarization.options import TurnOptions
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.conversation import PredictedTurn, mark_shifts, turn_document
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.inference.stopping import StoppedError
from emo_fairseq.inference.transcribing import FasterWhisper, Transcript, Word

MODEL = "--modality text+speech --speech-input log_mel --auxiliary-targets vad"
RATE = 16_000
AXES = ["valence", "arousal", "dominance"]


def turn(start, end, speaker=None, text=None, **more):
    return Turn(Decimal(str(start)), Decimal(str(end)), speaker, text, **more)


TURNS = [
    turn(0.0, 0.5, "Ann", "So glad!"),
    turn(0.5, 1.25, "Ben"),
    turn(1.0, 1.01, "Ann"),  # too short
    turn(1.25, 2.0, "Ann", "Leave me alone."),
    turn(8.0, 9.0, "Ben"),  # beyond the end
]


@pytest.fixture(scope="module")
def predictor(trained_models):
    return load_predictor(trained_models.folder(MODEL), "cpu")


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("conversation") / "call.wav"
    time = np.arange(2 * RATE) / RATE
    samples = 0.3 * np.sin(2 * np.pi * (200 + 300 * time) * time)
    soundfile.write(path, samples.astype(np.float32), RATE, "FLOAT")
    return path


@pytest.fixture(scope="module")
def conversation(predictor, recording):
    return predictor.conversation(recording, TURNS)


def test_turns_have_the_predictions_of_their_segments(predictor, recording, conversation):
    valid = [TURNS[0], TURNS[1], TURNS[3]]
    alone = predictor.predict_segments(recording, valid)
    predicted = [turn for turn in conversation.turns if turn.error is None]
    assert [part.turn for part in predicted] == valid
    for part, expected in zip(predicted, alone, strict=True):
        assert part.prediction.probabilities == pytest.approx(
            expected.prediction.probabilities, abs=1e-5
        )
        assert part.values == pytest.approx(expected.prediction.auxiliary["vad"], abs=1e-5)
        assert part.confidence == max(part.prediction.probabilities.values())


def test_a_turn_that_cannot_be_predicted_keeps_its_place(conversation):
    errors = {turn.turn.start: turn.error.code for turn in conversation.turns if turn.error}
    assert errors == {Decimal("1.0"): "audio-too-short", Decimal("8.0"): "segment-outside"}
    assert [turn.turn for turn in conversation.turns] == TURNS


def test_the_document_is_plain(conversation):
    document = json.loads(json.dumps(conversation.to_document(), allow_nan=False))
    assert document["recording"] == "call.wav"
    assert document["seconds"] == 2.0
    assert document["labels"] == list(conversation.labels)
    assert document["axes"] == AXES
    first, _, short, *_ = document["turns"]
    assert (first["start"], first["end"], first["speaker"]) == (0.0, 0.5, "Ann")
    assert (first["text"], first["error"], first["shift"]) == ("So glad!", None, None)
    assert sum(first["probabilities"].values()) == pytest.approx(1.0)
    assert list(first["values"]) == AXES
    assert short["label"] is None
    assert short["error"].endswith("[audio-too-short]")
    assert first.keys() == short.keys()
    alone = turn_document(0.0, 0.5, conversation.turns[0].prediction, "Ann", None)
    assert {**alone, "channel": None} == first
    assert turn_document(0, 1, conversation.turns[0].prediction, "Ann", "no label")["shift"] is True


def test_every_source_of_the_same_sound_gives_the_same(predictor, recording, conversation):
    expected = conversation.to_document()["turns"]
    samples, _ = soundfile.read(recording, dtype="float32")
    for source in (recording.read_bytes(), samples):
        other = predictor.conversation(source, TURNS, name="call.wav").to_document()
        for turn, same in zip(other["turns"], expected, strict=True):
            assert turn["probabilities"] == pytest.approx(same["probabilities"], abs=1e-5)
            assert turn["error"] == same["error"]


def test_a_turn_of_a_channel_is_read_from_it_alone(predictor, recording, tmp_path):
    samples, _ = soundfile.read(recording, dtype="float32")
    noise = 0.3 * np.random.default_rng(0).standard_normal(len(samples))
    soundfile.write(tmp_path / "two.wav", np.stack([noise, samples], 1), RATE, "FLOAT")
    part = turn(0.5, 1.5, "Ann")
    expected, mixed = (
        predictor.conversation(path, [part]).turns[0].prediction.probabilities
        for path in (recording, tmp_path / "two.wav")
    )
    turns = [replace(part, channel=2)]
    found = predictor.conversation(tmp_path / "two.wav", turns).turns[0].prediction.probabilities
    assert found == pytest.approx(expected, abs=1e-5)
    assert found != pytest.approx(mixed, abs=1e-5)


def test_turns_without_a_text_are_transcribed(predictor, recording):
    def transcribe(samples):
        if len(samples) < 0.6 * RATE:
            raise RuntimeError("no words")
        return f"{len(samples)} samples"

    turns = [turn(0.0, 1.0), turn(1.0, 1.5), turn(1.0, 2.0, text="given")]
    whole, failed, given = predictor.conversation(recording, turns, transcribe=transcribe).turns
    assert (whole.text, given.text) == ("16000 samples", "given")
    assert failed.error.code == "transcribe-failed"
    assert str(failed.error).startswith("transcribe failed (RuntimeError: no words)")


def test_a_turn_that_fails_in_the_model_does_not_stop_the_others(
    predictor, recording, conversation, monkeypatch
):
    predict = predictor.predict_dialogue

    def refuse_short(turns, *args, **kwargs):
        items = list(turns)
        if short := [item for item in items if item.seconds < 0.6]:
            raise UsageError(f"{short[0].name}: too short for its features", "features-too-short")
        return predict(items, *args, **kwargs)

    monkeypatch.setattr(predictor, "predict_dialogue", refuse_short)
    turns = predictor.conversation(recording, TURNS).turns
    codes = [turn.error and turn.error.code for turn in turns]
    short = "features-too-short"
    assert codes == [short, None, "audio-too-short", None, "segment-outside"]
    assert str(turns[0].error) == "too short for its features"
    expected = [turn.prediction.probabilities for turn in conversation.turns if turn.prediction]
    found = [turn.prediction.probabilities for turn in turns if turn.prediction]
    assert found == [pytest.approx(values, abs=1e-5) for values in expected[1:]]
    with raises(short):
        predictor.conversation(recording, TURNS[:1])


def test_emotions_among_the_words_are_noted(predictor, recording):
    """Subtitles that were written with predictions would hand them to the model as words."""
    marked = [turn(0.0, 0.5, "Ann", "[happy] So glad!"), turn(0.5, 1.0, "Ben", "[sigh] No.")]
    notes = predictor.conversation(recording, marked).notes
    assert [note.partition("; ")[0] for note in notes] == [
        "texts that begin with an emotion in brackets, as subtitles of analyze do: 1"
    ]
    assert not predictor.conversation(recording, marked[1:]).notes


def test_what_a_model_does_not_read_is_counted(trained_models, recording):
    speech = load_predictor(trained_models.folder("--modality speech --speech-input log_mel"))
    segmentation = Segmentation(recording, TURNS, {"lines of LEXEME": 3}, ["a note"])
    conversation = speech.conversation(recording, segmentation)
    texts = "texts of turns, which the model does not read"
    assert conversation.skipped == {"lines of LEXEME": 3, texts: 2}
    assert conversation.notes == ["a note"]
    assert conversation.axes == ()
    assert conversation.turns[0].text == "So glad!"


def test_silence_is_a_conversation_without_turns(predictor, tmp_path):
    pytest.importorskip("faster_whisper")
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    conversation = predictor.conversation(tmp_path / "silence.wav")
    assert conversation.turns == []
    assert conversation.notes[0].startswith("its 1.0 s are silent throughout")
    assert conversation.to_document()["seconds"] == 1.0


class Words(FasterWhisper):
    """Two words, whatever is said."""

    def __init__(self):
        self.n_calls = 0

    def __call__(self, samples, words=False, should_stop=None):
        self.n_calls += 1
        assert words
        times = (Word(0.1, 0.3, " so"), Word(0.3, 0.5, " glad"))
        return Transcript("so glad", "en", times)


def test_turns_that_are_found_have_their_words(predictor, recording, monkeypatch):
    """Of Whisper, which is run once; a transcriber without times is run for each turn."""
    calls = []

    def find(source, options, *, transcribe, **more):
        calls.append((options, transcribe))
        text = None if transcribe is None else transcribe(np.zeros(RATE, np.float32)).text
        return Segmentation(recording, [turn(0.0, 1.0, text=text), turn(1.0, 2.0)])

    monkeypatch.setattr(turns_module, "find_turns", find)
    options, whisper = TurnOptions(pause=1.0), Words()
    found = predictor.conversation(recording, turn_options=options, transcribe=whisper)
    assert [part.text for part in found.turns] == ["so glad", None]
    assert whisper.n_calls == 1
    found = predictor.conversation(recording, transcribe=lambda samples: "each alone")
    assert [part.text for part in found.turns] == ["each alone"] * 2
    assert calls[0][0] is options
    assert calls[1] == (None, None)


def test_what_is_refused(predictor, trained_models, recording, tmp_path):
    with raises("file-missing"):
        predictor.conversation(tmp_path / "none.wav", TURNS)
    with raises("turns-overlap"):
        predictor.conversation(recording, [turn(0, 1, "Ann"), turn(0.5, 1.5, "Ann")])
    text = load_predictor(trained_models.folder("--modality text"))
    with raises("modality-not-read"):
        text.conversation(recording)
    absent = text.conversation(tmp_path / "none.wav", TURNS)  # it reads no audio
    assert [turn.error is None for turn in absent.turns] == [True, False, False, True, False]
    assert absent.seconds is None


def test_progress_and_stopping(predictor, recording):
    calls = []
    predictor.conversation(recording, TURNS[:4], progress=lambda *call: calls.append(call))
    assert calls == [("emotions", start, 2.0) for start in (0.0, 0.5, 1.0, 1.25)]
    with pytest.raises(StoppedError):
        predictor.conversation(recording, TURNS, should_stop=lambda: True)


# -- shifts ----------------------------------------------------------------------------------------


def shifts(*turns):
    """Of pairs of a speaker and a label; None for a turn without a prediction."""
    prediction = Prediction(None, {}, {}, {}, np.zeros(1), ())
    return [
        part.shift
        for part in mark_shifts(
            [
                PredictedTurn(turn(number, number + 1, speaker), replace(prediction, label=label))
                if label
                else PredictedTurn(turn(number, number + 1, speaker), error=CodedError("no"))
                for number, (speaker, label) in enumerate(turns)
            ]
        )
    ]


def test_a_shift_is_a_change_from_the_speakers_previous_turn():
    turns = [("a", "x"), ("b", "y"), ("a", "x"), ("b", "x"), ("a", "y")]
    assert shifts(*turns) == [None, None, False, True, True]


def test_turns_without_a_label_are_passed_over():
    assert shifts(("a", "x"), ("a", None), ("a", "y")) == [None, None, True]


def test_unknown_speakers():
    assert shifts((None, "x"), (None, "y")) == [None, True]
    assert shifts(("a", "x"), (None, "y"), (None, "x"), ("a", "x")) == [None, None, None, False]
