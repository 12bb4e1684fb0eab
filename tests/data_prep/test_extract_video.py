"""Features of videos: of pictures at a rate, of faces, of folders of faces; counted and resumed."""

import logging
import re
from pathlib import Path

import hf_folders
import numpy as np
import pytest
import torch
from video_clips import numbered, write_pictures

from data_prep.commands import extract_features
from data_prep.commands.validate import validate
from data_prep.features.stored import open_features, read_card
from data_prep.schema import Corpus, Utterance, read_manifest, write_corpus
from data_prep.video.loading import ClipLoader, PictureOptions
from data_prep.video.segment import VideoSegment
from emo_fairseq import pretrained

pytest.importorskip("av")
pytest.importorskip("PIL")


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {family: hf_folders.build_video(root / family, family) for family in ("vit", "videomae")}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Rows of a video, of a segment of it, and of a text alone; and a video that is not read."""
    write_pictures(tmp_path / "videos" / "a.mkv", numbered(20))
    rows = [
        Utterance("a", text="so", emotion="sad", video="a.mkv"),
        Utterance("b", text="so", emotion="sad", video="a.mkv", start=0.5, end=1.5),
        Utterance("c", text="so", emotion="sad"),
    ]
    corpus = Corpus("x", labels={"emotion": ("sad",)}, video_raw=str(tmp_path / "videos"))
    write_corpus(tmp_path / "data", corpus, {"train": rows})
    return tmp_path / "data"


def extract(data_dir: Path, folder: Path, *more: str) -> int:
    words = [str(data_dir), "--modality", "video", "--encoder", f"hf:{folder}", "--name", "v"]
    return extract_features.main([*words, *more])


def expected(folder: Path, videos: list[VideoSegment], rate: float) -> list[np.ndarray]:
    spec = pretrained.describe("video", f"hf:{folder}")
    encoder = pretrained.build(spec)
    pretrained.load(encoder, spec)
    encoder.eval()
    loader = ClipLoader(PictureOptions(rate, 30.0, spec.picture_size))
    frames = []
    for video in videos:
        pixels = torch.from_numpy(loader.load(video).pictures)[None]
        mask = torch.zeros(pixels.shape[:2], dtype=torch.bool)
        with torch.no_grad():
            frames.append(encoder(pixels=pixels, padding_mask=mask)[0][0].numpy())
    return frames


@pytest.mark.parametrize("family", ["vit", "videomae"])
def test_frames_are_those_of_the_encoder(
    data_dir: Path, encoders: dict[str, Path], family: str
) -> None:
    folder = encoders[family]
    assert extract(data_dir, folder, "--frames-per-second", "4", "--dtype", "float32") == 0
    rows = read_manifest(data_dir / "train.tsv")
    stored = open_features(data_dir / "features" / "v", "train", rows)
    assert stored is not None
    path = data_dir.parent / "videos" / "a.mkv"
    videos = [VideoSegment(path), VideoSegment(path, 0.5, 1.5)]
    for row, frames in enumerate(expected(folder, videos, rate=4.0)):
        np.testing.assert_allclose(stored[row], frames, atol=1e-5)
    assert [len(stored[row]) for row in range(3)] == ([8, 4, 0] if family == "vit" else [4, 2, 0])
    settings = read_card(data_dir / "features" / "v")["settings"]
    assert settings["frames_per_second"] == 4
    assert settings["max_seconds"] == 30
    assert validate(data_dir) == []


def test_pooled_frames_are_one_vector_and_all_layers_lie_side_by_side(
    data_dir: Path, encoders: dict[str, Path]
) -> None:
    assert extract(data_dir, encoders["vit"], "--layer", "all", "--pool", "mean") == 0
    stored = open_features(
        data_dir / "features" / "v", "train", read_manifest(data_dir / "train.tsv")
    )
    assert stored is not None
    assert stored[0].shape == (1, 4 * 16)


def test_a_second_run_skips_what_is_there_and_sees_another_video(
    data_dir: Path, encoders: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert extract(data_dir, encoders["vit"]) == 0
    assert extract(data_dir, encoders["vit"], "--workers", "2") == 0
    assert "up to date" in caplog.text
    first = (data_dir / "features" / "v" / "train.npy").read_bytes()
    caplog.clear()
    write_pictures(data_dir.parent / "videos" / "a.mkv", numbered(20)[::-1])
    assert extract(data_dir, encoders["vit"]) == 0
    assert "up to date" not in caplog.text
    assert (data_dir / "features" / "v" / "train.npy").read_bytes() != first


def detect_in_bright_pictures(pictures: np.ndarray) -> list[list[list[int]]]:
    return [[[0, 0, 20, 20]] if one.mean() > 60 else [] for one in pictures]


def test_pictures_without_a_face_are_counted_in_the_card(
    data_dir: Path, encoders: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    rows = read_manifest(data_dir / "train.tsv")
    dark = Utterance("d", text="so", emotion="sad", video="a.mkv", end=0.5)
    corpus = Corpus("x", labels={"emotion": ("sad",)}, video_raw=str(data_dir.parent / "videos"))
    write_corpus(data_dir, corpus, {"train": [*rows, dark]})
    detector = f"{__name__}:detect_in_bright_pictures"
    options = ("--face-detector", detector, "--frames-per-second", "10")
    assert extract(data_dir, encoders["vit"], *options) == 0
    card = read_card(data_dir / "features" / "v")
    # Of 20, 10 and 5 pictures the first 7, 2 and 5 are dark.
    counts = {"pictures": 35, "without_face": 14, "rows_without_face": 1}
    assert card["splits"]["train"]["faces"] == counts
    assert card["settings"]["face_detector"] == detector
    assert "no face in 14 of 35 pictures" in caplog.text
    stored = open_features(
        data_dir / "features" / "v", "train", read_manifest(data_dir / "train.tsv")
    )
    assert stored is not None
    assert [len(stored[row]) for row in range(4)] == [13, 8, 0, 0]
    caplog.set_level(logging.INFO)
    assert extract(data_dir, encoders["vit"], *options) == 0
    assert "up to date" in caplog.text


def test_folders_of_faces_named_by_rows_are_read(
    data_dir: Path, encoders: dict[str, Path], tmp_path: Path
) -> None:
    image = pytest.importorskip("PIL.Image")
    for name, n_pictures in (("a", 3), ("c", 2)):
        folder = tmp_path / "faces" / name
        folder.mkdir(parents=True)
        for number, picture in enumerate(numbered(n_pictures, (20, 20))):
            image.fromarray(picture).save(folder / f"{number}.png")
    assert extract(data_dir, encoders["vit"], "--face-frames", str(tmp_path / "faces")) == 0
    stored = open_features(
        data_dir / "features" / "v", "train", read_manifest(data_dir / "train.tsv")
    )
    assert stored is not None
    assert [len(stored[row]) for row in range(3)] == [3, 0, 2]


def test_a_broken_video_is_named_with_its_row(
    data_dir: Path, encoders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (data_dir.parent / "videos" / "a.mkv").write_bytes(b"broken")
    assert extract(data_dir, encoders["vit"]) == 1
    error = capsys.readouterr().err
    assert re.search(r"train\.tsv: [ab]: ", error)
    assert "a.mkv" in error
    assert "[video-unreadable]" in error
    assert not (data_dir / "features" / "v" / "train.npy").exists()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--face-detector", "haar"], "face-detector-unknown"),
        (["--encoder", "fairseq:model.pt"], "encoder-spec-invalid"),
    ],
)
def test_wrong_options_are_refused(
    data_dir: Path,
    encoders: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: str,
) -> None:
    assert extract(data_dir, encoders["vit"], *options) != 0
    assert f"[{code}]" in capsys.readouterr().err


def test_options_of_videos_are_refused_for_speech(data_dir: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        extract_features.main([str(data_dir), "--frames-per-second", "2"])
    assert stop.value.code == 2
