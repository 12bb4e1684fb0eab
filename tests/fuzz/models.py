"""Tiny models that fairseq-train trains in seconds, as checkpoint, model folder and graph."""

import shutil
from pathlib import Path

from trained_models import TrainedModels

from emo_fairseq.export.ensemble import write_ensemble_folder
from emo_fairseq.export.onnx import export_onnx
from emo_fairseq.inference.ensemble import Combination
from fuzz.families import Trained, toy_data_dir

_SIZES = "--text-embed-dim 8 --text-ffn-embed-dim 8 --embedding-dim 8"
_DIALOGUES = "--dialogue-encoder gru --dialogue-embed-dim 8"
_BOTH = "--modality text+speech --speech-input log_mel"


def train_models(place: Path) -> Trained:
    """Train the models in a folder of their own."""
    return gather_models(TrainedModels(toy_data_dir(place / "toy"), place / "models"), place)


def gather_models(models: TrainedModels, place: Path) -> Trained:
    """Train a model of dialogues and one of text and speech for two updates each, unless done."""
    text = f"--modality text {_SIZES} {_DIALOGUES}"
    folder = place / "model"
    shutil.copytree(models.folder(text), folder)
    export_onnx(folder)
    service = models.folder(_BOTH)
    ensemble = write_ensemble_folder([folder, service], Combination("mean"), place / "ensemble")
    return Trained(models.data, models.checkpoint(text), folder, service, ensemble)
