"""The frozen encoders of a model, whose outputs the datasets hold in place of their inputs."""

import logging
from collections.abc import Mapping
from pathlib import Path

from fairseq.data import FairseqDataset

from emo_fairseq.data.augmentation import changes_audio
from emo_fairseq.data.modality_dataset import RowsDataset
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.modalities import WAVEFORM
from emo_fairseq.models.encode import encoding_device
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.tasks.config import EmotionPredictionConfig
from emo_fairseq.tasks.encoder_cache import cached_outputs
from emo_fairseq.tasks.outputs_identity import frozen_digest

logger = logging.getLogger(__name__)


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
        """Return those of a model; none with ``--no-encoder-cache``."""
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
