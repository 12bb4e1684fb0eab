"""A graph that answers as the model does: same inputs, same output, onnxruntime in between."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emo_fairseq.errors import UsageError
from emo_fairseq.export.onnx_graph import AUXILIARY, EMBEDDING, LOGITS, flatten, graph_name
from emo_fairseq.models.roberta_emo import EmotionOutput

_REMEDY = 'pip install -e ".[onnx]"'


def library(name: str) -> Any:
    """One of the extra's libraries, ``onnx`` or ``onnxruntime``.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"ONNX needs {name}, which is not installed; {_REMEDY}") from error


class OnnxModel(nn.Module):
    """Takes the place of :class:`~emo_fairseq.models.roberta_emo.RobertaEMOModel` in evaluation.

    Args:
        file: of :func:`emo_fairseq.export.onnx.export_onnx`.
        placeholders: of each modality one row that is not present, for batches in which no row has
            the modality: a graph cannot leave an encoder out.
        outputs: what the graph gives, in order; see
            :func:`emo_fairseq.export.onnx_graph.output_names`.

    Attributes:
        facts: what the export wrote into the file beside the graph.

    Raises:
        UsageError: onnxruntime is not installed, cannot read the file, or it gives other outputs.
    """

    def __init__(
        self,
        file: Path,
        placeholders: Mapping[str, Mapping[str, Tensor]],
        outputs: Sequence[str],
    ) -> None:
        super().__init__()
        runtime = library("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self.session = runtime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own classes share no other base
            first = str(error).strip().splitlines()[0]
            raise UsageError(
                f"{file}: no graph that onnxruntime can run ({first}); export it again"
            ) from error
        self.facts: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
        self.file = file
        self.placeholders = placeholders
        self._inputs = [one.name for one in self.session.get_inputs()]
        self._outputs = [one.name for one in self.session.get_outputs()]
        if self._outputs != list(outputs):
            raise UsageError(
                f"{file}: gives {', '.join(self._outputs)}, where the model gives "
                f"{', '.join(outputs)}; export it again"
            )

    def forward(self, **inputs: Mapping[str, Tensor]) -> EmotionOutput:
        """Score a batch; see :meth:`RobertaEMOModel.forward`.

        Raises:
            UsageError: an input longer than the graph reaches.
        """
        filled = {name: self._fill(name, parts) for name, parts in inputs.items()}
        named = {graph_name(n): x.cpu().numpy() for n, x in flatten(filled).items()}
        refused = library("onnxruntime").capi.onnxruntime_pybind11_state
        try:
            found = self.session.run(None, {name: named[name] for name in self._inputs})
        except (refused.InvalidArgument, refused.RuntimeException, refused.Fail) as error:
            shapes = ", ".join(f"{name} {x.shape}" for name, x in named.items())
            raise UsageError(
                f"{self.file}: the graph cannot take {shapes} "
                f"({str(error).strip().splitlines()[0]}); give shorter inputs, or use the model "
                "folder without ONNX"
            ) from error
        outputs = dict(zip(self._outputs, map(torch.from_numpy, found), strict=True))
        auxiliary = {
            name.removeprefix(AUXILIARY): x
            for name, x in outputs.items()
            if name.startswith(AUXILIARY)
        }
        return EmotionOutput(outputs[LOGITS], outputs[EMBEDDING], auxiliary)

    def _fill(self, modality: str, parts: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What a leaf collates, with something in the place of what no row has."""
        if set(parts) != {"present"}:
            return parts
        n_rows = len(parts["present"])
        rows = {k: x.expand(n_rows, *x.shape[1:]) for k, x in self.placeholders[modality].items()}
        return {**rows, "present": parts["present"]}
