"""robertaEMO: an encoder for each modality, a fusion, a 1024-d embedding, a head."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model, register_model_architecture
from torch import Tensor, nn

from emo_fairseq import seed_flags
from emo_fairseq.data.naming import first_few
from emo_fairseq.errors import UsageError
from emo_fairseq.models.architectures import ARCHITECTURES
from emo_fairseq.models.encoders import build_encoder
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.modules.fusion import ConcatFusion, CrossAttentionFusion, Fusion
from emo_fairseq.modules.heads import EmbeddingLayer, LinearHead

_BY_ARCH = "; by default what the architecture says"
_KEYS_NAMED = 3  # how many parameters a message names before it says "..."


@dataclass
class RobertaEMOConfig(FairseqDataclass):
    """Sizes, fusion and dropout; a size that is not given is the architecture's."""

    text_encoder_layers: Optional[int] = field(
        default=None, metadata={"help": "layers of the text encoder" + _BY_ARCH}
    )
    text_embed_dim: Optional[int] = field(
        default=None, metadata={"help": "width of the text encoder" + _BY_ARCH}
    )
    text_ffn_embed_dim: Optional[int] = field(
        default=None, metadata={"help": "width of its feed-forward layers" + _BY_ARCH}
    )
    text_attention_heads: Optional[int] = field(
        default=None, metadata={"help": "attention heads of the text encoder" + _BY_ARCH}
    )
    speech_encoder_layers: Optional[int] = field(
        default=None, metadata={"help": "layers of the speech encoder" + _BY_ARCH}
    )
    speech_embed_dim: Optional[int] = field(
        default=None, metadata={"help": "width of the speech encoder" + _BY_ARCH}
    )
    speech_ffn_embed_dim: Optional[int] = field(
        default=None, metadata={"help": "width of its feed-forward layers" + _BY_ARCH}
    )
    speech_attention_heads: Optional[int] = field(
        default=None, metadata={"help": "attention heads of the speech encoder" + _BY_ARCH}
    )
    speech_conv_layers: Optional[str] = field(
        default=None,
        metadata={
            "help": "waveform input: convolutions as [(channels, kernel, stride), ...], with + "
            "and * as in wav2vec's --conv-feature-layers" + _BY_ARCH
        },
    )
    speech_conv_channels: Optional[int] = field(
        default=None, metadata={"help": "log-mel input: channels of the subsampler" + _BY_ARCH}
    )
    fusion: Optional[ChoiceEnum(["concat", "cross_attention"])] = field(  # type: ignore[valid-type]
        default=None,
        metadata={
            "help": "how two modalities meet: pooled and concatenated, or by cross-attention over "
            "all tokens (default)"
        },
    )
    stack_up: bool = field(
        default=False,
        metadata={
            "help": "the seed's cross-attention: only the first token of each modality asks "
            "(the same as --fusion cross_attention --cross-attention-query first_token)"
        },
    )
    cross_attention_query: Optional[ChoiceEnum(["all_tokens", "first_token"])] = field(  # type: ignore[valid-type]
        default=None,
        metadata={"help": "which tokens of a modality ask the other one (default: all_tokens)"},
    )
    fusion_embed_dim: Optional[int] = field(
        default=None, metadata={"help": "width of the cross-attention" + _BY_ARCH}
    )
    encoder_layers_cross: Optional[int] = field(
        default=None, metadata={"help": "layers of cross-attention" + _BY_ARCH}
    )
    encoder_attention_heads: Optional[int] = field(
        default=None, metadata={"help": "heads of the cross-attention" + _BY_ARCH}
    )
    embedding_dim: int = field(
        default=1024, metadata={"help": "width of the embedding before the head"}
    )
    dropout: float = field(default=0.1, metadata={"help": "dropout of encoders and fusion"})
    attention_dropout: float = field(
        default=0.1, metadata={"help": "dropout of the attention weights"}
    )
    pooler_dropout: float = field(
        default=0.1, metadata={"help": "dropout before the embedding and before the head"}
    )


class EmotionOutput(NamedTuple):
    """What the model returns.

    Attributes:
        logits: (B, n_outputs): K logits, K pairs of logits (no, yes), or A values; see
            :class:`emo_fairseq.targets.TargetKind`.
        embedding: (B, E), the vector before the head.
    """

    logits: Tensor
    embedding: Tensor


