"""Frames of pretrained encoders, `hf:FOLDER` or `fairseq:CHECKPOINT`, of speech, text or video.

`python -m data_prep.extract_features` stores them, through :mod:`data_prep.pretrained`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from fairseq.data import FairseqDataset

from data_prep.audio.segment import AudioSegment
from data_prep.engines.mapping import Computed
from data_prep.errors import CodedError
from data_prep.features.extraction import ALL_LAYERS, Compute, RowFrames
from data_prep.features.frame_files import FloatArray
from data_prep.manifest.digests import sequence_digest
from data_prep.packed_audio.segment import AudioOf
from data_prep.schema import SAMPLE_RATE, Utterance
from data_prep.video.loading import PictureOptions
from data_prep.video.segment import VideoSegment, video_of
from emo_fairseq import pretrained
from emo_fairseq.compat.freed_memory import keep_freed_memory
from emo_fairseq.data.audio import WaveformDataset
from emo_fairseq.data.encoded import content_digest
from emo_fairseq.data.modality_dataset import collate_padded
from emo_fairseq.data.token_choice import choose_tokens, tokenize_command
from emo_fairseq.data.tokens import (
    TokenDataset,
    open_binarized,
)
from emo_fairseq.data.video import ClipDataset, estimate_sizes
from emo_fairseq.data.vocabulary import read_vocabulary
from emo_fairseq.encoder_spec import DEFAULT_WHISPER_PADDING, WHISPER_FULL, EncoderSpec, check_spec
from emo_fairseq.modalities import PIXELS, TOKENS, WAVEFORM
from emo_fairseq.models.encode import (
    batch_budget,
    encode_rows,
    encoder_of_features,
    encoding_device,
)
from emo_fairseq.pretrained.vocabulary_check import check_knows
from emo_fairseq.task_state import DEFAULT_FRAMES_PER_SECOND

logger = logging.getLogger(__name__)

_MAX_TOKENS = 512  # if the encoder has no limit

DatasetOf: TypeAlias = Callable[[Sequence[Any]], FairseqDataset]


@dataclass(frozen=True)
class PretrainedFeatures:
    """Frames of an encoder for the splits of a data dir.

    Attributes:
        data_dir: the data dir; tokens of the encoder's own tokenizer are in its folder <modality>.
        audio_of: returns the audio of the rows of a split.
        modality: "text", "speech" or "video".
        spec: `hf:FOLDER` or `fairseq:CHECKPOINT`.
        layer: `last`, `mean`, a number, or `all`: the L + 1 layers, side by side in each frame.
        max_seconds: audio and videos are truncated to this length; tokens to that of the encoder.
        memory: file in which digests of audio and video files are cached.
        whisper_padding: of a Whisper, one of
            :data:`emo_fairseq.encoder_spec.WHISPER_PADDINGS`; None for the default.
        video_root: folder of the videos.
        face_frames: folder with a folder of pictures for each row, named by its id, which are read
            in place of its video.
        frames_per_second: pictures that are read of a second of video.
        face_detector: see :mod:`data_prep.video.faces`; None = pictures are read whole.
    """

    data_dir: Path
    audio_of: AudioOf
    modality: str
    spec: str
    layer: str
    max_seconds: float
    memory: Path
    whisper_padding: str | None = None
    video_root: Path | None = None
    face_frames: Path | None = None
    frames_per_second: float = DEFAULT_FRAMES_PER_SECOND
    face_detector: str | None = None
    _faces: Counter[str] = field(default_factory=Counter, init=False, repr=False, compare=False)

    @cached_property
    def encoder_spec(self) -> EncoderSpec:
        """Description of the encoder. Raises ValueError if it is missing or not supported."""
        encoder_spec = pretrained.describe(
            self.modality,
            check_spec(self.modality, self.spec),
            self.whisper_padding or DEFAULT_WHISPER_PADDING,
        )
        if self.whisper_padding is not None and not encoder_spec.is_whisper:
            raise CodedError(
                f"--whisper-padding: {self.spec} is not a Whisper; leave it out", "option-unused"
            )
        if encoder_spec.input not in (TOKENS, WAVEFORM, PIXELS):
            raise CodedError(
                f"{self.spec}: encodes {encoder_spec.input}, not tokens, audio or video; give "
                "another",
                "encoder-unsupported",
            )
        return encoder_spec

    @property
    def settings(self) -> dict[str, Any]:
        """Settings on which the frames depend, without paths."""
        architecture = sorted(self.encoder_spec.architecture.items())
        padding = {"whisper_padding": self.encoder_spec.whisper_padding}
        return {
            "features": "pretrained",
            "modality": self.modality,
            "weights": self.encoder_spec.weights,
            "architecture": sequence_digest(
                (name, repr(value)) for name, value in architecture if name != "_name_or_path"
            ),
            "layer": self.layer,
            **({"layers": self._n_layers} if self.layer == ALL_LAYERS else {}),
            # Folders of older versions do not have it.
            **(padding if self.encoder_spec.whisper_padding != WHISPER_FULL else {}),
            **self._limits,
        }

    @property
    def _limits(self) -> dict[str, Any]:
        """Return how much is read of a row, and of a video which pictures."""
        if self.encoder_spec.input == TOKENS:
            return {"max_tokens": self._max_tokens}
        limits: dict[str, Any] = {"max_seconds": self.max_seconds}
        if self.encoder_spec.input == PIXELS:
            limits["frames_per_second"] = self.frames_per_second
            if self.face_detector is not None:
                limits["face_detector"] = self.face_detector
            if self.face_frames is not None:
                limits["face_frames"] = True
        return limits

    @cached_property
    def _picture_options(self) -> PictureOptions:
        size = self.encoder_spec.picture_size
        return PictureOptions(self.frames_per_second, self.max_seconds, size, self.face_detector)

    @cached_property
    def _n_layers(self) -> int:
        return pretrained.build(self.encoder_spec).n_layers + 1

    @property
    def _max_tokens(self) -> int:
        return min(_MAX_TOKENS, self.encoder_spec.max_tokens or _MAX_TOKENS)

    def content(self, split: str, rows: Sequence[Utterance]) -> str:
        """Return a digest of the audio or video files, or of the tokens."""
        return content_digest(self._dataset(split, rows), self.memory)

    def frames(
        self, split: str, rows: Sequence[Utterance], compute: Compute
    ) -> Iterator[FloatArray]:
        """Yield the frames (T, C) of each row; T is 0 without a source."""
        dataset = self._dataset(split, rows)
        if isinstance(dataset, ClipDataset):
            dataset_of: DatasetOf = partial(_clips, dataset.options)
            of_clips = dataset.videos, dataset.sizes, dataset.names
            items = Computed(len(rows), lambda row: tuple(column[row] for column in of_clips))
            # Limits of a shard count samples; a shard of videos has as many seconds.
            seconds = dataset.sizes / self.frames_per_second
            costs = (seconds * SAMPLE_RATE).astype(int).tolist()
            build = partial(_build, self.encoder_spec, self.layer, dataset_of)
            return self._counted(split, compute(build, items, costs))
        if isinstance(dataset, WaveformDataset):
            dataset_of = partial(_waveforms, dataset.max_samples)
            columns = dataset.audio, dataset.n_samples, dataset.names
            items = Computed(len(rows), lambda row: tuple(column[row] for column in columns))
        else:
            dataset_of = partial(_Tokens, dataset.specials.pad)
            items = Computed(len(rows), lambda row: _plain(*dataset[row]))
        costs = [row.n_samples if self.encoder_spec.input == WAVEFORM else None for row in rows]
        return compute(partial(_build, self.encoder_spec, self.layer, dataset_of), items, costs)

    def _counted(self, split: str, rows: Iterator[RowFrames]) -> Iterator[FloatArray]:
        """Yield the frames of rows, and count their pictures."""
        counts = self._faces
        counts.clear()
        for row in rows:
            counts["pictures"] += row.n_read
            counts["without_face"] += row.n_without_face
            counts["rows_without_face"] += 0 < row.n_read == row.n_without_face
            yield row.frames
        if counts["without_face"]:
            logger.warning(
                "%s: no face in %d of %d pictures, which are masked; in %d rows there is none",
                split,
                counts["without_face"],
                counts["pictures"],
                counts["rows_without_face"],
            )

    def facts(self) -> Mapping[str, Any]:
        """Return the counts of pictures with and without faces, where faces were looked for."""
        if self.face_detector is None:
            return {}
        names = ("pictures", "without_face", "rows_without_face")
        return {"faces": {name: self._faces[name] for name in names}}

    def _dataset(
        self, split: str, rows: Sequence[Utterance]
    ) -> WaveformDataset | TokenDataset | ClipDataset:
        if self.encoder_spec.input == TOKENS:
            return self._tokens(split, rows)
        is_video = self.encoder_spec.input == PIXELS
        return self._videos(split, rows) if is_video else self._waveforms(split, rows)

    def _videos(self, split: str, rows: Sequence[Utterance]) -> ClipDataset:
        options = self._picture_options
        videos = [self._video_of(row) for row in rows]
        sizes = estimate_sizes(rows, videos, options.rate)
        _log_truncated(split, sizes > options.max_pictures, f"{self.max_seconds:g} seconds")
        return ClipDataset(videos, sizes, options, [f"{split}.tsv: {row.id}" for row in rows])

    def _video_of(self, row: Utterance) -> VideoSegment | None:
        if self.face_frames is None:
            return video_of(row, self.video_root or Path())
        folder = self.face_frames / row.id
        return VideoSegment(folder) if folder.is_dir() else None

    def _waveforms(self, split: str, rows: Sequence[Utterance]) -> WaveformDataset:
        limit = int(self.max_seconds * SAMPLE_RATE)
        audio = self.audio_of(split, rows)
        n_samples = np.array([row.n_samples or 0 for row in rows])
        _log_truncated(split, n_samples > limit, f"{self.max_seconds:g} seconds")
        names = [f"{split}.tsv: {row.id}" for row in rows]
        return WaveformDataset(audio, n_samples, limit, names)

    def _tokens(self, split: str, rows: Sequence[Utterance]) -> TokenDataset:
        tokens = choose_tokens(self.data_dir, self.modality, self.encoder_spec)
        folder = self.data_dir / self.modality if tokens is None else tokens.folder
        vocabulary = read_vocabulary(folder)
        if vocabulary is None:
            command = tokenize_command(self.modality, self.encoder_spec, self.data_dir)
            raise CodedError(f"{folder}: holds no tokens; run `{command}`", "tokens-missing")
        check_knows({self.modality: self.encoder_spec}, {self.modality: vocabulary})
        source = open_binarized(folder, split, rows)
        lengths = np.asarray(source.sizes)
        present = [row.text if self.modality == "text" else row.audio for row in rows]
        is_present = np.array([value is not None for value in present], dtype=bool)
        _log_truncated(split, lengths + 1 > self._max_tokens, f"{self._max_tokens} tokens")
        return TokenDataset(source, lengths, is_present, vocabulary.specials, self._max_tokens)


def _log_truncated(split: str, cut: np.ndarray, limit: str) -> None:
    if cut.any():
        logger.warning("%s: %d rows are truncated to %s", split, int(cut.sum()), limit)


# -- In each of the workers ------------------------------------------------------------------------


def _build(
    spec: EncoderSpec, layer: str, dataset_of: DatasetOf
) -> Callable[[Sequence[Any]], list[Any]]:
    """Load an encoder; return the function from the items of some rows to their frames."""
    keep_freed_memory()
    device = encoding_device()
    backbone = pretrained.build(spec)
    pretrained.load(backbone, spec)
    encoder = encoder_of_features(backbone, layer)
    encoder.to(device)  # where it stays between shards
    budget = batch_budget(spec.input, device)

    def encode(items: Sequence[Any]) -> list[Any]:
        dataset = dataset_of(items)
        rows = list(encode_rows(encoder, dataset, budget, device))
        if not isinstance(dataset, ClipDataset):
            return rows
        counts = zip(dataset.n_read.tolist(), dataset.n_without_face.tolist(), strict=True)
        return [RowFrames(row, *pair) for row, pair in zip(rows, counts, strict=True)]

    return encode


def _waveforms(
    limit: int, items: Sequence[tuple[AudioSegment | None, int, str]]
) -> WaveformDataset:
    audio, n_samples, names = zip(*items, strict=True)
    return WaveformDataset(audio, np.array(n_samples), limit, names)


def _clips(
    options: PictureOptions, items: Sequence[tuple[VideoSegment | None, int, str]]
) -> ClipDataset:
    videos, sizes, names = zip(*items, strict=True)
    return ClipDataset(videos, np.array(sizes), options, names)


class _Tokens(FairseqDataset):
    """Items of a :class:`TokenDataset` that were read already: ids (T,), and presence."""

    def __init__(self, pad: int, items: Sequence[tuple[np.ndarray, bool]]) -> None:
        super().__init__()
        self._pad = pad
        self._items = items
        self.sizes = np.array([len(ids) for ids, _ in items])

    def __getitem__(self, index: int) -> tuple[torch.Tensor, bool]:
        ids, present = self._items[index]
        return torch.from_numpy(ids), present

    def __len__(self) -> int:
        return len(self._items)

    def collater(self, samples: list[tuple[torch.Tensor, bool]]) -> dict[str, torch.Tensor]:
        """Return `tokens` and `padding_mask` (B, T), `present` (B,)."""
        return collate_padded(samples, "tokens", self._pad)


def _plain(ids: torch.Tensor, present: bool) -> tuple[np.ndarray, bool]:
    return ids.numpy(), present
