"""A data dir under the task's options: its splits, and the modality datasets over them."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from fairseq.data import FairseqDataset
from omegaconf import OmegaConf

from data_prep.audio.frames import num_frames
from data_prep.audio.segment import AudioRows
from data_prep.features.extraction import are_of_audio
from data_prep.features.frame_files import FrameRows, JoinedFeatures, StoredFeatures
from data_prep.features.log_mel import LOG_MEL as LOG_MEL_FEATURES
from data_prep.features.stored import features_folder, open_features
from data_prep.manifest.audio_root import audio_root, video_root
from data_prep.manifest.lazy_rows import LazyRows
from data_prep.manifest.provenance import (
    TRAINED,
    Provenance,
    seen_rows,
)
from data_prep.manifest.table import counts, has
from data_prep.packed_audio.card import FOLDER as PACKED_AUDIO_FOLDER
from data_prep.packed_audio.segment import audio_of_splits
from data_prep.packed_audio.stored import PackedAudio
from data_prep.schema import SAMPLE_RATE, SPLITS, TRAIN
from data_prep.tokens.checking import are_tokens_of_audio
from data_prep.tokens.folder import SpecialIds
from data_prep.tokens.token_sets import TokenSet
from data_prep.video.segment import video_of
from emo_fairseq.data import legacy
from emo_fairseq.data.audio import PackedWaveforms, WaveformDataset
from emo_fairseq.data.fold import read_fold
from emo_fairseq.data.frame_statistics import MIN_FRAMES, FrameStatistics, Normalization
from emo_fairseq.data.frames import StoredFrames
from emo_fairseq.data.input_limits import InputLimits, InputOptions
from emo_fairseq.data.inputs import (
    INPUT_KINDS,
    Augment,
    build_modality_dataset,
    unchanged,
)
from emo_fairseq.data.leaks import (
    HeldOut,
    LeakGuard,
)
from emo_fairseq.data.manifest import (
    Split,
    check_data_dir,
    join_splits,
    read_corpus_file,
    read_split,
    report_rows,
)
from emo_fairseq.data.modality_dataset import RowsDataset
from emo_fairseq.data.normalization import RowGroups
from emo_fairseq.data.packed_audio import open_packed_audio
from emo_fairseq.data.token_choice import choose_tokens, command_of_trained
from emo_fairseq.data.tokens import build_token_dataset
from emo_fairseq.data.video import ClipDataset, estimate_sizes
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import FRAMES, LOG_MEL, SPEECH, TOKENS, VIDEO, WAVEFORM
from emo_fairseq.option_values import BY_TRAIN

logger = logging.getLogger(__name__)


class DataDirOptions(InputOptions, Protocol):
    """The options of a task that choose the data."""

    data: str
    data_raw: str | None
    fold: str | None
    speech_input: str | None
    video_raw: str | None
    whisper_padding: str
    text_tokens: str | None
    speech_tokens: str | None
    init_token: int | None
    separator_token: int | None
    packed_audio: str
    packed_audio_dir: str | None


class DataDir(InputLimits):
    """A data dir of either layout.

    Attributes:
        folder: ``--data``.
        is_legacy: whether it has the legacy layout.
        corpus: its name; None without corpus.yaml.
        guard: compares what the run reads with the rows that are held out.

    Raises:
        UsageError: the folder is no data dir, or counts samples at another rate.
    """

    cfg: DataDirOptions

    def __init__(self, cfg: DataDirOptions, modalities: tuple[str, ...]) -> None:
        super().__init__(cfg, modalities)
        if OmegaConf.is_missing(cfg, "data"):
            raise UsageError(
                "--data is missing: give the folder that holds {split}.tsv", "data-missing"
            )
        self.folder = Path(cfg.data)
        check_data_dir(self.folder)
        self.is_legacy = bool(self.split_names()) and not (self.folder / f"{TRAIN}.tsv").exists()
        corpus = None if self.is_legacy else read_corpus_file(self.folder)
        self.corpus = None if corpus is None else corpus.name
        self.guard = LeakGuard(self.held_out, bool(getattr(cfg, "allow_leak", False)))
        if corpus is not None and corpus.sample_rate != SAMPLE_RATE and SPEECH in modalities:
            raise UsageError(
                f"{self.folder}/corpus.yaml: n_samples counts at {corpus.sample_rate} Hz; encoders "
                f"read {SAMPLE_RATE} Hz, so prepare the corpus again with sample_rate "
                f"{SAMPLE_RATE}",
                "sample-rate-other",
            )
        self._splits: dict[str, Split] = {}
        self._whole: Split | None = None  # that a fold divides
        self._features: dict[tuple[str, str], StoredFeatures] = {}
        self._packed: dict[str, PackedAudio | None] = {}
        self._trained: Mapping[str, Vocabulary] = {}
        self._token_folders: dict[str, Path] = {}

    def set_encoders(self, encoders: Mapping[str, EncoderSpec]) -> None:
        """Set which encoder reads each modality.

        Raises:
            UsageError: the layout has no such input.
        """
        super().set_encoders(encoders)
        self._token_folders = {}
        for name, spec in encoders.items():
            if self.is_legacy and spec.input != TOKENS:
                remedy = (
                    "choose text, speech or both by --modality"
                    if name == VIDEO
                    else f"give an encoder of tokens to --{name}-encoder, or leave out "
                    f"--{name}-encoder and --{name}-input"
                )
                raise UsageError(
                    f"{name} as {spec.input}: {self.folder} is in the legacy layout, which holds "
                    f"tokens only; {remedy}",
                    "input-not-stored",
                )

    def audio_root(self, must_exist: bool = True) -> Path:
        """Return the folder that audio paths start from.

        Raises:
            ManifestError: it is recorded in corpus.yaml, and is not there, though it must exist.
        """
        return audio_root(self.folder, self.cfg.data_raw, must_exist=must_exist)

    def video_root(self) -> Path:
        """Return the folder that video paths start from.

        Raises:
            ManifestError: it is recorded in corpus.yaml, and is not there.
        """
        return video_root(self.folder, self.cfg.video_raw, self.cfg.data_raw)

    @property
    def _raw(self) -> Path:  # of the token files of the legacy layout
        return Path(self.cfg.data_raw or self.cfg.data)

    def set_trained_vocabularies(self, vocabularies: Mapping[str, Vocabulary]) -> None:
        """Set the vocabularies of a trained model, by which tokens are chosen from now on."""
        self._trained, self._token_folders = vocabularies, {}

    def token_folder(self, modality: str) -> Path:
        """Return the folder of the tokens that are read; see `emo_fairseq.data.token_choice`.

        Raises:
            UsageError: no tokens fit the encoder or the trained model, or several do.
        """
        if modality not in self._token_folders:
            name = getattr(self.cfg, f"{modality}_tokens", None)
            trained = self._trained.get(modality)
            encoder = self.encoders[modality]
            tokens = choose_tokens(self.folder, modality, encoder, name, trained, self.cfg.fold)
            if tokens is None and trained is not None and not self.is_legacy:
                command = command_of_trained(modality, encoder, self.folder, trained)
                raise UsageError(
                    f"{self.folder / modality}: holds no tokens; run {command}", "tokens-missing"
                )
            folder = self.folder / modality if tokens is None else tokens.folder
            self._token_folders[modality] = folder
        return self._token_folders[modality]

    def split(self, name: str) -> Split:
        """Return a split, read once: one on disk, or under ``--fold`` a set of the fold."""
        if name not in self._splits:
            self._splits[name] = self._read(name)
        return self._splits[name]

    def _read(self, name: str) -> Split:
        if self.cfg.fold is not None and name in SPLITS:
            bases, ids = read_fold(self.folder, self.cfg.fold)
            if self._whole is None:
                splits = [read_split(self.folder, self._raw, x, self.modalities) for x in bases]
                self._whole = join_splits(splits)
            return self._whole.part(name, ids[name])
        return read_split(self.folder, self._raw, name, self.modalities)

    def held_out(self) -> HeldOut:
        """Return the rows that training must not use: other sets of the fold, or other splits."""
        names = [name for name in SPLITS if name != TRAIN]
        if self.cfg.fold is None:
            corpus = None if self.is_legacy else read_corpus_file(self.folder)
            known = self.split_names() if corpus is None else list(corpus.splits)
            files = [name for name in names if (self.folder / f"{name}.tsv").is_file()]
            names = [name for name in known or files if name != TRAIN]
        rows = {name: self.split(name).utterances for name in names}
        return HeldOut(rows, self.corpus, self.cfg.fold)

    def provenance(self, name: str, use: str = TRAINED) -> Provenance:
        """Return the record of a split's rows, for what is made from them."""
        fold = self.cfg.fold if name in SPLITS else None
        return seen_rows(self.split(name).utterances, self.corpus, name, fold, use)

    def split_names(self) -> list[str]:
        """Return the splits of the legacy layout; none in ours, whose corpus.yaml names them."""
        return legacy.split_names(self.folder)

    def present(self, modality: str, split: Split) -> np.ndarray:
        """Return which rows have this modality: (N,) bool."""
        if self.encoders[modality].input == FRAMES:
            return (np.diff(self.features(modality, split).offsets) > 0)[split.stored_rows]
        return split.present(modality)

    def build_dataset(
        self,
        modality: str,
        split: Split,
        vocabulary: Vocabulary | None = None,
        statistics: FrameStatistics | None = None,
        augment: Augment = unchanged,
        normalize_by: str = BY_TRAIN,
    ) -> FairseqDataset:
        """Build the dataset of one modality, an item a row of the split.

        Args:
            modality: which one.
            split: from :meth:`split`. Context comes from its own rows alone.
            vocabulary: of the modality; needed for tokens only.
            statistics: of the train split; needed for frames only.
            augment: wraps the dataset of each kind of input. It gets waveforms also where log-mel
                frames are then computed from them.
            normalize_by: see :mod:`emo_fairseq.data.normalization`; of frames only.

        Returns:
            The dataset; for a set of a fold a :class:`RowsDataset` of that of all rows on disk.
        """
        kind = self.encoders[modality].input
        if kind in (WAVEFORM, LOG_MEL):
            self._warn_of_long_audio(split)
        reader = SplitReader(self, modality, split)
        normalization = None
        if statistics is not None:
            normalization = self._normalization(modality, split, statistics, normalize_by)
        dataset = build_modality_dataset(kind, reader, vocabulary, normalization, augment)
        return select_split(dataset, split)

    def _normalization(
        self, modality: str, split: Split, statistics: FrameStatistics, by: str
    ) -> Normalization:
        """Return that of all rows on disk; rows of other sets of a fold have no part in it."""
        if by == BY_TRAIN:
            return Normalization.of_train(statistics, len(split.stored.utterances))
        groups = RowGroups.of(by, split.utterances, self.corpus)
        present = self.present(modality, split)
        own = groups.fit(self.raw_frames(modality, split), present, statistics)
        if exceptions := groups.describe_exceptions(own, present):
            split.warn(f"{modality} normalized: {exceptions}")
        if split.name == TRAIN and not own.of_row[present].any():
            raise UsageError(
                f"--normalize-by {by}: no {by} of {split.file} has {MIN_FRAMES} frames of "
                f"{modality}, of which mean and deviation could be taken; leave the option out, or "
                "choose another value",
                "normalization-too-few-frames",
            )
        of_row = np.zeros(len(split.stored.utterances), dtype=np.int64)
        of_row[split.stored_rows] = own.of_row
        return Normalization(own.statistics, of_row)

    def raw_frames(self, modality: str, split: Split) -> FairseqDataset:
        """Return the split's log-mel frames or features (T, C) before they are normalized."""
        open_rows = INPUT_KINDS[self.encoders[modality].input].open
        return select_split(open_rows(SplitReader(self, modality, split), None, unchanged), split)

    def _warn_of_long_audio(self, split: Split) -> None:
        n_samples = counts(split.utterances, "n_samples")
        limit = f"--max-speech-seconds {self.cfg.max_speech_seconds:g}"
        report_rows(split, n_samples > self.max_samples(), f"are truncated at {limit}")

    def packed_audio(self, split: Split) -> list[PackedAudio] | None:
        """Open the packed audio of the splits on disk of which a split is a set; None without.

        Raises:
            UsageError: it is damaged, or with ``--packed-audio create`` cannot be written.
        """
        mode, given = str(self.cfg.packed_audio), self.cfg.packed_audio_dir
        folder = Path(given) if given else self.folder / PACKED_AUDIO_FOLDER
        root = self.audio_root(must_exist=False)
        for part in split.stored_parts:
            if part.name not in self._packed:
                self._packed[part.name] = open_packed_audio(mode, folder, part, root)
        packed = [self._packed[part.name] for part in split.stored_parts]
        opened = [part for part in packed if part is not None]
        return opened if len(opened) == len(packed) else None

    def features(self, modality: str, split: Split) -> FrameRows:
        """Open the features that ``--{modality}-encoder features:NAME`` names.

        Returns:
            Those of all rows of which the split is a set, or of all of its own.

        Raises:
            UsageError: a split on disk has none, or they do not fit the manifest.
        """
        return _join_features([self._features_of(modality, part) for part in split.stored_parts])

    def are_of_others(self, folder: Path, split: Split) -> bool:
        """Return whether stored features are not of the recordings of a split as they are now."""
        root = self.audio_root(must_exist=self.cfg.data_raw is not None)
        rows = split.utterances
        if are_of_audio(folder, split.name, rows, AudioRows(rows, root)):
            return False
        audio_of = audio_of_splits(self.folder, root, self.folder / PACKED_AUDIO_FOLDER)
        return not are_of_audio(folder, split.name, rows, audio_of(split.name, rows))

    def _features_of(self, modality: str, split: Split) -> StoredFeatures:
        if (modality, split.name) not in self._features:  # opening may pack, and warn of rows
            folder = features_folder(self.folder, self.encoders[modality].source)
            stored = _open_features(folder, split)
            if stored is None:
                raise UsageError(
                    f"{folder}/{split.name}.npy: not there; write it with "
                    "`python -m data_prep.extract_features`, or put your own frames there",
                    "features-missing",
                )
            if modality == SPEECH and self.are_of_others(folder, split):
                split.warn(
                    f"features of {folder} are not of the recordings in "
                    f"{self.audio_root(must_exist=False)} as they are now; extract them again by "
                    "`python -m data_prep.extract_features`, unless they are to be of others"
                )
            self._features[modality, split.name] = stored
        return self._features[modality, split.name]


