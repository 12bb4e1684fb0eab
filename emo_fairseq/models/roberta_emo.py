"""robertaEMO: an encoder for each modality, a fusion, a 1024-d embedding, a head.

With ``--dialogue-encoder``, the embeddings of the turns of a dialogue are encoded together before
the head.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from fairseq.models import BaseFairseqModel, register_model, register_model_architecture
from torch import Tensor, nn

from data_prep.messages import first_few
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import missing_warning
from emo_fairseq.models.architectures import ARCHITECTURES
from emo_fairseq.models.config import LINEAR, RobertaEMOConfig
from emo_fairseq.models.dialogue_encoders import build_dialogue_encoder
from emo_fairseq.models.encoders import build_encoder, layer_of_backbone
from emo_fairseq.models.fusions import build_fusion
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.modules.dialogue import DialogueEncoder, single_turns
from emo_fairseq.modules.fusion import Fusion
from emo_fairseq.modules.heads import (
    EmbeddingLayer,
    FusedEmbedding,
    LinearHead,
)
from emo_fairseq.modules.modality_dropout import drop_modalities
from emo_fairseq.option_values import FROZEN
from emo_fairseq.task_state import TaskState

if TYPE_CHECKING:
    from emo_fairseq.inference.predictor import EmotionPredictor

__all__ = ["EmotionOutput", "RobertaEMOConfig", "RobertaEMOModel"]

_KEYS_NAMED = 3  # how many parameters a message names before "..."


class EmotionOutput(NamedTuple):
    """What the model returns.

    Attributes:
        logits: (B, n_outputs): K logits, K pairs of logits (no, yes), or A values; see
            :class:`emo_fairseq.targets.TargetKind`.
        embedding: (B, E), the vector before the head, in its dialogue if there is an encoder of
            dialogues.
        auxiliary: (B, n) of each auxiliary target, by name.
        attention: weights by name, with ``return_attention``; see
            :mod:`emo_fairseq.modules.fusion`.
        features: (U, T, C) of each modality before the fusion, with ``return_features``.
        parts: in training, vectors within the fusion that terms of the loss read, by name; of a
            dialogue those of all its turns.
    """

    logits: Tensor
    embedding: Tensor
    auxiliary: Mapping[str, Tensor] = MappingProxyType({})
    attention: Mapping[str, Tensor] = MappingProxyType({})
    features: Mapping[str, Tensor] = MappingProxyType({})
    parts: Mapping[str, Tensor] = MappingProxyType({})


@register_model("robertaEMO", dataclass=RobertaEMOConfig)
class RobertaEMOModel(BaseFairseqModel):
    """Encoders, fusion, embedding and head, as built parts.

    Args:
        encoders: one for each modality.
        fusion: see :mod:`emo_fairseq.modules.fusion`.
        embedding: (B, D) -> (B, E); has ``output_dim``, E.
        head: (B, E) -> (B, n_outputs).
        auxiliary_heads: of the auxiliary targets, by name.
        modality_dropout: in training, the chance of each modality of a row to be left out.
        dialogue_encoder: of the embeddings of the turns of a dialogue; None predicts each turn
            alone.
    """

    def __init__(
        self,
        encoders: Mapping[str, ModalityEncoder],
        fusion: Fusion,
        embedding: EmbeddingLayer | FusedEmbedding,
        head: LinearHead,
        auxiliary_heads: Mapping[str, nn.Module] = MappingProxyType({}),
        modality_dropout: float = 0.0,
        dialogue_encoder: DialogueEncoder | None = None,
    ) -> None:
        super().__init__()
        self.encoders: Mapping[str, ModalityEncoder] = nn.ModuleDict(dict(encoders))  # type: ignore[assignment]
        self.fusion = fusion
        self.embedding = embedding
        self.dialogue_encoder = dialogue_encoder
        for encoder in self.encoders.values():  # turns of dialogues are not batched by length
            encoder.groups_lengths = dialogue_encoder is not None
        self.head = head
        self.auxiliary_heads = nn.ModuleDict(dict(auxiliary_heads))
        self.modality_dropout = modality_dropout
        self._left_out: frozenset[str] = frozenset()

    @property
    def embedding_dim(self) -> int:
        """Width of the vector before the head."""
        return (self.dialogue_encoder or self.embedding).output_dim

    def missing_warning(self, missing: Collection[str]) -> str:
        """Return the warning of a prediction without these modalities; empty for none."""
        return missing_warning(missing, self.modality_dropout)

    def dropouts(self) -> list[nn.Dropout]:
        """Return the dropouts before the embedding and before the head."""
        parts = (self.embedding, self.head)
        return [part.dropout for part in parts if not isinstance(part, FusedEmbedding)]

    @classmethod
    def build_model(cls, cfg: RobertaEMOConfig, task: Any) -> "RobertaEMOModel":
        """Build for a task of fairseq; see :meth:`build`."""
        return cls.build(cfg, task.task_state)

    @classmethod
    def build(cls, cfg: RobertaEMOConfig, state: TaskState) -> "RobertaEMOModel":
        """Build a model with random weights.

        Args:
            cfg: options of the model; the architecture has filled in every field.
            state: what the model reads and predicts.
        """
        encoders = {
            name: ModalityEncoder(
                build_encoder(name, cfg, state),
                layer_of_backbone(name, cfg, state),
                cfg.standardize_frozen and str(getattr(cfg, f"{name}_tuning")) == FROZEN,
                getattr(cfg, f"{name}_frozen_pooling", None),
            )
            for name in state.modalities
        }
        widths = {name: encoder.embed_dim for name, encoder in encoders.items()}
        inputs = {name: state.encoders[name].input for name in encoders}
        fusion = build_fusion(cfg, widths, inputs)
        embedding = (
            FusedEmbedding(fusion.output_dim, cfg.standardize_fused)
            if str(cfg.head) == LINEAR
            else EmbeddingLayer(
                fusion.output_dim,
                cfg.embedding_dim,
                cfg.pooler_dropout,
                cfg.standardize_fused,
                str(cfg.embedding_activation),
            )
        )
        dialogue_encoder = build_dialogue_encoder(cfg, state.options, embedding.output_dim)
        width = (dialogue_encoder or embedding).output_dim
        return cls(
            encoders,
            fusion,
            embedding,
            LinearHead(width, state.n_outputs, cfg.pooler_dropout),
            {
                name: LinearHead(width, other.n_outputs, cfg.pooler_dropout)
                for name, other in state.auxiliary.items()
            },
            cfg.modality_dropout,
            dialogue_encoder,
        )

    @classmethod
    def from_pretrained(
        cls, path: str | Path, device: str | None = None, *, data: str | Path | None = None
    ) -> "EmotionPredictor":
        """Load a predictor of recordings and texts from a model folder or a checkpoint.

        ::

            predictor = RobertaEMOModel.from_pretrained("models/text+speech")
            predictor.predict("call.wav", "I do not believe it.").label

        Args:
            path: the folder, the ``.pt`` file of fairseq-train, or ``hf:ORG/NAME`` of the hub.
            device: by default the GPU, if there is one.
            data: of a checkpoint the data dir whose ``text/`` and ``speech/`` hold the tokenizers.
        """
        from emo_fairseq.inference.predictor import load_predictor  # which needs this model

        return load_predictor(path, device, data)

    def forward(
        self,
        *,
        dialogue: Mapping[str, Tensor] | None = None,
        return_attention: bool = False,
        return_features: bool = False,
        **inputs: Mapping[str, Tensor],
    ) -> EmotionOutput:
        """Score a batch: :meth:`embed`, then :meth:`classify`.

        Args:
            dialogue: which of the U rows are turns of one dialogue, and which B of them are scored;
                see :mod:`emo_fairseq.modules.dialogue.base`. None takes each row for a dialogue of
                one turn, and scores all.
            return_attention: put the weights of all attention in the fusion into the output.
            return_features: put the outputs of the encoders into the output.
            inputs: see :meth:`embed`.
        """
        attention: dict[str, Tensor] | None = {} if return_attention else None
        features: dict[str, Tensor] | None = {} if return_features else None
        parts: dict[str, Tensor] | None = {} if self.training else None
        embedding = self.embed(attention=attention, features=features, parts=parts, **inputs)
        output = self.classify(embedding, dialogue)
        if attention and dialogue is not None:
            attention = {name: x[dialogue["scored"]] for name, x in attention.items()}
        return output._replace(
            attention=attention or {}, features=features or {}, parts=parts or {}
        )

    def embed(
        self,
        *,
        attention: dict[str, Tensor] | None = None,
        features: dict[str, Tensor] | None = None,
        parts: dict[str, Tensor] | None = None,
        **inputs: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the embeddings (U, E) of rows, each by itself: of utterances outside a dialogue.

        Args:
            attention: if given, the weights of all attention in the fusion are stored in it.
            features: if given, the outputs of the encoders are stored in it.
            parts: if given, what terms of the loss read of the fusion is stored in it.
            inputs: for each modality what its dataset collates: the input itself, its
                ``padding_mask`` (U, T) and ``present`` (U,). A row that lacks a modality is
                encoded as a placeholder, and then masked as a whole.
        """
        present = {name: inputs[name]["present"] for name in self.encoders}
        if self.training and self.modality_dropout:
            present = drop_modalities(present, self.modality_dropout)
        precision = next(self.head.parameters()).dtype  # a frozen encoder may have kept another one
        encoded = {}
        for name, encoder in self.encoders.items():
            outputs, padding_mask = encoder(**{**inputs[name], "present": present[name]})
            encoded[name] = outputs.to(precision), padding_mask
        if features is not None:
            features |= {name: outputs for name, (outputs, _) in encoded.items()}
        if parts is None:
            fused = self.fusion(encoded, attention)
        else:
            fused, of_fusion = self.fusion.forward_with_parts(encoded, attention)
            parts.update(of_fusion)
        embedding: Tensor = self.embedding(fused)
        return embedding

    def encode_frozen_once(self, net_input: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a batch that :meth:`forward` may score several times: what is frozen has run."""
        encoded = {
            name: encoder.encode_frozen_once(net_input[name])
            for name, encoder in self.encoders.items()
        }
        return {**net_input, **encoded}

    def classify(
        self, embedding: Tensor, dialogue: Mapping[str, Tensor] | None = None
    ) -> EmotionOutput:
        """Score embeddings (U, E), after encoding those of a dialogue together.

        Args:
            embedding: of :meth:`embed`.
            dialogue: see :meth:`forward`.

        Returns:
            The output of the B rows that are scored, without attention.
        """
        if self.dialogue_encoder is not None:
            turns = single_turns(embedding) if dialogue is None else dialogue
            embedding = self.dialogue_encoder(embedding, turns)
        if dialogue is not None:
            embedding = embedding[dialogue["scored"]]  # U x E -> B x E
        auxiliary = {name: head(embedding) for name, head in self.auxiliary_heads.items()}
        return EmotionOutput(self.head(embedding), embedding, auxiliary)

    def leave_out(self, names: Iterable[str]) -> None:
        """Leave these tensors out of state dicts, and do not require them when one is loaded."""
        self._left_out = frozenset(names)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        state = super().state_dict(*args, **kwargs)
        for name in self._left_out:
            del state[name]
        return state

    def load_state_dict(
        self,
        state_dict: Mapping[str, Tensor],
        strict: bool = True,
        model_cfg: Any = None,
        args: Any = None,
    ) -> Any:
        """Load parameters; anything missing, superfluous or of another shape is an error.

        Raises:
            UsageError: the checkpoint is of another model; names the parameters that differ.
        """
        own = self.state_dict()
        differing = (
            [f"{key} is missing" for key in own.keys() - state_dict.keys()]
            + [f"{key} is not of this model" for key in state_dict.keys() - own.keys()]
            + [
                f"{key} is {tuple(state_dict[key].shape)}, not {tuple(own[key].shape)}"
                for key in own.keys() & state_dict.keys()
                if own[key].shape != state_dict[key].shape
            ]
        )
        if strict and differing:
            raise UsageError(
                f"the checkpoint does not fit the model in {len(differing)} parameters: "
                f"{first_few(sorted(differing), _KEYS_NAMED)}; use the --arch, --modality, "
                "--target and sizes that it was trained with, or another --save-dir",
                "checkpoint-mismatch",
            )
        kept = {
            name: value for name, value in super().state_dict().items() if name in self._left_out
        }
        return super().load_state_dict({**kept, **state_dict}, strict, model_cfg, args)


def _register(name: str) -> None:
    # fairseq calls this while it parses the command line. The sizes are filled in later, in
    # EmotionPredictionTask.build_model, as those of a Hydra configuration are.
    register_model_architecture("robertaEMO", name)(lambda args: None)


for _name in ARCHITECTURES:
    if _name != "robertaEMO":  # a model with a dataclass registers its own name
        _register(_name)
