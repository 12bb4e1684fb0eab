"""The frozen encoders of a task's model, in whose place their outputs are read from disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairseq.data import FairseqDataset

from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.models.encode import encoding_device
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.tasks.encoder_cache import cached_leaf
from emo_fairseq.tasks.encoder_identity import weights_digest


class FrozenEncoders:
    """Makes leaves of outputs, and knows whether the encoders still give these outputs.

    Args:
        encoders: by modality.
        cards: of the same.
        folder: of the cache.
        dtype: of the numbers in it.
        on_cpu: encode on the CPU, even if there is a GPU.
    """

    def __init__(
        self,
        encoders: Mapping[str, ModalityEncoder],
        cards: Mapping[str, EncoderSpec],
        folder: Path,
        dtype: str,
        on_cpu: bool = False,
    ) -> None:
        self.encoders = encoders
        self._cards = cards
        self._folder = folder
        self._dtype = dtype
        self._on_cpu = on_cpu
        self._used: dict[str, str] = {}  # modality -> digest of the weights that were asked

    @classmethod
    def of(
        cls, cfg: Any, model: Any, cards: Mapping[str, EncoderSpec], on_cpu: bool
    ) -> "FrozenEncoders":
        """Those of a model; none with ``--no-encoder-cache``.

        Args:
            cfg: the task's options.
            model: a :class:`emo_fairseq.models.roberta_emo.RobertaEMOModel`, tuned.
            cards: for each modality which encoder reads it.
            on_cpu: whether the model is to run there.
        """
        frozen = {name: encoder for name, encoder in model.encoders.items() if encoder.frozen}
        encoders = {} if cfg.no_encoder_cache else frozen
        folder = Path(cfg.cache_dir) if cfg.cache_dir else Path(cfg.data) / "cache"
        return cls(encoders, cards, folder, str(cfg.cache_dtype), on_cpu)

    def leaf(self, modality: str, leaf: FairseqDataset, split: str) -> FairseqDataset:
        """The outputs for a leaf; the leaf itself if its encoder is not frozen."""
        if modality not in self.encoders:
            return leaf
        encoder = self.encoders[modality]
        self._used[modality] = weights = weights_digest(encoder.backbone)
        return cached_leaf(
            *(encoder, leaf, split, self._cards[modality], self._folder / modality, self._dtype),
            weights=weights,
            device=encoding_device(self._on_cpu),
        )

    def have_changed(self) -> bool:
        """Whether an encoder has other weights than when a leaf was made of its outputs."""
        return any(
            weights_digest(self.encoders[modality].backbone) != weights
            for modality, weights in self._used.items()
        )
