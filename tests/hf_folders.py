"""Tiny real folders of Hugging Face encoders, built by transformers and tokenizers."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
TEXTS = ("so what do you say", "i am so happy for you", "no no no", "leave me alone you two")


def wordpiece(texts: Sequence[str], specials: Sequence[str]) -> Tokenizer:
    """BERT's kind of tokenizer: pieces of words, one symbol before a text and one after it."""
    unknown, first, last = specials[0], specials[1], specials[2]
    tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=90, special_tokens=list(specials))
    )
    _surround(tokenizer, first, last)
    return tokenizer


def byte_level(texts: Sequence[str], specials: Sequence[str]) -> Tokenizer:
    """RoBERTa's kind: pieces of bytes, to which nothing is unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    _surround(tokenizer, specials[0], specials[2])
    return tokenizer


def _surround(tokenizer: Tokenizer, first: str, last: str) -> None:
    ids = [(symbol, tokenizer.token_to_id(symbol)) for symbol in (first, last)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=ids
    )


BERT = ("[UNK]", "[CLS]", "[SEP]", "[PAD]")
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>")


def _names(unknown: str, first: str, last: str, pad: str) -> dict[str, str]:
    return {"unk_token": unknown, "cls_token": first, "sep_token": last, "pad_token": pad}


# family: configuration, tokenizer, its special symbols by their roles
FAMILIES: dict[str, tuple[Callable[..., Any], Callable[..., Tokenizer], tuple[str, ...]]] = {
    "bert": (transformers.BertConfig, wordpiece, BERT),
    "roberta": (transformers.RobertaConfig, byte_level, ROBERTA),
    "mpnet": (transformers.MPNetConfig, byte_level, ROBERTA),
    "deberta": (transformers.DebertaV2Config, wordpiece, BERT),
    "deberta-v1": (transformers.DebertaConfig, wordpiece, BERT),
    "distilbert": (transformers.DistilBertConfig, wordpiece, BERT),
    "electra": (transformers.ElectraConfig, wordpiece, BERT),
    "albert": (transformers.AlbertConfig, wordpiece, BERT),
    "camembert": (transformers.CamembertConfig, byte_level, ROBERTA),
    "xlm-roberta": (transformers.XLMRobertaConfig, byte_level, ROBERTA),
    "data2vec-text": (transformers.Data2VecTextConfig, byte_level, ROBERTA),
    "modernbert": (transformers.ModernBertConfig, wordpiece, BERT),
}
EXTRA: dict[str, dict[str, Any]] = {
    "deberta": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 8,
        "max_relative_positions": -1,
    },
    "deberta-v1": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "distilbert": {"hidden_dim": 24},
    "electra": {"embedding_size": 8},
    "albert": {"embedding_size": 8},
}


def build(
    folder: Path,
    family: str = "bert",
    texts: Sequence[str] = TEXTS,
    seed: int = 5,
    n_positions: int = 40,
    mask: str | None = None,
) -> Path:
    """Write a folder as `save_pretrained` does: configuration, weights, tokenizer.

    A mask is the last of the special symbols.
    """
    config_class, make, specials = FAMILIES[family]
    tokenizer = make(texts, specials if mask is None else (*specials, mask))
    roles = BERT if specials is BERT else ("<unk>", "<s>", "</s>", "<pad>")
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **_names(*roles),
        **({} if mask is None else {"mask_token": mask}),
    ).save_pretrained(folder)
    config = config_class(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=n_positions,
        pad_token_id=tokenizer.token_to_id(roles[3]),
        **SIZES,
        **EXTRA.get(family, {}),
    )
    torch.manual_seed(seed)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    return folder


PICTURE = 16  # pixels of an edge
CLIP = 4  # frames
_VIDEO_SIZES = {**SIZES, "image_size": PICTURE, "patch_size": 8}
_WITHOUT_FFN = {name: size for name, size in _VIDEO_SIZES.items() if name != "intermediate_size"}
# family: the model in transformers, its configuration, and its image processor
VIDEO_FAMILIES: dict[str, tuple[str, dict[str, Any], tuple[str, dict[str, Any]]]] = {
    "vit": ("ViT", _VIDEO_SIZES, ("ViTImageProcessorPil", {"size": PICTURE})),
    "dinov2": (
        "Dinov2",
        {**_WITHOUT_FFN, "mlp_ratio": 2},
        ("BitImageProcessorPil", {"shortest_edge": 20}),
    ),
    "clip_vision_model": (
        "CLIPVision",
        _VIDEO_SIZES,
        ("CLIPImageProcessorPil", {"shortest_edge": 16}),
    ),
    "vivit": (
        "Vivit",
        {**_VIDEO_SIZES, "num_frames": CLIP, "tubelet_size": [2, 8, 8]},
        ("VivitImageProcessor", {"shortest_edge": 18}),
    ),
    "videomae": (
        "VideoMAE",
        {**_VIDEO_SIZES, "num_frames": CLIP, "tubelet_size": 2, "use_mean_pooling": False},
        ("VideoMAEImageProcessorPil", {"shortest_edge": 16}),
    ),
    "timesformer": (
        "Timesformer",
        {**_VIDEO_SIZES, "num_frames": CLIP},
        ("VideoMAEImageProcessorPil", {"shortest_edge": 16}),
    ),
}


def build_video(folder: Path, family: str = "vit", seed: int = 7) -> Path:
    """Write the folder of a video or image encoder: configuration, weights, image processor."""
    name, sizes, (processor, options) = VIDEO_FAMILIES[family]
    if "shortest_edge" in options:
        size: Any = options
        options = {"size": size, "crop_size": {"height": PICTURE, "width": PICTURE}}
    else:
        options = {"size": {"height": PICTURE, "width": PICTURE}}
    torch.manual_seed(seed)
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**sizes))
    model.save_pretrained(folder)
    picture_processor(processor, **options).save_pretrained(folder)
    return folder


def picture_processor(name: str, **options: Any) -> Any:
    """Return an image processor of transformers that works without torchvision."""
    module = {
        "ViTImageProcessorPil": "vit.image_processing_pil_vit",
        "BitImageProcessorPil": "bit.image_processing_pil_bit",
        "CLIPImageProcessorPil": "clip.image_processing_pil_clip",
        "VivitImageProcessor": "vivit.image_processing_vivit",
        "VideoMAEImageProcessorPil": "videomae.image_processing_pil_videomae",
    }[name]
    found = importlib.import_module(f"transformers.models.{module}")
    return getattr(found, name)(**options)


def build_clip(folder: Path, seed: int = 7) -> Path:
    """Write the folder of a whole CLIP, with its text tower."""
    text = {**SIZES, "vocab_size": 30, "max_position_embeddings": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=_VIDEO_SIZES, projection_dim=8)
    torch.manual_seed(seed)
    transformers.CLIPModel(config).save_pretrained(folder)
    size = {"size": {"shortest_edge": PICTURE}, "crop_size": {"height": PICTURE, "width": PICTURE}}
    picture_processor("CLIPImageProcessorPil", **size).save_pretrained(folder)
    return folder


def build_whisper(folder: Path, seconds: int = 2, n_layers: int = 2) -> Path:
    """Write the folder of a Whisper that takes recordings of so many seconds, for 30."""
    config = transformers.WhisperConfig(
        d_model=16,
        encoder_layers=n_layers,
        encoder_attention_heads=2,
        encoder_ffn_dim=16,
        num_mel_bins=8,
        max_source_positions=50 * seconds,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=16,
        max_target_positions=8,
        vocab_size=30,
        pad_token_id=1,
        bos_token_id=2,
        eos_token_id=3,
        decoder_start_token_id=2,
    )
    torch.manual_seed(6)
    transformers.WhisperModel(config).save_pretrained(folder)
    extractor = transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=seconds)
    extractor.save_pretrained(folder)
    return folder
