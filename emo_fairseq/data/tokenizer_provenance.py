"""Which rows of a corpus the tokenizer of a token folder was fitted on."""

from pathlib import Path

from data_prep.folds.file import train_set
from data_prep.manifest.digests import texts_digest
from data_prep.manifest.provenance import Provenance, seen_rows
from data_prep.schema import CORPUS_FILE, TRAIN, read_corpus, read_manifest
from data_prep.tokens.checking import is_card_of
from data_prep.tokens.folder import TOKENIZER_FILE, read_card
from data_prep.tokens.token_sets import FITTED_ELSEWHERE, FITTED_ON, FOLD, TokenSet
from emo_fairseq.errors import UsageError


def tokenizer_provenance(folder: Path, data: Path) -> Provenance:
    """Return the rows that a tokenizer was fitted on.

    A pretrained one (GPT-2's, a Hugging Face model's) was fitted on none of the corpus; that of
    another data dir on rows that are not recorded; any other one on the train split, or on the
    train set of a fold, whose rows must still have the digest in its card.

    Args:
        folder: of tokens, of `data`.
        data: the data dir.

    Raises:
        UsageError: the rows that it was fitted on are no longer those of the train split.
    """
    card = read_card(folder) if (folder / TOKENIZER_FILE).is_file() else {"settings": {}}
    if FITTED_ELSEWHERE in card["settings"]:
        return Provenance(unknown=(f"the tokenizer of {folder.name}, of another data dir",))
    fitted_on = card["settings"].get(FITTED_ON)
    if fitted_on is None:
        return Provenance()
    corpus = read_corpus(data).name if (data / CORPUS_FILE).is_file() else None
    if (fold := card["settings"].get(FOLD)) is not None:
        train = train_set(data, fold)
        if texts_digest(train) != fitted_on:
            raise _outdated(folder, f"the train set of {fold}")
        return seen_rows(train, corpus, TRAIN, fold)
    file = data / f"{TRAIN}.tsv"
    rows = read_manifest(file) if file.is_file() else []
    digest = card["splits"].get(TRAIN, {}).get("digest")
    if digest != fitted_on or not is_card_of(folder, TRAIN, rows):
        raise _outdated(folder, str(file))
    return seen_rows(rows, corpus, TRAIN)


def _outdated(folder: Path, rows: str) -> UsageError:
    return UsageError(
        f"{folder}: the tokenizer was fitted on rows that are no longer those of {rows}, and may "
        f"have seen what is held out; run `{TokenSet.of(folder).command}` again",
        "tokenizer-outdated",
    )
