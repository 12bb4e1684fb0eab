"""What of a data dir is needed to ask a model that was trained on it."""

import logging
from pathlib import Path
from typing import Any

from data_prep.manifest.cells import normalize_text
from data_prep.schema import CORPUS_FILE, read_corpus, read_manifest
from data_prep.tokens.folder import TOKENIZER_FILE
from emo_fairseq.data.vocabulary import read_vocabulary
from emo_fairseq.errors import UsageError
from emo_fairseq.types import TOKENS

logger = logging.getLogger(__name__)


def find_tokenizers(
    task: Any, folder: Path, is_given: bool
) -> tuple[dict[str, Path], dict[str, str]]:
    """For each modality read as tokens the folder of its tokenizer, or what is missing.

    Args:
        task: knows its modalities and vocabularies.
        folder: the data dir.
        is_given: whether somebody named it, so that it has to be there.

    Raises:
        UsageError: it is not there, or its tokenizer has other symbols than the model.
    """
    if is_given and not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder; give the data dir of the training")
    found, missing = {}, {}
    for modality in task.source.modalities_of(TOKENS):
        place = folder / modality
        if not (place / TOKENIZER_FILE).is_file():
            missing[modality] = (
                f"the tokenizer, {modality}/{TOKENIZER_FILE} of the data dir; open or export the "
                "checkpoint again with a data dir that has it"
            )
            continue
        vocabulary = read_vocabulary(place)
        if vocabulary is not None:
            vocabulary.check_same(task.vocabularies()[modality])
        found[modality] = place
    return found, missing


def texts_are_clean(folder: Path) -> bool:
    """Whether every text of a data dir has the form that :mod:`data_prep.manifest.cells` gives.

    Such a model expects this form, and to give it changes no row of its corpus. Where there is no
    manifest to see it from, texts are taken to be clean, as those of most corpora are.
    """
    if not (folder / CORPUS_FILE).is_file():
        return True
    for split in read_corpus(folder).splits:  # other tables may lie there too
        file = folder / f"{split}.tsv"
        for row in read_manifest(file):
            if row.text is not None and normalize_text(row.text) != row.text:
                logger.info("%s: %s is no cleaned text, so none is cleaned", file, row.id)
                return False
    return True
