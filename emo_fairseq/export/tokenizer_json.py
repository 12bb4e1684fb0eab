"""Write the text tokenizer of a model folder as one ``tokenizer.json`` of the library tokenizers.

That file can be read from Rust, Python, Node and the browser. Tokenizers of Hugging Face have one;
GPT-2's BPE and sentencepiece's unigram models are converted here, and kept if they give the ids of
the original for sample texts.
"""

import importlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_prep.tokens.folder import DICT_FILE, UNK, read_card, read_symbols
from data_prep.tokens.hf_tokenizer import TOKENIZER_JSON
from data_prep.tokens.text_tokenizers import (
    ENCODER_FILE,
    MERGES_FILE,
    MODEL_FILE,
    load_text_tokenizer,
)
from emo_fairseq.inference.model import LoadedModel
from emo_fairseq.modalities import TEXT

logger = logging.getLogger(__name__)

_CASE_FOLDING = "_cf"  # ends the name of sentencepiece's rules that fold case
_SAMPLES = (
    "So happy!",
    " I can't believe it... you're 25, aren't you?",
    "Naïve café, über-cool: 1,000.50 € & more",
    "no  double   spaces",
    "ALL CAPS, then lower",
    "你好 мир",
)


def write_tokenizer_json(folder: Path, loaded: LoadedModel) -> None:
    """Write ``text/tokenizer.json`` into a model folder, where its tokenizer can be converted.

    The folder is to be sealed again after it.
    """
    if TEXT not in loaded.processor.tokenizers:
        return
    tokenizer_folder = folder / TEXT
    file = tokenizer_folder / TOKENIZER_JSON
    kind = read_card(tokenizer_folder)["settings"].get("bpe")
    if file.is_file() or kind not in _CONVERT:
        return
    try:
        converted = _CONVERT[kind](tokenizer_folder)
    except ValueError as error:
        logger.info("%s: not written: %s", file, error)
        return
    original = load_text_tokenizer(tokenizer_folder)
    for text in _SAMPLES:
        ids = converted.encode(text, add_special_tokens=False).ids
        if ids != original.encode(text)[:-1].tolist():
            logger.info("%s: not written: its ids of %r differ", file, text)
            return
    converted.save(str(file))


def _convert_gpt2(folder: Path) -> Any:
    """Return GPT-2's BPE with the ids of fairseq's Dictionary in place of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    id_of = {symbol: number for number, symbol in enumerate(read_symbols(folder / DICT_FILE))}
    pieces = json.loads((folder / ENCODER_FILE).read_text(encoding="utf-8"))
    if unlisted := [piece for piece, number in pieces.items() if str(number) not in id_of]:
        raise ValueError(f"{DICT_FILE} lacks {len(unlisted)} pieces of {ENCODER_FILE}")
    vocabulary = {piece: id_of[str(number)] for piece, number in pieces.items()}
    lines = (folder / MERGES_FILE).read_text(encoding="utf-8").split("\n")[1:-1]
    merges = [(pair[0], pair[1]) for line in lines if len(pair := line.split(" ")) == 2]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _convert_sentencepiece(folder: Path) -> Any:
    """Return a unigram model of sentencepiece, with its normalization."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    schema = importlib.import_module("sentencepiece.sentencepiece_model_pb2")  # generated
    proto = schema.ModelProto()
    proto.ParseFromString((folder / MODEL_FILE).read_bytes())
    if proto.trainer_spec.model_type != proto.trainer_spec.UNIGRAM:
        raise ValueError("it is no unigram model")
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    tokenizer = Tokenizer(models.Unigram(pieces, UNK, proto.trainer_spec.byte_fallback))
    normalization = proto.normalizer_spec
    # The charsmap folds case, too; in JavaScript, where it is not read, only this step does.
    folds = [normalizers.Lowercase()] if normalization.name.endswith(_CASE_FOLDING) else []
    tokenizer.normalizer = normalizers.Sequence(
        [
            *folds,
            normalizers.Precompiled(normalization.precompiled_charsmap),
            normalizers.Strip(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


_CONVERT: dict[str, Callable[[Path], Any]] = {
    "gpt2": _convert_gpt2,
    "sentencepiece": _convert_sentencepiece,
}
