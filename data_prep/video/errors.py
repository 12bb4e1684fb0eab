"""The error of a video that cannot be read."""

from __future__ import annotations

from data_prep.errors import CodedError


class VideoError(CodedError):
    """An invalid video; the message does not name it: `holds no pictures`."""
