"""A corpus by vq-wav2vec: the codes of every row, then their ids by a dict.txt.

The dict.txt is the one given, or else names the codes of the train split, frequent ones first; any
other code becomes `<unk>`. A row shorter than a frame sees (29 ms in the published model) is `</s>`
alone. Finished splits are not done again; of an unfinished one, what was computed is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.files.digests import file_digest
from data_prep.schema import SAMPLE_RATE, read_corpus
from data_prep.tokens.binarize import SplitJob, read_splits
from data_prep.tokens.code_store import CodeStore
from data_prep.tokens.corpus_codes import CorpusCodes
from data_prep.tokens.folder import (
    DICT_FILE,
    UNK,
    TokenFolder,
    Tokens,
    load_dictionary,
)
from data_prep.tokens.sounds import Sound, speech_job
from data_prep.tokens.vq_wav2vec import BATCH_SECONDS, MAX_SECONDS, VqWav2Vec
from data_prep.tokens.vq_wav2vec_tokenizer import (
    check_names_codes,
    code_ids,
    count_symbols,
    dictionary_file,
    remember_checkpoint,
)

if TYPE_CHECKING:
    from fairseq.data import Dictionary

logger = logging.getLogger(__name__)

Job = SplitJob[Sound | None]


def tokenize_with_vq_wav2vec(
    data_dir: str | Path,
    data_raw: str | Path | None = None,
    *,
    checkpoint: str | Path,
    dictionary: str | Path | None = None,
    batch_seconds: float = BATCH_SECONDS,
    max_seconds: float = MAX_SECONDS,
) -> TokenFolder:
    """Tokenize every split with a checkpoint of fairseq's vq-wav2vec.

    Raises ValueError for a checkpoint or a dictionary that is none, for a corpus that is not at
    16 kHz, and, with the utterance's name, for audio that cannot be read.
    """
    _check_rate(data_dir)
    settings: dict[str, Any] = {
        "quantizer": "vq-wav2vec",
        "checkpoint": file_digest(checkpoint),
        "dict": None if dictionary is None else file_digest(dictionary),
        "max_seconds": float(max_seconds),
    }
    root = Path(data_raw or data_dir)
    jobs = {split: speech_job(root, rows) for split, rows in read_splits(data_dir).items()}
    if dictionary is None:
        settings["fitted_on"] = jobs["train"].digest
    folder = TokenFolder(Path(data_dir) / "speech", settings)
    with folder.locked():
        store = CodeStore(folder.folder)
        codes = CorpusCodes(store, checkpoint, settings, batch_seconds)
        if not folder.is_fitted:
            folder.replace_tokenizer(
                *_fit_dictionary(codes, jobs["train"])
                if dictionary is None
                else _copy_dictionary(codes.model, Path(dictionary))
            )
        remember_checkpoint(folder.folder, checkpoint)
        _write_splits(folder, jobs, codes)
        store.clear()
    return folder


def _check_rate(data_dir: str | Path) -> None:
    rate = read_corpus(data_dir).sample_rate
    if rate != SAMPLE_RATE:
        raise ValueError(
            f"{Path(data_dir) / 'corpus.yaml'}: n_samples counts at {rate} Hz, but vq-wav2vec "
            f"hears {SAMPLE_RATE} Hz; prepare the corpus again with sample_rate {SAMPLE_RATE} "
            "(the audio files may have any rate)"
        )


def _fit_dictionary(codes: CorpusCodes, train: Job) -> tuple[dict[str, bytes], int]:
    """dict.txt of the codes of the train split, and the vocabulary size."""
    counts = count_symbols(codes.of("train", train.items))
    if not counts:
        raise ValueError(
            f"the train split has no audio of {codes.model.reach} samples or more, which one frame "
            "of this vq-wav2vec sees; check audio in its manifest"
        )
    logger.info("dict.txt names the %d codes of the train split", len(counts))
    return {DICT_FILE: dictionary_file(counts)}, UNK + 1 + len(counts)


def _copy_dictionary(model: VqWav2Vec, path: Path) -> tuple[dict[str, bytes], int]:
    """A given dict.txt, and the vocabulary size."""
    known = load_dictionary(path)
    check_names_codes(path, known, model)
    return {DICT_FILE: path.read_bytes()}, len(known)


def _write_splits(folder: TokenFolder, jobs: Mapping[str, Job], codes: CorpusCodes) -> None:
    """Write the tokens of every split that is not finished; say which are skipped."""
    folder.forget_all_but(jobs)
    known = load_dictionary(folder.folder / DICT_FILE)
    for split, job in jobs.items():
        if folder.is_finished(split, job.digest, job.manifest):
            logger.info("%s: %s is up to date, skipped", folder.folder, split)
            continue
        missing = sum(sound is None for sound in job.items)
        rows = _encode(split, job, codes, known)
        folder.write_split(split, job.digest, rows, missing, job.manifest)
        codes.forget(job.items)
        counts = folder.splits[split]
        if counts.unknown:
            logger.warning(
                "%s: %s: %d of %d codes are not in %s and become <unk>",
                *(folder.folder, split, counts.unknown, counts.tokens - counts.rows, DICT_FILE),
            )


def _encode(split: str, job: Job, codes: CorpusCodes, known: Dictionary) -> Iterator[Tokens]:
    """The ids of every row; counts the rows whose audio is too short for any."""
    short = []
    for sound, row in zip(job.items, codes.of(split, job.items), strict=True):
        if sound and not len(row):
            short.append(sound.name)
        yield code_ids(row, known)
    if short:
        logger.warning(
            "%s: %d rows are too short for a code, the first of them %s",
            split,
            len(short),
            short[0],
        )
