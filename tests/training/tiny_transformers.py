"""One encoder of fairseq's and one of Hugging Face's: how they are built and run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from fairseq.models.transformer import TransformerConfig, TransformerEncoderBase
from fairseq.models.transformer.transformer_config import EncDecBaseConfig
from torch import Tensor, nn
from transformers import BertConfig, BertModel

PAD = 1
TOKENS = torch.tensor([[0, 5, 6, 7, 8, 2], [0, 9, 10, 2, PAD, PAD]])
N_LAYERS = 3


@dataclass(frozen=True)
class Transformer:
    build: Callable[[float], nn.Module]  # from a dropout
    run: Callable[[nn.Module], Tensor]
    blocks: Callable[[nn.Module], Sequence[nn.Module]]  # what comes first, then the layers


def build_fairseq(dropout: float) -> nn.Module:
    config = TransformerConfig()
    config.encoder = EncDecBaseConfig(
        embed_dim=16, ffn_embed_dim=32, layers=N_LAYERS, attention_heads=2
    )
    config.dropout = config.attention_dropout = dropout
    return TransformerEncoderBase(config, None, nn.Embedding(20, 16, PAD))


def build_bert(dropout: float) -> nn.Module:
    config = BertConfig(
        hidden_size=16,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=20,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    return BertModel(config, add_pooling_layer=False)


TRANSFORMERS = {
    "fairseq": Transformer(
        build_fairseq,
        lambda model: model(TOKENS)["encoder_out"][0].transpose(0, 1),
        lambda model: [model.embed_tokens, *model.layers],
    ),
    "bert": Transformer(
        build_bert,
        lambda model: model(TOKENS, attention_mask=TOKENS.ne(PAD)).last_hidden_state,
        lambda model: [model.embeddings, *model.encoder.layer],
    ),
}


def gradients(model: nn.Module, run: Callable[[nn.Module], Tensor]) -> dict[str, Tensor]:
    """Of a loss that depends on every output, under fixed draws of the dropout."""
    model.zero_grad()
    torch.manual_seed(5)
    output = run(model)
    (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
