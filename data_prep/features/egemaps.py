"""eGeMAPSv02 (Eyben et al. 2016, doi:10.1109/TAFFC.2015.2457417): 88 functionals an utterance.

Computed by openSMILE, whose license allows research and education; see its own. It is not among our
dependencies, since it brings pandas and pyarrow: `pip install opensmile`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from data_prep.audio.decoding import FloatArray
from data_prep.audio.segment import AudioSegment
from data_prep.errors import CodedError
from data_prep.schema import SAMPLE_RATE

EGEMAPS = "egemaps"
N_FUNCTIONALS = 88
# openSMILE's longest window is 60 ms; of less than one it makes nothing.
_MIN_SAMPLES = SAMPLE_RATE // 10


def settings() -> dict[str, Any]:
    """What the numbers depend on. Raises ValueError where opensmile is not installed."""
    version = str(_opensmile().__version__)
    return {"features": EGEMAPS, "feature_set": "eGeMAPSv02", "opensmile": version}


def build_egemaps() -> Callable[[AudioSegment], FloatArray]:
    """The function from audio to its functionals, (1, 88)."""
    functionals = build_functionals()
    return lambda audio: functionals(audio.load())


def build_functionals() -> Callable[[FloatArray], FloatArray]:
    """The function from (n_samples,) at 16 kHz to their functionals, (1, 88)."""
    opensmile = _opensmile()
    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02,
        feature_level=opensmile.FeatureLevel.Functionals,
    )

    def functionals(waveform: FloatArray) -> FloatArray:
        waveform = np.pad(waveform, (0, max(0, _MIN_SAMPLES - len(waveform))))
        table = smile.process_signal(waveform, SAMPLE_RATE)
        return np.asarray(table.to_numpy(), dtype=np.float32)

    return functionals


def _opensmile() -> Any:
    try:
        return importlib.import_module("opensmile")
    except ImportError as error:
        raise CodedError(
            "--encoder egemaps: needs openSMILE; `pip install opensmile` (free for research)",
            "library-missing",
        ) from error
