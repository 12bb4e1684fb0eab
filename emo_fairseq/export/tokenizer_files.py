"""A tokenizer's own files, copied out of a token folder; the tokens stay behind."""

from pathlib import Path

from data_prep.files.digests import file_digest
from data_prep.files.documents import dump_yaml
from data_prep.tokens.folder import TOKENIZER_FILE, read_card
from data_prep.tokens.vq_wav2vec_tokenizer import PLACE_FILE, find_checkpoint
from emo_fairseq.pretrained.fairseq_vq import write_quantizer

_QUANTIZER_FILE = "vq-wav2vec.safetensors"


def copy_tokenizer(folder: Path, out: Path) -> None:
    """Copy what makes tokens of new texts or sounds.

    A quantizer that tokens come from, which a token folder only points at, is put there too, its
    weights alone.

    Args:
        folder: ``text/`` or ``speech/`` of a data dir.
        out: the folder that is to hold the files.

    Raises:
        ValueError: the quantizer's checkpoint is gone, or is another one.
    """
    card = read_card(folder)
    out.mkdir(parents=True, exist_ok=True)
    for name in card["files"]:
        (out / name).write_bytes((folder / name).read_bytes())
    settings = dict(card["settings"])
    if (folder / PLACE_FILE).is_file():
        checkpoint = find_checkpoint(folder, settings["checkpoint"])
        write_quantizer(checkpoint, out / _QUANTIZER_FILE)
        (out / PLACE_FILE).write_text(f"{_QUANTIZER_FILE}\n", encoding="utf-8")
        settings["checkpoint"] = file_digest(out / _QUANTIZER_FILE)
    text = dump_yaml({**card, "settings": settings, "splits": {}})
    (out / TOKENIZER_FILE).write_text(text, encoding="utf-8")
