"""The modality dataset of video: pictures as a video encoder reads them."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fairseq.data import FairseqDataset
from torch import Tensor

from data_prep.manifest.table import counts
from data_prep.schema import SAMPLE_RATE, Utterance
from data_prep.video.decoding import find_streams
from data_prep.video.errors import VideoError
from data_prep.video.folders import list_pictures
from data_prep.video.loading import Clip, ClipLoader, PictureOptions
from data_prep.video.segment import VideoSegment, video_digests
from emo_fairseq.data.modality_dataset import collate_padded
from emo_fairseq.data.row_warnings import RowWarnings
from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)


class ClipDataset(FairseqDataset):
    """Pictures of videos, each decoded once a batch.

    An item is ((T, H, W, 3) uint8 pictures, presence). A row without a video, or of which no
    picture has a face where faces are read, is one black picture that is not present, so no fusion
    attends to it.

    Args:
        videos: N videos, None where the row has none.
        sizes: (N,) estimated numbers of pictures, for batching.
        options: which pictures are read.
        names: N names of the rows, for messages.

    Attributes:
        n_read: (N,) pictures that were decoded of each row that was read.
        n_without_face: (N,) those of them that are left out, for there is no face in them.
    """

    def __init__(
        self,
        videos: Sequence[VideoSegment | None],
        sizes: np.ndarray,
        options: PictureOptions,
        names: Sequence[str],
    ) -> None:
        super().__init__()
        self.videos = videos
        self.names = names
        self.options = options
        self.sizes = np.clip(sizes, 1, options.max_pictures)
        self._loader = ClipLoader(options)
        # Shared, for the worker processes of an epoch are new ones.
        self.n_read = torch.zeros(len(videos), dtype=torch.int64).share_memory_()
        self.n_without_face = torch.zeros(len(videos), dtype=torch.int64).share_memory_()
        self._warnings = RowWarnings(
            logger, names, "further rows with such pictures are not logged"
        )

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        clip = self.load(index)
        if clip is None or not len(clip.pictures):
            size = self.options.size
            return torch.zeros(1, size.height, size.width, 3, dtype=torch.uint8), False
        return torch.from_numpy(clip.pictures), True

    def load(self, index: int) -> Clip | None:
        """Load the pictures of a row; None where it has no video.

        Raises:
            UsageError: it cannot be decoded; names the row and the file.
        """
        video = self.videos[index]
        if video is None:
            return None
        try:
            clip = self._loader.load(video)
        except VideoError as error:
            raise UsageError(
                f"{self.names[index]}: {video}: {error}; check --video-raw, fetch the file again, "
                "or drop its row",
                error.code or "video-unreadable",
            ) from error
        if clip.n_without_face:
            self.n_without_face[index] = clip.n_without_face
            self._warnings.warn(
                index,
                f"{video}: no face in {clip.n_without_face} of {clip.n_read} pictures, which are "
                "masked",
            )
        self.n_read[index] = clip.n_read
        return clip

    def __len__(self) -> int:
        return len(self.videos)

    def content(self, memory: Path) -> list[str | None]:
        """Return a digest of the video of each row; None where it has none.

        Args:
            memory: file in which digests of files are cached.

        Raises:
            UsageError: a file cannot be read.
        """
        return video_digests(self.videos, memory)

    def collater(self, samples: list[tuple[Tensor, bool]]) -> dict[str, Tensor]:
        """Return ``pixels`` (B, T, H, W, 3), ``padding_mask`` (B, T) and ``present`` (B,)."""
        return collate_padded(samples, "pixels")


class InMemoryClips(ClipDataset):
    """Pictures that are decoded already.

    Args:
        clips: N arrays (T, H, W, 3) uint8.
        options: by which they were read.
    """

    def __init__(self, clips: Sequence[np.ndarray], options: PictureOptions) -> None:
        n_rows = len(clips)
        sizes = np.array([len(clip) for clip in clips])
        super().__init__([None] * n_rows, sizes, options, [""] * n_rows)
        self.clips = clips

    def load(self, index: int) -> Clip:
        pictures = self.clips[index]
        seconds = len(pictures) / self.options.rate
        return Clip(pictures, len(pictures), seconds, seconds)


def estimate_sizes(
    rows: Sequence[Utterance], videos: Sequence[VideoSegment | None], rate: float
) -> np.ndarray:
    """Estimate the number of pictures of each row, without decoding any.

    Args:
        rows: N rows, whose audio is as long as their video.
        videos: of these rows.
        rate: pictures a second.

    Returns:
        (N,) numbers, 0 where there is no video; of one that cannot be opened 1.
    """
    seconds = counts(rows, "n_samples") / SAMPLE_RATE
    sizes = np.zeros(len(rows), dtype=np.int64)
    stated: dict[Path, float] = {}
    for row, video in enumerate(videos):
        if video is None:
            continue
        if video.end is not None:
            length = video.end - video.start
        elif seconds[row] > 0:
            length = float(seconds[row])
        else:
            if video.path not in stated:
                stated[video.path] = _stated_seconds(video.path, rate)
            length = stated[video.path] - video.start
        sizes[row] = max(1, round(length * rate))
    return sizes


def _stated_seconds(path: Path, rate: float) -> float:
    try:
        if path.is_dir():
            return len(list_pictures(path)) / rate
        return find_streams(path).seconds or 0.0
    except (VideoError, OSError):
        return 0.0  # reported when it is read, with its row
