"""What frozen encoders make of the data, computed once and kept on disk.

``{cache}/{modality}/{key}/`` holds the outputs of one encoder over one split, as
:mod:`data_prep.features.frame_files` lays them out, and ``card.yaml``, which says what they are.
The key is a digest of all that they depend on, so that nothing stale is ever read: what changes has
another key. The folder appears whole or not at all, and may be deleted at any time.
"""

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from fairseq.data import FairseqDataset
from pydantic import Field

from data_prep.features.frame_files import StoredFeatures, read_frames, write_frames
from data_prep.files.documents import (
    Count,
    Document,
    FileName,
    JsonObject,
    dump_yaml,
    load_yaml,
)
from data_prep.files.integrity import FileRecord, records_of, verify_all, warn_unverified
from data_prep.files.lock import locked
from data_prep.files.replacing import replacing
from emo_fairseq.data.encoded import EncodedDataset, content_digest
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.models.encode import (
    batch_budget,
    encode_rows,
    encoding_device,
)
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.tasks.encoder_identity import key_of, outputs_identity, weights_digest

logger = logging.getLogger(__name__)

CARD_FILE = "card.yaml"
CACHE_DTYPES = ("float16", "float32")
_DIGESTS_FILE = "digests.json"
_WRITTEN_AGAIN = "it is written again"


class CacheCard(Document):
    """The schema of `card.yaml`."""

    encoder: str
    split: str
    rows: Count
    frames: Count
    identity: JsonObject
    files: dict[FileName, FileRecord] = Field(default_factory=dict)


def cached_leaf(
    encoder: ModalityEncoder,
    leaf: FairseqDataset,
    split: str,
    card: EncoderSpec,
    folder: Path,
    dtype: str = "float16",
    weights: str | None = None,
    device: torch.device | None = None,
) -> EncodedDataset:
    """What a frozen encoder makes of a leaf: from disk, where it is computed if it is not there.

    Several processes may ask for the same at once: one computes, the others wait for it.

    Args:
        encoder: frozen.
        leaf: gives the same items every time.
        split: its name, for messages and for the name of the files.
        card: of the encoder.
        folder: of all outputs for this modality; see the module's docstring.
        dtype: one of :data:`CACHE_DTYPES`.
        weights: the digest of the encoder's backbone, where it is known already.
        device: where the encoder works; by default on the GPU, if there is one.

    Raises:
        UsageError: the folder cannot be written, an output is not finite, or beyond `dtype`.
    """
    weights = weights or weights_digest(encoder.backbone)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        content = content_digest(leaf, folder / _DIGESTS_FILE)
        identity = outputs_identity(encoder, weights, card, split, content, dtype)
        target = folder / key_of(identity)
        stored = _open(target, split)
        if stored is None:
            with locked(_beside(target, "lock")):
                stored = _open(target, split) or _write(
                    target, split, encoder, leaf, card, identity, device or encoding_device()
                )
    except OSError as error:
        raise UsageError(
            f"{folder}: outputs of the frozen encoder cannot be kept here ({error.strerror}); "
            "choose another --cache-dir, or give --no-encoder-cache"
        ) from error
    return EncodedDataset(stored, leaf)


def _open(target: Path, split: str) -> StoredFeatures | None:
    """What lies there; None if nothing does, or if it is damaged."""
    file = target / CARD_FILE
    if not file.exists():
        return None
    try:
        card = load_yaml(file, CacheCard, remedy=_WRITTEN_AGAIN)
        verify_all(target, card.model_dump()["files"], _WRITTEN_AGAIN)
        stored = read_frames(target, split)
    except ValueError as error:
        logger.warning("%s; the frozen encoder runs again", error)
        return None
    if not card.files:
        warn_unverified(file, f"delete {target}, which is then made again")
    logger.info("%s: outputs of the frozen encoder from %s", split, target)
    return stored


def _write(
    target: Path,
    split: str,
    encoder: ModalityEncoder,
    leaf: FairseqDataset,
    card: EncoderSpec,
    identity: Mapping[str, Any],
    device: torch.device,
) -> StoredFeatures:
    """Encode all rows in a folder of another name, which then takes its own."""
    part = _beside(target, "part")
    for left_behind in (part, target):
        if left_behind.exists():
            shutil.rmtree(left_behind)
    part.mkdir()
    budget = batch_budget(card.input, device)
    logger.info("%s: the frozen encoder %s runs once over %d rows", split, card.spec, len(leaf))
    rows = encode_rows(encoder, leaf, budget, device, f"{target.parent.name} {split}")
    try:
        lengths = write_frames(
            part,
            split,
            rows,
            identity["dtype"],
            _row_name(leaf, split),
            "give --cache-dtype float32",
        )
    except (ValueError, OSError) as error:
        shutil.rmtree(part)
        if isinstance(error, OSError | UsageError):
            raise
        raise UsageError(str(error)) from error
    about = {"encoder": card.spec, "split": split, "rows": len(lengths), "frames": sum(lengths)}
    files = records_of(part, (f"{split}.npy", f"{split}.lengths"))
    text = dump_yaml({**about, "identity": _plain(identity), "files": files})
    with replacing(part / CARD_FILE) as card_part:
        card_part.write_text(text, encoding="utf-8")
    part.rename(target)
    return read_frames(target, split)


def _plain(identity: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(identity, default=str))


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(f".{target.name}.{ending}")


def _row_name(leaf: FairseqDataset, split: str) -> Callable[[int], str]:
    names = getattr(leaf, "names", None)
    return f"{split}: row {{}}".format if names is None else names.__getitem__
