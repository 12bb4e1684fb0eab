"""Predictions from mp4 files are those of fairseq-validate; sound comes with the video."""

import logging
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import hf_folders
import numpy as np
import pytest
from codes import raises
from talking_faces import write_faces, write_talking_face

from data_prep.audio.loading import load_audio
from data_prep.commands import extract_features
from data_prep.commands.tokenize_text import tokenize_with_sentencepiece
from data_prep.schema import read_manifest
from data_prep.segmentation.turn import Turn
from data_prep.video.segment import VideoSegment
from emo_fairseq.evaluation.predictions import PROBABILITY
from emo_fairseq.inference.live import LiveConversation
from emo_fairseq.inference.predictor import EmotionPredictor, load_predictor

pytest.importorskip("av")
pytest.importorskip("PIL")

TOLERANCE = 1e-5
DETECTOR = f"{__name__}:find_everywhere"
SMALL_FEATURES = """--video-encoder-layers 1 --video-embed-dim 16 --video-ffn-embed-dim 16
    --video-attention-heads 2"""


def find_everywhere(pictures):
    """The middle of every picture but the first."""
    boxes = [[[30, 30, 60, 60]] for _ in pictures]
    return [[], *boxes[1:]]


@pytest.fixture(scope="module")
def faces(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    for family in ("videomae", "vit"):
        hf_folders.build_video(root / family, family)
    data = write_faces(toy_corpus, root)
    tokenize_with_sentencepiece(data, vocab_size=292)
    return data


@pytest.fixture(scope="module")
def options(faces: Path) -> dict[str, str]:
    root = faces.parent
    extract = [str(faces), "--modality", "video", "--encoder", f"hf:{root / 'vit'}", "--name", "f"]
    assert extract_features.main([*extract, "--frames-per-second", "10"]) == 0
    clips = f"--video-encoder hf:{root / 'videomae'} --frames-per-second 10"
    return {
        "V, frozen": f"--modality V {clips} --video-tuning frozen --no-encoder-cache",
        "V, faces": f"--modality V --video-encoder hf:{root / 'vit'} --face-detector {DETECTOR}",
        "A+V": f"--modality A+V --speech-input log_mel {clips}",
        "V, features": f"--modality V --video-encoder features:f {SMALL_FEATURES}",
        "T+A+V, features": "--modality T+A+V --speech-input log_mel --video-encoder features:f "
        f"{SMALL_FEATURES} --fusion concat",
    }


@pytest.fixture(scope="module")
def folder(trained_models, faces, options):
    def train(name: str) -> Path:
        return trained_models.folder(options[name], faces)

    return train


def rows(data: Path):
    return sorted(read_manifest(data / "test.tsv"), key=lambda row: row.id)


def videos_of(data: Path) -> list[Path | None]:
    folder = data.parent / "videos"
    return [None if row.video is None else folder / row.video for row in rows(data)]


def sounds_of(data: Path, toy: Path) -> list[Path]:
    return [toy / str(row.audio) for row in rows(data)]


@pytest.mark.parametrize("name", ["V, frozen", "V, faces", "V, features"])
def test_it_predicts_from_videos_as_fairseq_validate_does(
    name, faces, options, folder, trained_models
):
    checkpoint = trained_models.checkpoint(options[name], faces)
    expected = trained_models.validated(checkpoint, faces)
    predictor = load_predictor(folder(name), "cpu", face_detector=DETECTOR)
    assert predictor.modalities == ("video",)
    given = [video for video in videos_of(faces) if video is not None]
    found = predictor.predict(video=given, batch_size=3)
    assert len(found) == len(expected) == 5
    for prediction, row in zip(found, expected, strict=True):
        written = {label: float(row[PROBABILITY + label]) for label in predictor.labels}
        assert prediction.probabilities == pytest.approx(written, abs=TOLERANCE)
    alone = predictor.predict(video=given[2].read_bytes())
    assert np.abs(alone.embedding - found[2].embedding).max() < TOLERANCE


def test_sound_and_missing_videos_are_those_of_the_rows(
    faces, toy_corpus, options, folder, trained_models, caplog
):
    checkpoint = trained_models.checkpoint(options["A+V"], faces)
    expected = trained_models.validated(checkpoint, faces)
    predictor = load_predictor(folder("A+V"), "cpu")
    given = videos_of(faces)
    caplog.clear()
    found = predictor.predict(sounds_of(faces, toy_corpus), video=given)
    for prediction, row in zip(found, expected, strict=True):
        written = {label: float(row[PROBABILITY + label]) for label in predictor.labels}
        assert prediction.probabilities == pytest.approx(written, abs=TOLERANCE)
    assert "video is missing in 1 of 6 rows" in caplog.text
    assert [p.modalities for p in found].count(("speech", "video")) == 5


def test_the_sound_of_a_video_is_read_too(faces, folder):
    predictor = load_predictor(folder("A+V"), "cpu")
    video = videos_of(faces)[0]
    both = predictor.predict(video=video)
    assert both.modalities == ("speech", "video")
    assert both.seconds == pytest.approx(1.0, abs=0.3)
    beside = predictor.predict(video, video=video)  # its sound, given
    assert both.probabilities == pytest.approx(beside.probabilities, abs=TOLERANCE)
    from_bytes = predictor.predict(video=video.read_bytes())
    assert both.probabilities == pytest.approx(from_bytes.probabilities, abs=TOLERANCE)
    part = predictor.predict(video=VideoSegment(video, 0.2, 0.7))
    assert part.seconds == pytest.approx(0.5, abs=0.01)
    assert part.probabilities != both.probabilities


def test_windows_of_a_timeline_and_turns_have_their_pictures(faces, folder):
    predictor = load_predictor(folder("A+V"), "cpu")
    video = videos_of(faces)[0]
    windows = {"window_seconds": 0.4, "hop_seconds": 0.2}
    found = predictor.timeline(video, **windows)
    assert len(found) > 2
    for window in found:
        alone = predictor.predict(video=VideoSegment(video, window.start, window.end))
        assert window.prediction.modalities == ("speech", "video")
        expected = alone.probabilities
        assert window.prediction.probabilities == pytest.approx(expected, abs=1e-3)
    unread = "no pictures are read of the recording: the model reads speech and video"
    for window in predictor.timeline(load_audio(video), sample_rate=16_000, **windows):
        assert window.prediction.modalities == ("speech",)
        assert any(warning.startswith(unread) for warning in window.prediction.warnings)
    turns = [Turn(Decimal(0), Decimal("0.5"))]
    assert not predictor.conversation(video, turns).notes
    (note,) = predictor.conversation(video.read_bytes(), turns).notes
    assert note.startswith(unread)
    spoken = LiveConversation(predictor).add_turn(load_audio(video))
    assert any("no pictures are read of a live turn" in warning for warning in spoken.warnings)


def test_a_long_video_is_truncated_and_the_prediction_shows_it(faces, folder):
    from trained_models import load_with_options

    predictor = load_with_options(folder("V, frozen"), max_video_seconds=0.4)
    (truncation,) = predictor.predict(video=videos_of(faces)[0]).truncations
    assert (truncation.modality, truncation.used, truncation.unit) == ("video", 0.4, "seconds")
    assert "video is too long" in truncation.describe()


def test_pictures_without_a_face_are_a_warning(faces, folder):
    predictor = load_predictor(folder("V, faces"), "cpu", face_detector=DETECTOR)
    (warning,) = predictor.predict(video=videos_of(faces)[0]).warnings
    assert warning.startswith("no face in ")


def speak(text: str, file: Path) -> np.ndarray:
    """Samples at 16 kHz of a voice that reads a text; of a tone where there is no espeak-ng."""
    if shutil.which("espeak-ng") is None:
        return (0.3 * np.sin(2 * np.pi * 220 * np.arange(16_000) / 16_000)).astype(np.float32)
    subprocess.run(["espeak-ng", "-w", str(file), text], check=True)
    return load_audio(file)


def test_a_talking_face_is_predicted_from_words_sound_and_pictures(
    faces, folder, trained_models, tmp_path, caplog
):
    words = "What a lovely day it is."
    video = tmp_path / "face.mp4"
    samples = speak(words, tmp_path / "voice.wav")
    write_talking_face(video, samples, "happy")
    predictor = load_predictor(folder("T+A+V, features"), "cpu")
    whole = predictor.predict(text=words, video=video)
    assert whole.modalities == ("text", "speech", "video")
    assert whole.label in predictor.labels
    assert whole.seconds == pytest.approx(len(samples) / 16_000, abs=0.2)
    caplog.clear()
    beside = predictor.predict(text=[words, None], video=[video, video])
    assert beside[0].probabilities == pytest.approx(whole.probabilities, abs=TOLERANCE)
    assert beside[1].modalities == ("speech", "video")
    assert "text is missing in 1 of 2 rows" in caplog.text
    alone = predictor.predict(text=words)
    assert alone.probabilities != pytest.approx(whole.probabilities, abs=TOLERANCE)


# -- What is refused -------------------------------------------------------------------------------


def test_a_detector_that_is_not_named_again_is_not_imported(faces, folder):
    predictor = load_predictor(folder("V, faces"), "cpu")
    with raises("face-detector-missing") as error:
        predictor.predict(video=videos_of(faces)[0])
    assert DETECTOR in str(error.value)


def test_videos_that_cannot_be_read_are_named(faces, folder, tmp_path):
    predictor = load_predictor(folder("V, frozen"), "cpu")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    with raises("video-unreadable") as error:
        predictor.predict(video=broken)
    assert "broken.mp4" in str(error.value)
    good = videos_of(faces)[0]
    first, second = predictor.predict_each(video=[broken, good])
    assert getattr(first, "code", "") == "video-unreadable"
    assert second.modalities == ("video",)
    with raises("item-empty"):
        predictor.predict()
    with raises("batch-lengths-differ"):
        load_predictor(folder("A+V"), "cpu").predict([None], video=[good, good])


def test_a_model_without_video_refuses_one(trained_models, faces):
    predictor = EmotionPredictor.from_pretrained(trained_models.folder("--modality text"), "cpu")
    with raises("modality-not-read"):
        predictor.predict(text="so", video=videos_of(faces)[0])


def test_a_missing_modality_is_counted_once(trained_models, caplog):
    predictor = EmotionPredictor.from_pretrained(
        trained_models.folder("--modality text+speech --speech-input log_mel"), "cpu"
    )
    caplog.set_level(logging.WARNING)
    predictor.predict(text=["so", "no", "yes"])
    assert caplog.text.count("speech is missing in 3 of 3 rows") == 1