@register_model("robertaEMO", dataclass=RobertaEMOConfig)
class RobertaEMOModel(BaseFairseqModel):
    """Encoders, fusion, embedding and head, as built parts.

    Args:
        encoders: one a modality; see :mod:`emo_fairseq.models.encoders`.
        fusion: see :mod:`emo_fairseq.modules.fusion`.
        embedding: (B, D) -> (B, E).
        head: (B, E) -> (B, n_outputs).
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        fusion: Fusion,
        embedding: nn.Module,
        head: nn.Module,
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(dict(encoders))
        self.fusion = fusion
        self.embedding = embedding
        self.head = head

    @classmethod
    def build_model(cls, cfg: Any, task: Any) -> "RobertaEMOModel":
        """Build from a configuration in which the architecture has filled every field."""
        encoders = {name: build_encoder(name, cfg, task) for name in task.modalities}
        widths = {name: encoder.embed_dim for name, encoder in encoders.items()}
        fusion = _build_fusion(cfg, widths, task)
        return cls(
            encoders,
            fusion,
            EmbeddingLayer(fusion.output_dim, cfg.embedding_dim, cfg.pooler_dropout),
            LinearHead(cfg.embedding_dim, task.n_outputs, cfg.pooler_dropout),
        )

    def forward(self, **inputs: Mapping[str, Tensor]) -> EmotionOutput:
        """Score a batch.

        Args:
            inputs: for each modality what its leaf collates: the input itself, its
                ``padding_mask`` (B, T) and ``present`` (B,). A row that lacks a modality is
                encoded as a placeholder, and then masked as a whole.
        """
        encoded = {}
        for name, encoder in self.encoders.items():
            fields = dict(inputs[name])
            present = fields.pop("present")
            features, padding_mask = encoder(**fields)
            encoded[name] = features, padding_mask | ~present[:, None]
        embedding = self.embedding(self.fusion(encoded))
        return EmotionOutput(logits=self.head(embedding), embedding=embedding)

    def load_state_dict(
        self,
        state_dict: Mapping[str, Tensor],
        strict: bool = True,
        model_cfg: Any = None,
        args: Any = None,
    ) -> Any:
        """Load parameters; anything missing, superfluous or of another shape is an error.

        Raises:
            UsageError: the checkpoint is of another model; says which parameters differ.
        """
        own = self.state_dict()
        differing = [
            *(f"{key} is missing" for key in own.keys() - state_dict.keys()),
            *(f"{key} is not of this model" for key in state_dict.keys() - own.keys()),
            *(
                f"{key} is {tuple(state_dict[key].shape)}, not {tuple(own[key].shape)}"
                for key in own.keys() & state_dict.keys()
                if own[key].shape != state_dict[key].shape
            ),
        ]
        if strict and differing:
            raise UsageError(
                f"the checkpoint does not fit the model in {len(differing)} parameters: "
                f"{first_few(sorted(differing), _KEYS_NAMED)}; use the --arch, --modality, "
                "--target and sizes that it was trained with, or another --save-dir"
            )
        return super().load_state_dict(state_dict, strict, model_cfg, args)


def _build_fusion(cfg: Any, widths: Mapping[str, int], task: Any) -> Fusion:
    tokens = frozenset(filter(task.source.is_tokens, widths))
    if seed_flags.fusion_name(cfg, len(widths)) == "concat":
        return ConcatFusion(widths, pool_first=tokens)
    first_token_only = seed_flags.cross_attention_query(cfg) == "first_token"
    if first_token_only and len(tokens) < len(widths):
        raise UsageError(
            f"--stack-up / --cross-attention-query first_token: of --speech-input "
            f"{task.source.speech_input} the first frame says nothing of the rest; use "
            "--speech-input tokens, or --cross-attention-query all_tokens"
        )
    return CrossAttentionFusion(
        widths,
        fusion_dim=cfg.fusion_embed_dim,
        n_layers=cfg.encoder_layers_cross,
        n_heads=cfg.encoder_attention_heads,
        dropout=cfg.dropout,
        attention_dropout=cfg.attention_dropout,
        first_token_only=first_token_only,
    )


def _register(name: str) -> None:
    # fairseq calls this while it reads the command line. The sizes are filled in later, in
    # EmotionPredictionTask.build_model, where a Hydra configuration passes too.
    register_model_architecture("robertaEMO", name)(lambda args: None)


for _name in ARCHITECTURES:
    if _name != "robertaEMO":  # a model with a dataclass registers its own name
        _register(_name)
