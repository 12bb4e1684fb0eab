"""Check tokens when they are opened: complete, and of the rows of the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_prep.audio.segment import AudioSegment, audio_digests
from data_prep.errors import (
    Fault,
    ManifestError,
)
from data_prep.files.digests import (
    user_memory,
    verify,
    verify_all,
    warn_unverified,
)
from data_prep.files.remote import RemotePath
from data_prep.manifest.digests import rows_digest, sequence_digest, texts_digest
from data_prep.schema import Utterance
from data_prep.tokens.folder import (
    DICT_FILE,
    SYMBOLS_FILE,
    TOKENIZER_FILE,
    load_symbols,
    read_card,
    read_symbols,
)
from data_prep.tokens.token_files import check_token_files
from data_prep.tokens.token_sets import TokenSet

_TEXT = "text"


def check_tokens(folder: Path, split: str, rows: Sequence[Utterance]) -> npt.NDArray[np.int32]:
    """Check the tokens of a split: files, records, manifest and vocabulary.

    Returns:
        (N,), the number of ids in each row.

    Raises:
        ManifestError: the split is not tokenized, the tokens are of another manifest, or a file is
            damaged.
    """
    tokens = TokenSet.of(folder)
    command = f"run `{tokens.command}`"
    remedy = f"{command} again"
    for ending in ("bin", "idx"):
        if not (file := folder / f"{split}.{ending}").is_file():
            raise ManifestError(Fault(str(file), None, "not there", command, "tokens-missing"))
    has_card = (folder / TOKENIZER_FILE).exists()
    counts = read_card(folder)["splits"].get(split, {}) if has_card else {}
    if records := counts.get("files"):
        verify_all(folder, records, remedy)
    elif counts:
        warn_unverified(folder / f"{split}.bin", f"{remedy}, which adds it")
    sizes = check_token_files(folder / split, vocabulary_size(folder), remedy)
    index = str(folder / f"{split}.idx")
    if len(sizes) != len(rows):
        problem = f"{len(sizes)} rows, but the manifest has {len(rows)}"
        raise ManifestError(Fault(index, None, problem, remedy, "tokens-mismatch"))
    if not is_card_of(folder, split, rows):
        source = "texts" if tokens.modality == _TEXT else "audio"
        problem = f"ids, {source} of the manifest have changed since"
        raise ManifestError(Fault(index, None, problem, remedy, "tokens-outdated"))
    return sizes


def is_card_of(folder: Path, split: str, rows: Sequence[Utterance]) -> bool:
    """Return whether the card of a token folder, if there is one, is of these rows."""
    if not (folder / TOKENIZER_FILE).exists():
        return True  # tokens of another tool
    entry = read_card(folder)["splits"].get(split, {})
    if TokenSet.of(folder).modality == _TEXT:
        return bool(entry.get("digest") == texts_digest(rows))
    return bool(entry.get("manifest") == rows_digest(rows))


def are_tokens_of_audio(
    folder: Path, split: str, rows: Sequence[Utterance], audio: Sequence[AudioSegment | None]
) -> bool:
    """Return whether tokens of speech are those of audio files as they are now.

    They are taken to be, where a file cannot be read, or is at a URL; and so are tokens of others.

    Raises:
        ManifestError: their card is invalid.
    """
    has_card = (folder / TOKENIZER_FILE).exists()
    made_from = read_card(folder)["splits"].get(split, {}).get("digest") if has_card else None
    first = next((part for part in audio if part is not None), None)
    if made_from is None or first is None or isinstance(first.path, RemotePath):
        return True
    try:
        digests = audio_digests(audio, user_memory().with_name("recordings.json"))
    except ValueError:
        return True
    return bool(made_from == sequence_digest(zip((row.id for row in rows), digests, strict=True)))


def check_tokenizer(folder: Path) -> None:
    """Compare the tokenizer files with the digests in the card, if there is one.

    Raises:
        ManifestError: a file is missing, damaged or replaced.
    """
    if not (folder / TOKENIZER_FILE).exists():
        return
    remedy = f"copy it again, or delete {folder} and tokenize, or export the model, again"
    for name, digest in read_card(folder)["files"].items():
        verify(folder / name, {"sha256": digest}, remedy)


def vocabulary_size(folder: Path) -> int | None:
    """Return the size of the vocabulary of a token folder; None if it has no list of symbols.

    Raises:
        ManifestError: a file of the tokenizer is damaged, or `dict.txt` is not a dictionary.
    """
    check_tokenizer(folder)
    if (folder / SYMBOLS_FILE).exists():
        return len(load_symbols(folder))
    if (folder / DICT_FILE).exists():
        return len(read_symbols(folder / DICT_FILE))
    return None
