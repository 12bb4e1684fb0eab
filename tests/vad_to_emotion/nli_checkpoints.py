"""Tiny real models of entailment with random weights, as both libraries write them."""

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from fairseq.data import Dictionary
from fairseq.data.encoders.gpt2_bpe_utils import bytes_to_unicode
from fairseq.models import ARCH_CONFIG_REGISTRY
from fairseq.models.roberta import RobertaModel
from hf_folders import BERT, SIZES, TEXTS
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from emo_fairseq.vad_to_emotion.zero_shot import HYPOTHESES

NAMES = ("contradiction", "neutral", "Entailment")
WORDS = [*TEXTS, *(sentence for three in HYPOTHESES.values() for sentence in three)]


def build_hf(folder: Path, names: Sequence[str] = NAMES, reach: int = 120) -> Path:
    """A BERT that classifies pairs; its tokenizer tells first from second by token types."""
    tokenizer = Tokenizer(models.WordPiece(pieces(), unk_token=BERT[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ids = [(symbol, tokenizer.token_to_id(symbol)) for symbol in BERT[1:3]]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=BERT[0],
        cls_token=BERT[1],
        sep_token=BERT[2],
        pad_token=BERT[3],
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=reach,
        id2label=dict(enumerate(names)),
        label2id={name: place for place, name in enumerate(names)},
        **SIZES,
    )
    model = transformers.BertForSequenceClassification(config)
    shake(model)
    model.save_pretrained(folder)
    return folder


def pieces() -> dict[str, int]:
    """The short words, and letters for the others: not trained, which may come out two ways."""
    words = {word for text in WORDS for word in text.replace(".", " .").split()}
    letters = sorted({letter for word in words for letter in word})
    short = sorted(word for word in words if len(word) < 4 and len(word) > 1)
    names = [*BERT, *letters, *(f"##{letter}" for letter in letters), *short]
    return {name: place for place, name in enumerate(names)}


def build_fairseq(folder: Path, reach: int = 120, names: Sequence[str] = ()) -> RobertaModel:
    """`model.pt` of a RoBERTa with a head, dict.txt, and GPT-2's files with one merge."""
    folder.mkdir(parents=True)
    symbols = [*bytes_to_unicode().values(), "th"]
    (folder / "encoder.json").write_text(json.dumps({s: n for n, s in enumerate(symbols)}))
    (folder / "vocab.bpe").write_text("#version: 0.2\nt h\n", encoding="utf-8")
    (folder / "dict.txt").write_text("".join(f"{n} 1\n" for n in range(len(symbols))))
    if names:
        (folder / "label").mkdir()
        (folder / "label" / "dict.txt").write_text("".join(f"{name} 1\n" for name in names))
    dictionary = Dictionary.load(str(folder / "dict.txt"))
    dictionary.add_symbol("<mask>")
    args = Namespace(
        arch="roberta_base",
        task="sentence_prediction",
        encoder_layers=2,
        encoder_embed_dim=16,
        encoder_ffn_embed_dim=24,
        encoder_attention_heads=2,
        max_positions=reach,
    )
    filled = Namespace(**vars(args))
    ARCH_CONFIG_REGISTRY["roberta_base"](filled)
    model = RobertaModel.build_model(filled, Namespace(source_dictionary=dictionary))
    model.register_classification_head("mnli", 3, 12)
    shake(model)
    torch.save({"args": args, "model": model.state_dict()}, folder / "model.pt")
    return model.eval()


def shake(model: Any) -> None:
    """Away from the small weights of the beginning, which say nearly the same of every text."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
