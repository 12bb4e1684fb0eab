"""Models whose inputs and outputs are positional tensors, as those of a graph are."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from emo_fairseq.models.roberta_emo import EmotionOutput, RobertaEMOModel

Inputs = Mapping[str, Mapping[str, Tensor]]  # of each modality what its dataset collates
InputName = tuple[str, str]  # modality, and name of the tensor


class FlatModel(nn.Module):
    """A model whose inputs and outputs are positional tensors, as a graph's are.

    Args:
        model: see :class:`emo_fairseq.models.roberta_emo.RobertaEMOModel`.
        names: of the inputs in their order.
        front_ends: what makes frames of the samples of a modality; see
            :mod:`emo_fairseq.export.front_ends`.
    """

    def __init__(
        self, model: RobertaEMOModel, names: Sequence[InputName], front_ends: nn.ModuleDict
    ) -> None:
        super().__init__()
        self.model = model
        self.names = list(names)
        self.front_ends = front_ends

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, n_outputs), embedding (B, E), then each auxiliary target's outputs.

        Of a model of dialogues the embeddings (U, E) of single turns alone.
        """
        inputs: dict[str, dict[str, Tensor]] = {}
        for (modality, part), tensor in zip(self.names, tensors, strict=True):
            inputs.setdefault(modality, {})[part] = tensor
        for modality, front_end in self.front_ends.items():
            of_samples = inputs[modality]
            frames, mask = front_end(of_samples["waveform"], of_samples["padding_mask"])
            present = of_samples["present"]
            inputs[modality] = {"frames": frames, "padding_mask": mask, "present": present}
        if self.model.dialogue_encoder is not None:
            return (self.model.embed(**inputs),)
        return flatten_output(self.model(**inputs))


class FlatDialogueModel(nn.Module):
    """What a model of dialogues computes of the embeddings of turns, likewise.

    Args:
        model: has a dialogue encoder.
        names: of the tensors of the dialogue in their order.
    """

    def __init__(self, model: RobertaEMOModel, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = list(names)

    def forward(self, embedding: Tensor, *dialogue: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, n_outputs), embedding (B, E), then each auxiliary target's outputs."""
        return flatten_output(
            self.model.classify(embedding, dict(zip(self.names, dialogue, strict=True)))
        )


def flatten_output(output: EmotionOutput) -> tuple[Tensor, ...]:
    """Return logits, embedding and auxiliary outputs, in the order of
    :func:`emo_fairseq.inference.onnx_model.output_names`.
    """
    return output.logits, output.embedding, *output.auxiliary.values()


def flatten_input(inputs: Inputs) -> dict[InputName, Tensor]:
    """Return the tensors of a batch, in its order."""
    return {(m, part): x for m, parts in inputs.items() for part, x in parts.items()}
