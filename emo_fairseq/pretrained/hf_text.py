"""Text encoders of Hugging Face: BERT, RoBERTa, MPNet, MiniLM, DeBERTa and their kin."""

import json
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from data_prep.hf_tokenizer import HuggingFaceTokenizer
from emo_fairseq.data.vocabulary import symbols_digest
from emo_fairseq.encoder_card import EncoderCard
from emo_fairseq.inputs import TOKENS
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.pretrained.hf_extra import transformers
from emo_fairseq.pretrained.hf_files import read_config, read_model, weights_digest

# RoBERTa numbers positions from the padding id + 1, so that many of its rows are never used.
_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet", "data2vec-text")


class HuggingFaceTextEncoder(Encoder):
    """An encoder of transformers over tokens.

    Args:
        config: of transformers.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.model = transformers().AutoModel.from_config(config)
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None  # pooling is the fusion's business
        self.embed_dim = config.hidden_size
        self.n_layers = config.num_hidden_layers

    def layers(self, tokens: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode.

        Args:
            tokens: (B, T) ids of the model's own tokenizer.
            padding_mask: (B, T), True = padding.

        Returns:
            See :meth:`Encoder.layers`.
        """
        output = self.model(
            input_ids=tokens, attention_mask=(~padding_mask).long(), output_hidden_states=True
        )
        return list(output.hidden_states), padding_mask

    def blocks(self) -> Sequence[nn.Module]:
        layers = self.model.encoder.layer
        inside = set(layers.modules())
        before = [
            module
            for module in (*self.model.children(), *self.model.encoder.children())
            if not inside & set(module.modules())
        ]
        return [nn.ModuleList(before), *layers]


def describe_hf_text(place: str) -> EncoderCard:
    """The card of a folder, or of a name on the hub.

    Raises:
        UsageError: there is no such model, or it is no encoder of text.
    """
    config = read_config(place)
    symbols = HuggingFaceTokenizer(place).symbols
    reach = config.max_position_embeddings
    if config.model_type in _OFFSET_POSITIONS:
        reach -= (config.pad_token_id if config.pad_token_id is not None else 1) + 1
    return EncoderCard(
        spec=f"hf:{place}",
        input=TOKENS,
        architecture=json.loads(config.to_json_string(use_diff=False)),
        weights=weights_digest(place),
        vocabulary_size=config.vocab_size,
        vocabulary_digest=symbols_digest(symbols),
        max_tokens=reach,
    )


def build_hf_text(card: EncoderCard) -> HuggingFaceTextEncoder:
    """With random weights, and without the folder."""
    settings = dict(card.architecture)
    config = transformers().AutoConfig.for_model(settings.pop("model_type"), **settings)
    return HuggingFaceTextEncoder(config)


def load_hf_text(encoder: HuggingFaceTextEncoder, card: EncoderCard) -> None:
    """Put the pretrained weights into `encoder`.

    Raises:
        UsageError: the folder lacks a parameter of the model, or has it in another shape.
    """
    pretrained = read_model(card.place)
    if getattr(pretrained, "pooler", None) is not None:
        pretrained.pooler = None
    encoder.model.load_state_dict(pretrained.state_dict())
