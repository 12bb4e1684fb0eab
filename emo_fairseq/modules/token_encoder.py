"""Encoder of tokens (words or speech codes) with RoBERTa's architecture."""

from collections.abc import Sequence
from dataclasses import dataclass

from fairseq.models.transformer import TransformerEncoderBase
from fairseq.modules.transformer_sentence_encoder import init_bert_params
from torch import Tensor, nn

from data_prep.tokens.folder import PAD
from emo_fairseq.modules.encoder import Encoder, in_blocks
from emo_fairseq.modules.transformer import TransformerSize, fairseq_config


@dataclass(frozen=True)
class TokenForm:
    """Variant of RoBERTa's architecture; the default is RoBERTa itself.

    Attributes:
        pre_norm: layer norm before, not after, attention and feed-forward layers.
        norm_embedding: layer norm after the embedding.
        activation: of the feed-forward layers, by fairseq's name.
        activation_dropout: after the activation.
    """

    pre_norm: bool = False
    norm_embedding: bool = True
    activation: str = "gelu"
    activation_dropout: float = 0.0


class TokenEncoder(Encoder):
    """Encode token ids by fairseq's transformer encoder with learned positions.

    The parameters have the names of RoBERTa's checkpoints below ``encoder``.

    Args:
        vocabulary_size: number of symbols, including special ones.
        max_tokens: length of the longest sequence.
        size: of the transformer.
        padding_id: id of the padding symbol.
        form: variant of the architecture.
    """

    def __init__(
        self,
        vocabulary_size: int,
        max_tokens: int,
        size: TransformerSize,
        padding_id: int = PAD,
        form: TokenForm = TokenForm(),
    ) -> None:
        super().__init__()
        config = fairseq_config(size, pre_norm=form.pre_norm)
        config.encoder.learned_pos = True
        config.max_source_positions = max_tokens
        config.no_scale_embedding = True
        config.layernorm_embedding = form.norm_embedding
        config.activation_fn = form.activation
        config.activation_dropout = form.activation_dropout
        embed_tokens = nn.Embedding(vocabulary_size, size.embed_dim, padding_id)
        self.sentence_encoder = TransformerEncoderBase(config, None, embed_tokens)
        self.sentence_encoder.apply(init_bert_params)
        self.embed_dim = size.embed_dim
        self.n_layers = size.n_layers

    def layers(self, tokens: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode a padded batch of token ids.

        Args:
            tokens: (B, T) ids, padded with the padding id.
            padding_mask: (B, T), True = padding.

        Returns:
            See :meth:`Encoder.layers`.
        """
        output = self.sentence_encoder(tokens, return_all_hiddens=True)
        # After the final layer norm of pre-norm models, unlike the last of encoder_states.
        (last,) = output["encoder_out"]
        # T x B x C -> B x T x C
        hidden_states = [x.transpose(0, 1) for x in (*output["encoder_states"][:-1], last)]
        return hidden_states, padding_mask

    def blocks(self) -> Sequence[nn.Module]:
        encoder = self.sentence_encoder
        front = (
            encoder.embed_tokens,
            encoder.embed_positions,
            encoder.layernorm_embedding,
            encoder.dropout_module,
        )
        return in_blocks(front, encoder.layers, (encoder.layer_norm,))

    def token_embedding(self) -> nn.Embedding:
        return self.sentence_encoder.embed_tokens
