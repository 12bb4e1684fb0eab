"""Resize and crop pictures as the image processors of Hugging Face do, by Pillow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_prep.video.folders import Picture, load_pillow


@dataclass(frozen=True)
class PictureSize:
    """The pictures that an encoder reads.

    Attributes:
        height: of a picture, in pixels.
        width: likewise.
        shortest_edge: length to which the shorter edge is resized, before the middle of the picture
            is cropped; None = the whole picture is resized to `height` and `width`.
        resample: number of Pillow's filter.
    """

    height: int
    width: int
    shortest_edge: int | None = None
    resample: int = 2

    def apply(self, picture: Picture) -> Picture:
        """Return a picture (H, W, 3) as (height, width, 3).

        >>> size = PictureSize(2, 2, shortest_edge=2)
        >>> size.apply(np.zeros((4, 8, 3), np.uint8)).shape
        (2, 2, 3)
        """
        image = load_pillow().fromarray(picture)
        if self.shortest_edge is None:
            return np.asarray(image.resize((self.width, self.height), self.resample))
        shorter = min(image.width, image.height)
        size = [
            self.shortest_edge if edge == shorter else int(self.shortest_edge * edge / shorter)
            for edge in (image.width, image.height)
        ]
        resized = np.asarray(image.resize((size[0], size[1]), self.resample))
        top, left = (resized.shape[0] - self.height) // 2, (resized.shape[1] - self.width) // 2
        return np.ascontiguousarray(resized[top : top + self.height, left : left + self.width])
