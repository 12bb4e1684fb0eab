"""Faces in pictures: a detector, the face that is chosen of each picture, and the crop of it.

A detector is a function from pictures (T, H, W, 3) uint8 of one video to the boxes of each picture,
an array (n, 4) of left, top, right and bottom in pixels for n faces; or (n, 5), where the last
number is higher the more likely that face speaks. `opencv` is a row of `DETECTORS`; any other is
named as `module:function`.

Of each picture the face is taken that most likely speaks; without such numbers, the largest.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from data_prep.errors import CodedError
from data_prep.video.errors import VideoError
from data_prep.video.folders import Picture

Boxes: TypeAlias = npt.NDArray[np.floating[Any]]  # (n, 4) or (n, 5)
Detector: TypeAlias = Callable[[npt.NDArray[np.uint8]], Sequence[Boxes]]

MARGIN = 0.2  # of the longer side of a box, around it: detectors cut off chin and forehead
_CORNERS, _WITH_SPEECH = 4, 5
_HOOK = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_OPENCV = "opencv"
_SCALE, _NEIGHBORS = 1.1, 5  # of the cascades; as in OpenCV's own examples
_LEAST_EDGE = 24  # pixels of a face: what the cascades were trained on


def check_detector_name(name: str) -> str:
    """Return the name of a detector, which is not loaded yet.

    >>> check_detector_name("mypackage.faces:find")
    'mypackage.faces:find'

    Raises:
        CodedError: it is none of :data:`DETECTORS`, and not of the form `module:function`.
    """
    if name not in DETECTORS and not _HOOK.fullmatch(name):
        raise CodedError(
            f"--face-detector {name!r} is not understood; write {', '.join(DETECTORS)} or "
            "MODULE:FUNCTION, a function from pictures (T, H, W, 3) to the boxes of each",
            "face-detector-unknown",
        )
    return name


def load_detector(name: str) -> Detector:
    """Load a detector: a row of :data:`DETECTORS`, or `module:function`.

    Raises:
        CodedError: it cannot be imported; names it.
    """
    check_detector_name(name)
    if name in DETECTORS:
        return DETECTORS[name]()
    module, _, path = name.partition(":")
    try:
        detector: Any = importlib.import_module(module)
        for part in path.split("."):
            detector = getattr(detector, part)
    except (ImportError, AttributeError) as error:
        raise CodedError(
            f"--face-detector {name}: cannot be imported ({error}); check its name, and that its "
            "folder is in PYTHONPATH",
            "face-detector-missing",
        ) from error
    if not callable(detector):
        raise CodedError(
            f"--face-detector {name}: is no function; name one", "face-detector-missing"
        )
    loaded: Detector = detector
    return loaded


def crop_faces(pictures: npt.NDArray[np.uint8], detect: Detector) -> list[Picture | None]:
    """Return the face of each picture; None where there is none.

    Args:
        pictures: (T, H, W, 3) of one video.
        detect: the detector.

    Raises:
        VideoError: the detector returned something else than the boxes of T pictures.
    """
    boxes = _checked(detect(pictures), len(pictures))
    return [
        None if (box := choose_face(of_picture)) is None else crop(picture, box)
        for picture, of_picture in zip(pictures, boxes, strict=True)
    ]


def choose_face(boxes: Boxes) -> Boxes | None:
    """Return left, top, right and bottom (4,) of the face that is taken; None without any.

    >>> choose_face(np.array([[0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 9.0, 9.0]])).tolist()
    [5.0, 5.0, 9.0, 9.0]
    >>> choose_face(np.array([[0.0, 0.0, 2.0, 2.0, 0.9], [5.0, 5.0, 9.0, 9.0, 0.1]])).tolist()
    [0.0, 0.0, 2.0, 2.0]
    """
    if not len(boxes):
        return None
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    scores = boxes[:, _CORNERS] if boxes.shape[1] == _WITH_SPEECH else areas
    best: Boxes = boxes[int(np.argmax(scores)), :_CORNERS]
    return best


def crop(picture: Picture, box: Boxes) -> Picture | None:
    """Return the square around a box, with a margin, as far as the picture goes.

    None where the box has no area within the picture.
    """
    left, top, right, bottom = box.tolist()
    half = max(right - left, bottom - top) * (0.5 + MARGIN)
    x, y = (left + right) / 2, (top + bottom) / 2
    height, width = picture.shape[:2]
    rows = slice(max(0, round(y - half)), min(height, round(y + half)))
    columns = slice(max(0, round(x - half)), min(width, round(x + half)))
    face = picture[rows, columns]
    return face if face.size else None


def _checked(boxes_of: Any, n_pictures: int) -> list[Boxes]:
    """Return what a detector has found as arrays of numbers."""
    try:
        boxes: list[Boxes] = [np.asarray(of_picture, dtype=np.float64) for of_picture in boxes_of]
    except (TypeError, ValueError):
        boxes = []
    boxes = [np.zeros((0, _CORNERS)) if x.size == 0 else x for x in boxes]
    is_valid = len(boxes) == n_pictures and all(
        x.ndim == 2 and x.shape[1] in (_CORNERS, _WITH_SPEECH) and np.isfinite(x).all()
        for x in boxes
    )
    if not is_valid:
        raise VideoError(
            f"the face detector has to return {n_pictures} arrays of boxes, (n, {_CORNERS}) or "
            f"(n, {_WITH_SPEECH}), one for each picture; correct the function",
            "face-boxes-invalid",
        )
    return boxes


# -- OpenCV's cascades, whose weights are in its package -------------------------------------------


class OpenCvFaces:
    """Find frontal faces, and profiles where there are none, by OpenCV's Haar cascades.

    They are quick and need no download, and miss faces that are turned away or tilted. Viola and
    Jones (2001), Rapid Object Detection using a Boosted Cascade of Simple Features.

    Raises:
        CodedError: OpenCV is not installed, or is a version without them.
    """

    def __init__(self) -> None:
        try:
            self._cv2 = cv2 = importlib.import_module("cv2")
            folder = importlib.import_module("cv2.data").haarcascades
            load = cv2.CascadeClassifier
        except (ImportError, AttributeError) as error:
            raise CodedError(
                f"--face-detector {_OPENCV}: needs OpenCV 4, whose package has its cascades: "
                "`pip install 'emo_fairseq[faces]'`",
                "library-missing",
            ) from error
        self._front = load(f"{folder}haarcascade_frontalface_default.xml")
        self._profile = load(f"{folder}haarcascade_profileface.xml")

    def __call__(self, pictures: npt.NDArray[np.uint8]) -> list[Boxes]:
        """Return the boxes (n, 4) of each picture."""
        return [self._find(picture) for picture in pictures]

    def _find(self, picture: Picture) -> Boxes:
        gray = self._cv2.cvtColor(picture, self._cv2.COLOR_RGB2GRAY)
        width = gray.shape[1]
        if len(boxes := self._detect(self._front, gray)):
            return boxes
        if len(boxes := self._detect(self._profile, gray)):  # of faces that look to the left
            return boxes
        boxes = self._detect(self._profile, np.ascontiguousarray(gray[:, ::-1]))
        return boxes if not len(boxes) else _mirrored(boxes, width)

    def _detect(self, cascade: Any, gray: npt.NDArray[np.uint8]) -> Boxes:
        smallest = (_LEAST_EDGE, _LEAST_EDGE)
        found = cascade.detectMultiScale(gray, _SCALE, _NEIGHBORS, minSize=smallest)
        if not len(found):
            return np.zeros((0, _CORNERS))
        left, top, width, height = np.asarray(found, dtype=np.float64).T
        boxes: Boxes = np.stack([left, top, left + width, top + height], axis=1)
        return boxes


def _mirrored(boxes: Boxes, width: int) -> Boxes:
    left, top, right, bottom = boxes.T
    return np.stack([width - right, top, width - left, bottom], axis=1)


DETECTORS: Mapping[str, Callable[[], Detector]] = {_OPENCV: OpenCvFaces}
