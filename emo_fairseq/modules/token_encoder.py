"""RoBERTa over tokens: words or speech codes."""

from fairseq.models.transformer import TransformerEncoderBase
from fairseq.modules.transformer_sentence_encoder import init_bert_params
from torch import Tensor, nn

from emo_fairseq.data.tokens import PADDING_ID
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.modules.transformer import TransformerSize, fairseq_config


class TokenEncoder(Encoder):
    """fairseq's transformer encoder in RoBERTa's form: learned positions, GELU, post-norm.

    Args:
        vocabulary_size: symbols, specials included.
        max_tokens: the longest sequence.
        size: of the transformer.

    The parameters bear the names that RoBERTa checkpoints give them below ``encoder``.
    """

    def __init__(self, vocabulary_size: int, max_tokens: int, size: TransformerSize) -> None:
        super().__init__()
        config = fairseq_config(size, pre_norm=False)
        config.encoder.learned_pos = True
        config.max_source_positions = max_tokens
        config.no_scale_embedding = True
        config.layernorm_embedding = True
        embed_tokens = nn.Embedding(vocabulary_size, size.embed_dim, PADDING_ID)
        self.sentence_encoder = TransformerEncoderBase(config, None, embed_tokens)
        self.sentence_encoder.apply(init_bert_params)
        self.embed_dim = size.embed_dim

    def forward(self, tokens: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encode.

        Args:
            tokens: (B, T) ids, padded with fairseq's pad id.
            padding_mask: (B, T), True = padding.

        Returns:
            Features (B, T, C), and the padding mask.
        """
        # T x B x C -> B x T x C
        features = self.sentence_encoder(tokens)["encoder_out"][0].transpose(0, 1)
        return features, padding_mask
