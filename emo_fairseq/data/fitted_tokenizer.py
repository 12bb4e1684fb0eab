"""Which rows the tokenizer of a token folder was fitted on."""

from pathlib import Path

from data_prep.manifest.provenance import (
    Provenance,
    seen_rows,
)
from data_prep.schema import CORPUS_FILE, read_corpus, read_manifest
from data_prep.tokens.folder import TOKENIZER_FILE, read_card
from data_prep.tokens.opened import vouches_for
from emo_fairseq.errors import UsageError

_TRAIN = "train"  # data_prep fits on the split of this name alone


def tokenizer_provenance(folder: Path, data: Path) -> Provenance:
    """The record of the rows that a tokenizer has seen.

    One that was taken as it is (GPT-2's, a Hugging Face model's) has seen nothing of the corpus; a
    fitted one has seen the train split, which the digest in its card must still be of.

    Args:
        folder: of tokens, in `data`.
        data: the data dir.

    Raises:
        UsageError: the rows that it was fitted on are no longer those of the train split.
    """
    card = read_card(folder) if (folder / TOKENIZER_FILE).is_file() else {"settings": {}}
    fitted_on = card["settings"].get("fitted_on")
    if fitted_on is None:
        return Provenance()
    file = data / f"{_TRAIN}.tsv"
    rows = read_manifest(file) if file.is_file() else []
    digest = card["splits"].get(_TRAIN, {}).get("digest")
    if digest != fitted_on or not vouches_for(folder, _TRAIN, rows):
        raise UsageError(
            f"{folder}: the tokenizer was fitted on rows that are no longer those of {file}, and "
            f"may have seen what is held out; run data_prep.tokenize_{folder.name} again"
        )
    corpus = read_corpus(data).name if (data / CORPUS_FILE).is_file() else None
    return seen_rows(rows, corpus, _TRAIN)
