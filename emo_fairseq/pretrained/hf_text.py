"""Text encoders of Hugging Face: BERT, RoBERTa, MPNet, MiniLM, DeBERTa and variants."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from data_prep.tokens.hf_tokenizer import HuggingFaceTokenizer
from emo_fairseq.data.vocabulary import symbols_digest
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import TOKENS
from emo_fairseq.modules.encoder import Encoder, in_blocks
from emo_fairseq.pretrained.hf_files import (
    config_from_state,
    config_to_state,
    models_of_transformers,
    read_config,
    read_weights,
    weights_digest,
)
from emo_fairseq.pretrained.hf_lower_layers import view_of_lower_layers


class _Family(NamedTuple):
    layers: str = "encoder.layer"  # name of the list of layers in the model
    # RoBERTa numbers positions from the padding id + 1: the embeddings before it are never used.
    offset_positions: bool = False
    after: tuple[str, ...] = ()  # modules that follow the last layer
    lists_layers: bool = True  # the list has each layer once, in the order in which they run


_BERT = _Family()
_ROBERTA = _Family(offset_positions=True)
_FAMILIES: Mapping[str, _Family] = {  # by model_type
    **dict.fromkeys(("bert", "electra", "deberta", "deberta-v2"), _BERT),
    **dict.fromkeys(("roberta", "xlm-roberta", "camembert", "data2vec-text", "mpnet"), _ROBERTA),
    "distilbert": _Family("transformer.layer"),
    "modernbert": _Family("layers", after=("final_norm",)),
    "albert": _Family("encoder.albert_layer_groups", lists_layers=False),  # each runs several times
}

_NOT_TAKEN = (
    "pooler.",  # the fusion pools
    "cls.",
    "lm_head.",
    "predictions.",
    "sop_classifier.",  # pretraining
    "generator_predictions.",
    "generator_lm_head.",
    "discriminator_predictions.",  # ELECTRA's
    "vocab_transform.",
    "vocab_layer_norm.",
    "vocab_projector.",  # DistilBERT's
    "lm_predictions.",
    "mask_predictions.",  # DeBERTa's
    "pre_classifier.",
    "classifier.",
    "qa_outputs.",  # fine-tuning
    "head.",
    "decoder.",  # ModernBERT's
    "embeddings.position_ids",
    "embeddings.token_type_ids",  # constants of older versions
)


_MPNET = "mpnet"


class HuggingFaceTextEncoder(Encoder):
    """Encode token ids by a model of transformers."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.model = models_of_transformers().AutoModel.from_config(config)
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None  # as in _NOT_TAKEN
        if config.model_type == _MPNET:
            for layer in self.model.encoder.layer:
                attention = layer.attention.attn
                # As a partial of the module: a deep copy refers to the copy then.
                attention.forward = functools.partial(_attend_with_bias, attention)
        self.embed_dim = config.hidden_size
        # A layer of ALBERT may consist of several.
        self.n_layers = config.num_hidden_layers * getattr(config, "inner_group_num", 1)

    def layers(self, tokens: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode a padded batch of token ids.

        Args:
            tokens: (B, T) ids of the model's own tokenizer.
            padding_mask: (B, T), True = padding.

        Returns:
            See :meth:`Encoder.layers`. Layers above :attr:`top_layer` are left out.
        """
        source = {"input_ids": tokens, "attention_mask": (~padding_mask).long()}
        top = self.n_layers if self.top_layer is None else self.top_layer
        family = _FAMILIES[self.model.config.model_type]
        if top == self.n_layers or not family.lists_layers:
            output = self.model(**source, output_hidden_states=True)
            return list(output.hidden_states)[: top + 1], padding_mask
        states: list[Tensor] = []
        # The input of the first layer is that of a call.
        lower = view_of_lower_layers(self.model, family.layers, max(1, top), family.after, states)
        lower(**source, output_hidden_states=False)
        return states[: top + 1], padding_mask

    def blocks(self) -> Sequence[nn.Module]:
        """See :meth:`Encoder.blocks`; layers that share parameters are one block."""
        family = _FAMILIES[self.model.config.model_type]
        path = family.layers.split(".")
        holders = [self.model.get_submodule(".".join(path[:depth])) for depth in range(len(path))]
        layers = self.model.get_submodule(".".join(path))
        after = [self.model.get_submodule(name) for name in family.after]
        elsewhere = {*layers.modules(), *after}
        before = [
            module
            for holder in holders
            for module in holder.children()
            if not elsewhere & set(module.modules())
        ]
        return in_blocks(before, layers.children(), after)

    def token_embedding(self) -> nn.Embedding:
        table: nn.Embedding = self.model.get_input_embeddings()
        return table


def _attend_with_bias(
    attention: Any,
    state: Tensor,
    attention_mask: Tensor | None = None,
    position_bias: Tensor | None = None,
    output_attentions: bool = False,
    **options: Any,
) -> tuple[Tensor, ...]:
    """Attend as MPNet does, by torch's fused attention, for which transformers has no code.

    Fused attention has no dropout on CPUs, and returns no weights: there and for these the steps
    that transformers writes out are run.

    Args:
        attention: an ``MPNetSelfAttention``.
        state: (B, T, C).
        attention_mask: (B, 1, 1, T), the lowest number at padding, else 0.
        position_bias: (B, heads, T, T), added to the scores, too.
        output_attentions: return the weights.
        options: of transformers.

    Returns:
        (B, T, C), and the weights where they are requested.
    """
    drops = attention.training and attention.dropout.p > 0
    if output_attentions or (drops and state.device.type == "cpu"):
        by_steps: tuple[Tensor, ...] = type(attention).forward(
            attention, state, attention_mask, position_bias, output_attentions, **options
        )
        return by_steps
    added = [x for x in (position_bias, attention_mask) if x is not None]
    n_rows, width, _ = state.shape

    def heads(x: Tensor) -> Tensor:
        return x.view(n_rows, width, attention.num_attention_heads, -1).transpose(1, 2)

    attended = nn.functional.scaled_dot_product_attention(
        heads(attention.q(state)),
        heads(attention.k(state)),
        heads(attention.v(state)),
        attn_mask=functools.reduce(torch.add, added) if added else None,
        dropout_p=attention.dropout.p if drops else 0.0,
    )
    return (attention.o(attended.transpose(1, 2).flatten(2)),)


def describe_hf_text(source: str) -> EncoderSpec:
    """Describe a model in a folder, or on the hub.

    Raises:
        UsageError: there is no such model, it is not a supported text encoder, or it has no
            tokenizer.
    """
    config = read_config(source)
    if config.model_type not in _FAMILIES or getattr(config, "is_decoder", False):
        raise UsageError(
            f"hf:{source}: the model type {config.model_type} is not supported as --text-encoder; "
            f"give one of {', '.join(_FAMILIES)}",
            "encoder-unsupported",
        )
    try:
        symbols = HuggingFaceTokenizer(source).symbols
    except ValueError as error:
        raise UsageError(str(error), "tokenizer-unreadable") from error
    return EncoderSpec(
        spec=f"hf:{source}",
        input=TOKENS,
        architecture=config_to_state(config),
        weights=weights_digest(source),
        vocabulary_size=config.vocab_size,
        vocabulary_digest=symbols_digest(symbols),
        max_tokens=_max_tokens(config),
    )


def _max_tokens(config: Any) -> int:
    """Return the number of tokens for which there are position embeddings."""
    n_positions = int(config.max_position_embeddings)
    if _FAMILIES[config.model_type].offset_positions:
        n_positions -= (config.pad_token_id if config.pad_token_id is not None else 1) + 1
    return n_positions


def build_hf_text(encoder_spec: EncoderSpec) -> HuggingFaceTextEncoder:
    """Build the encoder with random weights, without its folder."""
    return HuggingFaceTextEncoder(config_from_state(encoder_spec.architecture))


def load_hf_text(encoder: HuggingFaceTextEncoder, encoder_spec: EncoderSpec) -> None:
    """Load the pretrained weights into an encoder built by :func:`build_hf_text`.

    Raises:
        UsageError: see :func:`read_weights`.
    """
    config = config_from_state(encoder_spec.architecture)
    encoder.model.load_state_dict(read_weights(encoder_spec, config, _NOT_TAKEN))
