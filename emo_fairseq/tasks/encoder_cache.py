"""The cache of the outputs of frozen encoders: computed once, and read from disk afterwards.

Of an encoder whose lower part alone is frozen they are those of that part, and its other layers
begin with them. ``{cache}/{modality}/{key}/`` holds the outputs of one encoder over one split, as
:mod:`data_prep.features.frame_files` lays them out, and ``card.yaml``, which describes them. The
key is a digest of all that they depend on, so that nothing stale is ever read: after a
change of any, the key is another. The folder appears complete or not at all, and may be deleted.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from fairseq.data import FairseqDataset
from pydantic import Field
from torch import nn

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
from emo_fairseq.data.augmentation import changes_audio, unaugmented
from emo_fairseq.data.encoded import EncodedDataset, content_digest
from emo_fairseq.data.modality_dataset import RowsDataset
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import WAVEFORM
from emo_fairseq.models.encode import (
    batch_budget,
    encode_rows,
    encoding_device,
)
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.tasks.config import EmotionPredictionConfig

_FORMAT = 3  # of the cache: increase it when our encoders compute something else

# Attributes of modules that change outputs, but neither name nor shape of a weight.
_ATTRIBUTES = ("num_heads", "stride", "padding_idx", "stored_layer")


def weights_digest(module: nn.Module) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def beside_weights(module: nn.Module) -> dict[str, list[Any]]:
    """Return what options of our own encoders determine beside weights, of each submodule.

    >>> beside_weights(nn.Sequential(nn.Conv1d(1, 8, 10, stride=5), nn.Conv1d(8, 8, 3)))
    {'num_heads': [], 'stride': [(5,), (1,)], 'padding_idx': [], 'stored_layer': []}
    """
    return {
        name: [getattr(part, name) for part in module.modules() if hasattr(part, name)]
        for name in _ATTRIBUTES
    }


def frozen_digest(encoder: ModalityEncoder) -> str:
    """Return :func:`weights_digest` of what is frozen of an encoder."""
    if encoder.frozen:
        return weights_digest(encoder.backbone)
    return weights_digest(nn.ModuleList(encoder.frozen_modules()))


def outputs_identity(
    encoder: ModalityEncoder,
    weights: str,
    spec: EncoderSpec,
    split: str,
    content: str,
    dtype: str,
) -> dict[str, Any]:
    """Return all that the outputs of an encoder over a dataset depend on, as plain values.

    Args:
        encoder: whose layer, and what of it is frozen, are a part of it.
        weights: see :func:`frozen_digest`.
        spec: of the encoder; the folder of its files is no part of it.
        split: a part of the files' names.
        content: see :func:`emo_fairseq.data.encoded.content_digest`.
        dtype: of the numbers on disk.
    """
    return {
        "format": _FORMAT,
        "kind": spec.kind,
        "input": spec.input,
        "architecture": {k: v for k, v in spec.architecture.items() if k != "_name_or_path"},
        # A pretrained encoder has it in its architecture.
        "beside_weights": {} if spec.is_pretrained else beside_weights(encoder.backbone),
        "weights": weights,
        "library": version("transformers") if spec.kind == "hf" else "",
        "layer": encoder.layer if encoder.frozen else _lower_part(encoder),
        "split": split,
        "content": content,
        "dtype": dtype,
    }


def _lower_part(encoder: ModalityEncoder) -> str:
    """Return which states of the lower part are stored; no name of a layer."""
    if not encoder.frozen_layers:
        return "front end"
    which = "0 to" if encoder.uses_all_layers else "only"
    return f"{which} {encoder.frozen_layers}, the lower part"


def key_of(identity: Mapping[str, Any]) -> str:
    """Return the name of the folder of some outputs."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


# -- the outputs of one encoder --------------------------------------------------------------------

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
        dtype: one of :data:`CACHE_DTYPES`.
        weights: see :func:`frozen_digest`; computed if it is None.
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
        raise UsageError.of(error, "outputs-uncacheable") from error
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


# -- the encoders of a model -----------------------------------------------------------------------


class FrozenEncoders:
    """The frozen encoders of a model, whose datasets are replaced by datasets of their outputs.

    Args:
        encoders: by modality; frozen, or their lower parts.
        specs: of the encoders.
        folder: of the cache.
        dtype: of the numbers in it.
        on_cpu: encode on the CPU, even if there is a GPU.
    """

    def __init__(
        self,
        encoders: Mapping[str, ModalityEncoder],
        specs: Mapping[str, EncoderSpec],
        folder: Path,
        dtype: str,
        on_cpu: bool = False,
    ) -> None:
        self.encoders = encoders
        self._specs = specs
        self._folder = folder
        self._dtype = dtype
        self._on_cpu = on_cpu
        self._used: dict[str, str] = {}  # modality -> digest of the weights that encoded

    @classmethod
    def of(
        cls,
        cfg: EmotionPredictionConfig,
        model: RobertaEMOModel,
        specs: Mapping[str, EncoderSpec],
        on_cpu: bool,
    ) -> "FrozenEncoders":
        """Return those of a model; none with ``--no-encoder-cache``.

        Args:
            cfg: the task's options.
            model: a :class:`emo_fairseq.models.roberta_emo.RobertaEMOModel`, tuned.
            specs: of the model's encoders.
            on_cpu: encode on the CPU, even if there is a GPU.
        """
        encoders = {} if cfg.no_encoder_cache else _with_stored_outputs(cfg, model, specs)
        folder = Path(cfg.cache_dir) if cfg.cache_dir else Path(cfg.data) / "cache"
        return cls(encoders, specs, folder, str(cfg.cache_dtype), on_cpu)

    def encode(self, modality: str, dataset: FairseqDataset, split: str) -> FairseqDataset:
        """Return the outputs for a modality dataset; itself if its encoder is not frozen.

        Args:
            modality: of the dataset.
            dataset: of a split, or of some rows of it (a set of a fold): the outputs of all rows
                are computed once, for every fold.
            split: the name of that split on disk.
        """
        if modality not in self.encoders:
            return dataset
        if isinstance(dataset, RowsDataset):
            return RowsDataset(self.encode(modality, dataset.dataset, split), dataset.rows)
        encoder = self.encoders[modality]
        self._used[modality] = weights = frozen_digest(encoder)
        return cached_outputs(
            encoder,
            dataset,
            split,
            self._specs[modality],
            self._folder / modality,
            self._dtype,
            weights=weights,
            device=encoding_device(self._on_cpu),
        )

    def have_changed(self) -> bool:
        """Return whether an encoder's weights have changed since its outputs were read."""
        return any(
            frozen_digest(self.encoders[modality]) != weights
            for modality, weights in self._used.items()
        )


def _with_stored_outputs(
    cfg: EmotionPredictionConfig, model: RobertaEMOModel, specs: Mapping[str, EncoderSpec]
) -> dict[str, ModalityEncoder]:
    """Return the encoders whose outputs can be stored.

    The lower part of an encoder of audio that changes in every epoch is left out. Of an encoder
    that is frozen as a whole, and of ``--augment-copies``, no input changes in every epoch.
    """
    encoders = {}
    for name, encoder in model.encoders.items():
        if encoder.frozen:
            encoders[name] = encoder
        elif encoder.has_stored_outputs:
            changes = changes_audio(cfg) and specs[name].input == WAVEFORM
            if changes and not cfg.augment_copies:
                logger.info("%s: audio is augmented, so the frozen part runs in every batch", name)
            else:
                encoders[name] = encoder
    return encoders
