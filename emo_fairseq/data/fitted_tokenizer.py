"""Whether a tokenizer that was fitted on train rows may be used under a fold."""

import logging
from collections.abc import Collection
from pathlib import Path

from data_prep.schema import Utterance, read_manifest
from data_prep.tokens.folder import TOKENIZER_FILE, read_card
from data_prep.tokens.opened import vouches_for
from emo_fairseq.data.fold import read_fold
from emo_fairseq.data.naming import first_few
from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)

_TRAIN = "train"  # data_prep fits on the split of this name alone
_HELD_OUT = ("valid", "test")


def check_fitted_apart(folder: Path, data: Path, fold: str) -> None:
    """Refuse a tokenizer that has seen what a fold validates or tests on; else say what it has.

    One that was taken as it is (GPT-2's, a Hugging Face model's) has seen nothing of the corpus.

    Args:
        folder: of tokens, in `data`.
        data: the data dir.
        fold: PROTOCOL/FOLD.

    Raises:
        UsageError: rows that it was fitted on are held out, or can no longer be told.
    """
    if not (folder / TOKENIZER_FILE).is_file() or "fitted_on" not in read_card(folder)["settings"]:
        return
    file = data / f"{_TRAIN}.tsv"
    rows = read_manifest(file) if file.is_file() else []
    if not _was_fitted_on(folder, rows):
        raise _refusal(folder, fold, f"on rows that are no longer those of {file}")
    _, sets = read_fold(data, fold)
    held_out = {name for part in _HELD_OUT for name in sets[part]}
    if seen := [row.id for row in rows if row.id in held_out]:
        what = "a train split that the fold tests on parts of"
        raise _refusal(folder, fold, f"on {what} ({len(seen)} rows: {first_few(seen)})")
    logger.info(
        "the tokenizer of %s was fitted on the %d rows of %s, none of which --fold %s holds out",
        *(folder, len(rows), file, fold),
    )


def _was_fitted_on(folder: Path, rows: Collection[Utterance]) -> bool:
    card = read_card(folder)
    digest = card["splits"].get(_TRAIN, {}).get("digest")
    return digest == card["settings"]["fitted_on"] and vouches_for(folder, _TRAIN, list(rows))


def _refusal(folder: Path, fold: str, on_what: str) -> UsageError:
    return UsageError(
        f"--fold {fold}: the tokenizer of {folder} was fitted {on_what}; take one that is not "
        f"fitted, such as `python -m data_prep.tokenize_{folder.name} --help` names"
    )
