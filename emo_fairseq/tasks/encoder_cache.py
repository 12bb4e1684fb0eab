"""The cache of the outputs of frozen encoders: computed once, and read from disk afterwards.

Of an encoder whose lower part alone is frozen they are those of that part, and its other layers
begin with them. ``{cache}/{modality}/{key}/`` holds the outputs of one encoder over one split, as
:mod:`data_prep.features.frame_files` lays them out, and ``card.yaml``, which describes them. The
key is a digest of all that they depend on, so that nothing stale is ever read: after a
change of any, the key is another. The folder appears complete or not at all, and may be deleted.
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
from data_prep.files.digests import (
    FileRecord,
    records_of,
    remember_written,
    verify_all,
    warn_unverified,
)
from data_prep.files.documents import Count, Document, FileName, JsonObject, load_yaml
from data_prep.files.lock import locked
from data_prep.files.replacing import replacing
from data_prep.files.yaml_values import dump_yaml
from emo_fairseq.data.augmentation import unaugmented
from emo_fairseq.data.encoded import EncodedDataset, content_digest
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.models.encode import batch_budget, encode_rows, encoding_device
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.tasks.outputs_identity import frozen_digest, key_of, outputs_identity

logger = logging.getLogger(__name__)

CARD_FILE = "card.yaml"
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


def cached_outputs(
    encoder: ModalityEncoder,
    dataset: FairseqDataset,
    split: str,
    spec: EncoderSpec,
    folder: Path,
    dtype: str = "float16",
    weights: str | None = None,
    device: torch.device | None = None,
) -> EncodedDataset:
    """Return the outputs of what is frozen of an encoder, from disk if they were computed before.

    Several processes may need the same at once: one computes it, the others wait.

    Args:
        encoder: frozen, or its lower part.
        dataset: returns the same items every time.
        split: its name, for messages and for the name of the files.
        spec: of the encoder.
        folder: of all outputs for this modality; see the module's docstring.
        dtype: of the numbers on disk, ``float16`` or ``float32``.
        weights: digest of what is frozen of the encoder; computed if it is None.
        device: of the encoder; by default on the GPU, if there is one.

    Raises:
        UsageError: the folder cannot be written, an output is not finite, or beyond `dtype`.
    """
    weights = weights or frozen_digest(encoder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        content = content_digest(dataset, folder / _DIGESTS_FILE)
        identity = outputs_identity(encoder, weights, spec, split, content, dtype)
        target = folder / key_of(identity)
        stored = _open(target, split)
        if stored is None:
            with locked(_beside(target, "lock")):
                stored = _open(target, split) or _write(
                    target, split, encoder, dataset, spec, identity, device or encoding_device()
                )
    except OSError as error:
        raise UsageError(
            f"{folder}: outputs of the frozen encoder cannot be kept here ({error.strerror}); "
            "choose another --cache-dir, or give --no-encoder-cache",
            "cache-unwritable",
        ) from error
    return EncodedDataset(stored, dataset)


def _open(target: Path, split: str) -> StoredFeatures | None:
    """Open the outputs in a folder; None if there are none, or if they are damaged."""
    file = target / CARD_FILE
    if not file.exists():
        return None
    try:
        record = load_yaml(file, CacheCard, remedy=_WRITTEN_AGAIN)
        verify_all(target, record.model_dump()["files"], _WRITTEN_AGAIN)
        stored = read_frames(target, split)
    except ValueError as error:
        logger.warning("%s; the frozen encoder runs again", error)
        return None
    if not record.files:
        warn_unverified(file, f"delete {target}, which is then made again")
    logger.info("%s: outputs of the frozen encoder from %s", split, target)
    return stored


def _write(
    target: Path,
    split: str,
    encoder: ModalityEncoder,
    dataset: FairseqDataset,
    spec: EncoderSpec,
    identity: Mapping[str, Any],
    device: torch.device,
) -> StoredFeatures:
    """Encode all rows into a folder with a temporary name, and rename it."""
    part = _beside(target, "part")
    for stale in (part, target):
        if stale.exists():
            shutil.rmtree(stale)
    part.mkdir()
    budget = batch_budget(spec.input, device)
    part_name = "encoder" if encoder.frozen else "part of the encoder"
    logger.info(
        "%s: the frozen %s %s runs once over %d rows", split, part_name, spec.spec, len(dataset)
    )
    title = f"{target.parent.name} {split}"
    rows = encode_rows(encoder, dataset, budget, device, title, ModalityEncoder.encode_frozen)
    try:
        lengths = write_frames(
            part,
            split,
            rows,
            identity["dtype"],
            _row_name(dataset, split),
            "give --cache-dtype float32",
        )
    except (ValueError, OSError) as error:
        shutil.rmtree(part)
        if isinstance(error, OSError | UsageError):
            raise
        raise UsageError(str(error), "outputs-uncacheable") from error
    description = {
        "encoder": spec.spec,
        "split": split,
        "rows": len(lengths),
        "frames": sum(lengths),
    }
    files = records_of(part, (f"{split}.npy", f"{split}.lengths"))
    text = dump_yaml({**description, "identity": _plain(identity), "files": files})
    with replacing(part / CARD_FILE) as card_part:
        card_part.write_text(text, encoding="utf-8")
    part.rename(target)
    remember_written(target, files)  # or the next run would read all of them once more
    return read_frames(target, split)


def _plain(identity: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(identity, default=str))


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(f".{target.name}.{ending}")


def _row_name(dataset: FairseqDataset, split: str) -> Callable[[int], str]:
    names = getattr(unaugmented(dataset), "names", None)
    return f"{split}: row {{}}".format if names is None else names.__getitem__
