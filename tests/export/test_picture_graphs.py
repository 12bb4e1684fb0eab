"""Graphs of models that encode pictures: the outputs of the model, also without torch."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import hf_folders
import numpy as np
import pytest
import torch
import yaml
from extended import all_but
from hf_folders import PICTURE, VIDEO_FAMILIES
from talking_faces import write_faces
from torch import Tensor, nn

from data_prep.schema import read_manifest
from emo_fairseq import pretrained
from emo_fairseq.export.graph_rows import RowSource
from emo_fairseq.export.graphs import GraphOptions, export_graphs
from emo_fairseq.export.onnx import TOLERANCE, export_onnx
from emo_fairseq.export.traceable import make_traceable
from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.modules.encoder import Encoder

pytest.importorskip("av")
pytest.importorskip("PIL")
onnxruntime = pytest.importorskip("onnxruntime")

LENGTHS = [[1], [4], [5], [9, 2, 4], [1, 3, 6, 7, 8], [12, 11]]  # clips have 4 pictures
LIGHT = """
import json, sys
for library in ("fairseq", "torch", "transformers", "sklearn", "scipy"):
    sys.modules[library] = None
from emo_fairseq.inference.predictor import EmotionPredictor

folder, *videos = sys.argv[1:]
predictor = EmotionPredictor.from_pretrained(folder)
found = predictor.predict(video=[*videos, None], audio=[None, videos[0], videos[0]])
print(json.dumps([one.as_dict() for one in found]))
"""


class Flat(nn.Module):
    """An encoder whose outputs are a tuple."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor, padding_mask: Tensor) -> tuple[Tensor, ...]:
        states, mask = self.encoder.layers(pixels, padding_mask)
        return (*states, mask)


def batch(lengths: list[int]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(len(lengths))
    shape = (len(lengths), max(lengths), PICTURE, PICTURE, 3)
    pixels = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    padding_mask = torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]
    return pixels * ~padding_mask[:, :, None, None, None], padding_mask


@pytest.mark.filterwarnings("ignore")  # branches on sizes are recorded as one batch takes them
@pytest.mark.parametrize("family", all_but({"vit", "videomae"}, VIDEO_FAMILIES.keys()))
def test_the_graph_of_an_encoder_gives_its_states(tmp_path: Path, family: str) -> None:
    folder = hf_folders.build_video(tmp_path / family, family)
    spec = pretrained.describe("video", f"hf:{folder}")
    encoder = pretrained.build(spec)
    pretrained.load(encoder, spec)
    flat = Flat(encoder.eval())
    with torch.no_grad():
        expected = [flat(*batch(lengths)) for lengths in LENGTHS]
        make_traceable(flat, 10)
        axes = {0: "batch", 1: "length"}
        torch.onnx.export(
            flat,
            batch([9, 5, 2]),
            str(tmp_path / "a.onnx"),
            input_names=["pixels", "padding_mask"],
            dynamic_axes={"pixels": axes, "padding_mask": axes},
            opset_version=18,
            dynamo=False,
        )
    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"))
    for lengths, states in zip(LENGTHS, expected, strict=True):
        pixels, padding_mask = batch(lengths)
        inputs = {"pixels": pixels.numpy(), "padding_mask": padding_mask.numpy()}
        for found, state in zip(session.run(None, inputs), states, strict=True):
            assert found.shape == state.shape
            np.testing.assert_allclose(found, state.numpy(), atol=1e-5)


@pytest.fixture(scope="module")
def data(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    hf_folders.build_video(root / "videomae", "videomae")
    return write_faces(toy_corpus, root)


@pytest.fixture(scope="module")
def folder(data: Path, trained_models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoder = f"--video-encoder hf:{data.parent / 'videomae'} --frames-per-second 10"
    trained = trained_models.folder(f"--modality A+V --speech-input log_mel {encoder}", data)
    copy = Path(shutil.copytree(trained, tmp_path_factory.mktemp("graph") / "model"))
    assert export_onnx(copy, check=6) < TOLERANCE
    return copy


@pytest.fixture(scope="module")
def videos(data: Path) -> list[Path]:
    names = [row.video for row in read_manifest(data / "test.tsv")]
    return [data.parent / "videos" / name for name in names if name is not None][:2]


def test_predictions_without_torch_are_those_of_the_model(folder: Path, videos: list[Path]) -> None:
    words = [sys.executable, "-c", LIGHT, str(folder), *map(str, videos)]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    expected = load_predictor(folder, "cpu", onnx=False).predict(
        video=[*videos, None], audio=[None, videos[0], videos[0]]
    )
    for one, other in zip(found, expected, strict=True):
        assert one["modalities"] == list(other.modalities)
        assert one["probabilities"] == pytest.approx(other.probabilities, abs=1e-4)


def test_the_pictures_are_described(folder: Path) -> None:
    described = yaml.safe_load((folder / "model.yaml").read_text())["modalities"]["video"]
    assert described["input"] == "video.pixels"
    assert described["frames_per_second"] == 10
    assert (described["height"], described["width"]) == (PICTURE, PICTURE)
    assert (described["shortest_edge"], described["resample"]) == (16, "bilinear")
    assert "the middle cropped" in described["outside"]


def test_graphs_of_other_precisions_read_pictures(
    folder: Path, data: Path, videos: list[Path]
) -> None:
    source = RowSource(data)
    given = source.columns(list(read_manifest(data / "test.tsv")), ("speech", "video"))["video"]
    assert [video.path for video in given if video is not None][:2] == videos
    options = GraphOptions(
        ("fp16", "int8"), check=2, calibration_rows=4, metrics_split="test", source=source
    )
    reports = export_graphs(folder, options)
    assert [report.measured.n_rows for report in reports if report.measured] == [6, 6, 6]
    expected = load_predictor(folder, "cpu", onnx=False).predict(video=videos[0])
    for precision, tolerance in (("fp16", 0.01), ("int8", 0.1)):
        found = load_predictor(folder, precision=precision).predict(video=videos[0])
        assert found.probabilities == pytest.approx(expected.probabilities, abs=tolerance)
