"""Recipes of stored features that no tiny model shows: openSMILE's, by a stand-in of it."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from codes import raises

from emo_fairseq.inference.input_processor import FeatureExtractor, FeatureExtractorSpec

SETTINGS = {"features": "egemaps", "feature_set": "eGeMAPSv02", "dtype": "float32"}
CPU = torch.device("cpu")


class _Smile:
    """The interface of opensmile.Smile: a row of 88 numbers of a signal."""

    def __init__(self, feature_set, feature_level):
        assert (feature_set, feature_level) == ("gemaps", "functionals")

    def process_signal(self, signal, sampling_rate):
        assert sampling_rate == 16_000
        assert len(signal) >= 1_600  # its longest window is filled up
        return SimpleNamespace(to_numpy=lambda: np.full((1, 88), np.abs(signal).max()))


@pytest.fixture(autouse=True)
def opensmile(monkeypatch):
    module = ModuleType("opensmile")
    module.__version__ = "2.5.0"
    module.Smile = _Smile
    module.FeatureSet = SimpleNamespace(eGeMAPSv02="gemaps")
    module.FeatureLevel = SimpleNamespace(Functionals="functionals")
    monkeypatch.setitem(sys.modules, "opensmile", module)


def test_functionals_of_recordings():
    make = FeatureExtractor(FeatureExtractorSpec({**SETTINGS, "opensmile": "2.5.0"}), CPU)
    sounds = [np.full(500, 0.25, np.float32), np.full(20_000, 0.5, np.float32)]
    found = [features.frames for features in make(sounds)]
    assert [(row.dtype, row.shape) for row in found] == [(np.float32, (1, 88))] * 2
    assert [row[0, 0] for row in found] == [0.25, 0.5]


def test_another_opensmile_is_refused():
    with raises("library-version-other"):
        FeatureExtractor(FeatureExtractorSpec({**SETTINGS, "opensmile": "2.4.1"}), CPU)


def test_no_opensmile_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with raises("library-missing"):
        FeatureExtractor(FeatureExtractorSpec({**SETTINGS, "opensmile": "2.5.0"}), CPU)