class SplitReader:
    """Opens all rows on disk, of which the split is the whole or a set of a fold.

    So everything that depends on the number of a row, such as its augmentation and the outputs of a
    frozen encoder in the cache, is the same in every fold.
    """

    def __init__(self, data_dir: DataDir, modality: str, split: Split) -> None:
        self.data_dir, self.modality, self.split = data_dir, modality, split

    def tokens(self, specials: SpecialIds) -> FairseqDataset:
        data_dir = self.data_dir
        folder = data_dir.token_folder(self.modality)
        if self.modality == SPEECH and not data_dir.is_legacy:
            self._warn_of_other_recordings(folder)
        return build_token_dataset(folder, data_dir, self.modality, self.split, specials)

    def _warn_of_other_recordings(self, folder: Path) -> None:
        """Log that tokens are not of the recordings as they are now."""
        root = self.data_dir.audio_root(must_exist=False)
        for part in self.split.stored_parts:
            audio = AudioRows(part.utterances, root)
            if not are_tokens_of_audio(folder, part.name, part.utterances, audio):
                self.split.warn(
                    f"tokens of {folder} are not of the recordings in {root} as they are now; "
                    f"tokenize them again by `{TokenSet.of(folder).command}`"
                )

    def waveforms(self) -> WaveformDataset:
        stored, data_dir = self.split.stored, self.data_dir
        packed = data_dir.packed_audio(self.split)
        # Of packed audio the files may be elsewhere by now.
        root = data_dir.audio_root(must_exist=packed is None)
        audio = AudioRows(stored.utterances, root)
        n_samples = counts(stored.utterances, "n_samples")
        names = _RowNames(self.split.stored_parts)
        rows = audio, n_samples, data_dir.max_samples(), names
        return WaveformDataset(*rows) if packed is None else PackedWaveforms(packed, *rows)

    def pixels(self) -> ClipDataset:
        rows, data_dir = self.split.stored.utterances, self.data_dir
        options = data_dir.picture_options(self.modality)
        root = data_dir.video_root() if has(rows, "video").any() else data_dir.folder
        videos = [video_of(row, root) for row in rows]
        sizes = estimate_sizes(rows, videos, options.rate)
        limit = f"--max-video-seconds {options.max_seconds:g}"
        is_long = (sizes > options.max_pictures)[self.split.stored_rows]
        report_rows(self.split, is_long, f"have videos that are truncated at {limit}")
        return ClipDataset(videos, sizes, options, _RowNames(self.split.stored_parts))

    def log_mel(self) -> StoredFrames | None:
        """Open stored log-mel frames; None = compute them from the audio."""
        folder = features_folder(self.data_dir.folder, LOG_MEL_FEATURES)
        opened = [_open_features(folder, part) for part in self.split.stored_parts]
        stored = [part for part in opened if part is not None]
        if len(stored) < len(opened):
            return None
        if any(self.data_dir.are_of_others(folder, part) for part in self.split.stored_parts):
            root = self.data_dir.audio_root(must_exist=False)
            self.split.warn(
                f"frames of {folder} are not read, and are computed, since they are not of the "
                f"recordings in {root} as they are now; `python -m data_prep.extract_features` "
                "extracts them again"
            )
            return None
        logger.info("%s: frames of %s from disk", self.split.stored.name, folder)
        return StoredFrames(_join_features(stored), num_frames(self.data_dir.max_samples()))

    def frames(self) -> StoredFrames:
        stored = self.data_dir.features(self.modality, self.split)
        limit = self.data_dir.cfg.max_frames
        if limit is not None:
            lengths = np.diff(stored.offsets)[self.split.stored_rows]
            message = f"have {self.modality} truncated at --max-frames {limit}"
            report_rows(self.split, lengths > limit, message)
        return StoredFrames(stored, limit)


class _RowNames(LazyRows[str]):
    """The file and the id of each row of splits on disk, for messages."""

    def __init__(self, parts: Sequence[Split]) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(part.utterances) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def row(self, number: int) -> str:
        part_number = int(np.searchsorted(self._ends, number, side="right"))
        part = self._parts[part_number]
        row = number - int(self._ends[part_number])  # from the end of the part
        return f"{part.file}: {part.utterances[row].id}"


def select_split(dataset: FairseqDataset, split: Split) -> FairseqDataset:
    """Choose the split's own rows of a dataset of all rows on disk."""
    return dataset if split.whole is None else RowsDataset(dataset, split.stored_rows)


def _join_features(parts: Sequence[StoredFeatures]) -> FrameRows:
    return parts[0] if len(parts) == 1 else JoinedFeatures(parts)


def _open_features(folder: Path, split: Split) -> StoredFeatures | None:
    try:
        return open_features(folder, split.name, split.utterances)
    except ValueError as error:
        raise UsageError(str(error), "features-unreadable") from error
