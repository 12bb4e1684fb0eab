"""Tokenize the speech of a corpus by vq-wav2vec: codes of every row, and their ids in a dict.txt.

Without a given dict.txt, it has the codes of the train split by falling count; other codes become
`<unk>`. A row shorter than a frame (29 ms in the published model) is `</s>` only. Finished splits
are skipped; the codes of an unfinished one are kept.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.engines import Workers, as_engine
from data_prep.errors import CodedError
from data_prep.files.digests import file_digest
from data_prep.files.shards import ArrayCodec, ShardMap, ShardStore, shard_map, spans_of
from data_prep.manifest.audio_root import audio_root
from data_prep.manifest.digests import sequence_digest
from data_prep.progress import track
from data_prep.schema import SAMPLE_RATE, read_corpus
from data_prep.tokens.binarize import SplitJob, read_splits
from data_prep.tokens.folder import (
    DICT_FILE,
    UNK,
    TokenFolder,
    Tokens,
    load_dictionary,
)
from data_prep.tokens.sounds import Sound, speech_job
from data_prep.tokens.token_sets import FITTED_ELSEWHERE, FITTED_ON, place_tokens
from data_prep.tokens.vq_wav2vec import (
    BATCH_SECONDS,
    MAX_SECONDS,
    Codes,
    VqWav2Vec,
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
    name: str | None = None,
    fitted_elsewhere: str | None = None,
    workers: Workers = 1,
) -> TokenFolder:
    """Tokenize every split with a checkpoint of fairseq's vq-wav2vec.

    Args:
        data_dir: the data dir; tokens are written to its folder `speech/<name>`.
        data_raw: folder of the audio; None = that of corpus.yaml, see `audio_root`.
        checkpoint: of vq-wav2vec.
        dictionary: a dict.txt; None = that of the codes of the train split.
        batch_seconds: maximum length of a batch, including padding.
        max_seconds: longer rows are split.
        name: of the token set; None = after the checkpoint, and the folder of `dictionary`.
        fitted_elsewhere: digest of the rows of another data dir whose codes `dictionary` has.
        workers: an engine, or a number of processes, each of which loads the model.

    Raises:
        ValueError: the checkpoint or the dictionary is invalid, the corpus is not at 16 kHz, or
            audio is invalid; names the utterance.
    """
    _check_rate(data_dir)
    settings: dict[str, Any] = {
        "quantizer": "vq-wav2vec",
        "checkpoint": file_digest(checkpoint),
        "dict": None if dictionary is None else file_digest(dictionary),
        "max_seconds": float(max_seconds),
    }
    root = audio_root(data_dir, data_raw)
    jobs = {split: speech_job(root, rows) for split, rows in read_splits(data_dir).items()}
    if dictionary is None:
        settings[FITTED_ON] = jobs["train"].digest
    elif fitted_elsewhere is not None:
        settings[FITTED_ELSEWHERE] = fitted_elsewhere
    stems = [Path(checkpoint).stem]
    if dictionary is not None:
        stems.append(Path(dictionary).absolute().parent.name)  # of the BERT that has it
    default = "-".join(stems)
    folder = TokenFolder(place_tokens(data_dir, "speech", settings, name, default), settings)
    with (
        folder.locked(),
        CorpusCodes(folder.folder, checkpoint, settings, batch_seconds, workers) as codes,
    ):
        if not folder.is_fitted:
            folder.replace_tokenizer(
                *_fit_dictionary(codes, jobs["train"])
                if dictionary is None
                else _copy_dictionary(codes.model, Path(dictionary))
            )
        remember_checkpoint(folder.folder, checkpoint)
        _write_splits(folder, jobs, codes)
        codes.forget()
    return folder


def _check_rate(data_dir: str | Path) -> None:
    rate = read_corpus(data_dir).sample_rate
    if rate != SAMPLE_RATE:
        raise CodedError(
            f"{Path(data_dir) / 'corpus.yaml'}: n_samples counts at {rate} Hz, but vq-wav2vec "
            f"expects {SAMPLE_RATE} Hz; prepare the corpus again with sample_rate {SAMPLE_RATE} "
            "(the audio files may have any rate)",
            "sample-rate-mismatch",
        )


def _fit_dictionary(codes: CorpusCodes, train: Job) -> tuple[dict[str, bytes], int]:
    """Return a dict.txt of the codes of the train split, and the size of the vocabulary."""
    counts = count_symbols(codes.of("train", train.items))
    if not counts:
        raise CodedError(
            f"the train split has no audio of {codes.model.reach} samples or more, which one frame "
            "of this vq-wav2vec sees; check audio in its manifest",
            "audio-too-short",
        )
    logger.info("dict.txt names the %d codes of the train split", len(counts))
    return {DICT_FILE: dictionary_file(counts)}, UNK + 1 + len(counts)


def _copy_dictionary(model: VqWav2Vec, path: Path) -> tuple[dict[str, bytes], int]:
    """Return a given dict.txt, and the size of the vocabulary."""
    known = load_dictionary(path)
    check_names_codes(path, known, model)
    return {DICT_FILE: path.read_bytes()}, len(known)


def _write_splits(folder: TokenFolder, jobs: Mapping[str, Job], codes: CorpusCodes) -> None:
    """Write the tokens of every split that is not finished, and log which are skipped."""
    folder.forget_all_but(jobs)
    known = load_dictionary(folder.folder / DICT_FILE)
    for split, job in jobs.items():
        if folder.is_finished(split, job.digest, job.manifest):
            logger.info("%s: %s is up to date, skipped", folder.folder, split)
            continue
        missing = sum(sound is None for sound in job.items)
        rows = _encode(split, job, codes, known)
        folder.write_split(split, job.digest, rows, missing, job.manifest)
        counts = folder.splits[split]
        if counts.unknown:
            logger.warning(
                "%s: %s: %d of %d codes are not in %s and become <unk>",
                folder.folder,
                split,
                counts.unknown,
                counts.tokens - counts.rows,
                DICT_FILE,
            )


def _encode(split: str, job: Job, codes: CorpusCodes, known: Dictionary) -> Iterator[Tokens]:
    """Yield the ids of every row; log how many rows are too short for a code."""
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


# -- Codes of a corpus, computed in shards ---------------------------------------------------------

SHARD_ROWS = 256
FOLDER = ".partial"  # of a token folder: codes of finished shards, until their split is written

Sounds = Sequence[Sound | None]


class CorpusCodes(ExitStack):
    """Computes codes of audio, and keeps those of finished shards.

    Workers start with the first codes, and end with the block.

    Args:
        folder: token folder, locked.
        checkpoint: checkpoint of the model.
        settings: settings of the tokenizer, some of which determine the codes.
        batch_seconds: maximum length of a batch, including padding.
        workers: an engine, or a number of processes.
    """

    def __init__(
        self,
        folder: Path,
        checkpoint: str | Path,
        settings: Mapping[str, Any],
        batch_seconds: float,
        workers: Workers,
    ) -> None:
        super().__init__()
        self._folder = folder / FOLDER
        self._made_by = [(name, str(settings[name])) for name in ("checkpoint", "max_seconds")]
        self._load = partial(VqWav2Vec, checkpoint, settings["max_seconds"])
        self._batch_seconds = batch_seconds
        self._workers = as_engine(workers).with_default(1)  # the model uses all cores, or the GPU
        self._map: ShardMap[Codes] | None = None

    @cached_property
    def model(self) -> VqWav2Vec:
        """The quantizer. Raises ValueError if the checkpoint is not a vq-wav2vec."""
        return self._load()

    def of(self, split: str, sounds: Sounds) -> Iterator[Codes]:
        """Yield the codes (T, G) of each row; T is 0 without audio or if it is too short."""
        if self._map is None:
            build = partial(_build_coder, self._load, self._batch_seconds)
            self._map = self.enter_context(shard_map(build, self._workers))
        lengths = [sound and sound.n_samples for sound in sounds]
        spans = spans_of(len(sounds), lengths, most_rows=SHARD_ROWS)

        def digest(first: int, end: int) -> str:
            contents = [("sound", sound and sound.content) for sound in sounds[first:end]]
            return sequence_digest([*self._made_by, *contents])

        store = ShardStore(self._folder, ArrayCodec())
        codes = self._map(sounds, spans, f"speech {split}", store, digest)
        return track(codes, f"speech {split}", len(sounds))

    def forget(self) -> None:
        """Remove the codes of all splits, when these are written."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _build_coder(
    load: Callable[[], VqWav2Vec], batch_seconds: float
) -> Callable[[Sounds], list[Codes]]:
    model = load()

    def compute(sounds: Sounds) -> list[Codes]:
        with_audio = {row: sound for row, sound in enumerate(sounds) if sound}
        by_length = sorted(
            with_audio, key=lambda row: with_audio[row].n_samples
        )  # for little padding
        waveforms = (with_audio[row].read(SAMPLE_RATE) for row in by_length)
        codes = model.codes(waveforms, batch_seconds)
        codes_of_row = dict(zip(by_length, codes, strict=True))
        empty = np.empty((0, model.n_groups), np.int32)
        return [codes_of_row.get(row, empty) for row in range(len(sounds))]

    return compute
