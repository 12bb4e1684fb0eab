"""Run a model in torch."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emo_fairseq.errors import UsageError
from emo_fairseq.inference.model import ModelOutput, NetInput
from emo_fairseq.models.roberta_emo import EmotionOutput, RobertaEMOModel


class TorchModel:
    """Runs a :class:`RobertaEMOModel`; see :class:`emo_fairseq.inference.model.InferenceModel`.

    Args:
        module: is moved to the device, in evaluation mode.
        device: ``cpu``, ``cuda``, ``cuda:1``…

    Raises:
        UsageError: there is no such device.
    """

    def __init__(self, module: RobertaEMOModel, device: str | torch.device = "cpu") -> None:
        self._device = check_device(device)
        self.device = str(self._device)
        self.module = module.to(self._device).eval()

    @torch.no_grad()
    def forward(self, net_input: NetInput) -> ModelOutput:
        """Score a batch."""
        return _on_cpu(self.module(**self._tensors(net_input)))

    @torch.no_grad()
    def embed(self, net_input: NetInput) -> np.ndarray:
        """Encode a batch of turns."""
        embedding: Tensor = self.module.embed(**self._tensors(net_input))
        return _array(embedding)

    @torch.no_grad()
    def classify(self, embedding: np.ndarray, dialogue: Mapping[str, np.ndarray]) -> ModelOutput:
        """Score turns in their dialogues."""
        inputs = self._tensors({"embedding": embedding, "dialogue": dialogue})
        return _on_cpu(self.module.classify(**inputs))

    def missing_warning(self, missing: Collection[str]) -> str:
        """Return the warning of a prediction without these modalities; empty for none."""
        return self.module.missing_warning(missing)

    def _tensors(self, values: Any) -> Any:
        """Return nested arrays as tensors on the device."""
        if isinstance(values, Mapping):
            return {name: self._tensors(inner) for name, inner in values.items()}
        return torch.as_tensor(values, device=self._device)


def _on_cpu(output: EmotionOutput) -> ModelOutput:
    auxiliary = {name: _array(logits) for name, logits in output.auxiliary.items()}
    return ModelOutput(_array(output.logits), _array(output.embedding), auxiliary)


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.float().cpu().numpy()
    return array


def check_device(device: str | torch.device) -> torch.device:
    """Return the device. Raises a `UsageError` if it is not there."""
    try:
        checked = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise UsageError(
            f"device {device}: there is no such device; give cpu or cuda", "device-unknown"
        ) from error
    if checked.type not in ("cpu", "cuda"):
        raise UsageError(
            f"device {device}: models run on cpu and cuda here; give one", "device-unknown"
        )
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if checked.type == "cuda" and (checked.index or 0) >= n_gpus:
        raise UsageError(
            f"device {device}: torch finds {n_gpus} GPUs here; give cpu, or install a torch with "
            "CUDA on a machine that has one",
            "device-missing",
        )
    return checked
