"""How recordings and texts become what the encoders read: tokenizers and feature extractors.

An :class:`InputProcessor` holds their paths, for a model out of a checkpoint (in its data dir) or
out of a model folder. :mod:`emo_fairseq.inference.preprocessor` loads and runs them.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from data_prep.audio.decoding import FloatArray
from data_prep.features import egemaps
from data_prep.features.egemaps import EGEMAPS
from data_prep.features.log_mel import LOG_MEL, frames_of
from data_prep.features.pooling import pooled
from data_prep.features.stored import features_folder, read_card
from data_prep.manifest.cells import normalize_text
from data_prep.schema import CORPUS_FILE, SAMPLE_RATE, read_corpus, read_manifest
from data_prep.tokens.folder import TOKENIZER_FILE
from data_prep.video.loading import PictureOptions
from emo_fairseq.data import legacy
from emo_fairseq.data.token_choice import choose_tokens
from emo_fairseq.encoder_spec import WHISPER_FULL, EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import FRAMES, SPEECH, TOKENS
from emo_fairseq.task_state import TaskState

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

PRETRAINED = "pretrained"  # the kind of features that are an encoder's hidden states


@dataclass(frozen=True)
class FeatureExtractorSpec:
    """How :mod:`data_prep.extract_features` made the features that a model was trained on.

    Attributes:
        settings: of ``features.yaml``: kind of features, layer, pooling, limits, number type.
        encoder: the pretrained encoder; None where there is none.
        weights: its state dict.
        tokenizer: the folder of the tokenizer whose tokens it reads; None if it reads samples.
    """

    settings: Mapping[str, Any]
    encoder: EncoderSpec | None = None
    weights: "Mapping[str, Tensor] | None" = None
    tokenizer: Path | None = None

    @property
    def picture_options(self) -> PictureOptions:
        """Which pictures of a video the features are made from."""
        assert self.encoder is not None
        return PictureOptions(
            float(self.settings["frames_per_second"]),
            float(self.settings["max_seconds"]),
            self.encoder.picture_size,
            self.settings.get("face_detector"),
        )

    @classmethod
    def from_data_dir(cls, modality: str, folder: Path, name: str) -> Self:
        """Read the spec of ``features/NAME`` in a data dir, with the encoder's weights.

        Raises:
            UsageError: the features cannot be extracted again; gives the reason.
            ValueError: a file of theirs is damaged.
        """
        card = read_card(features_folder(folder, name))
        settings = card.get("settings", {})
        if settings.get("features") not in (LOG_MEL, EGEMAPS, PRETRAINED):
            raise UsageError(
                "they were not written by data_prep.extract_features, or are gone",
                "features-origin-unknown",
            )
        if settings.get("modality", SPEECH) != modality:
            raise UsageError(
                f"they were made of {settings.get('modality', SPEECH)}", "features-modality-other"
            )
        if settings.get("face_frames"):
            raise UsageError(
                "they were made of folders of faces, which were cut elsewhere", "features-video"
            )
        if settings["features"] != PRETRAINED:
            return cls(settings)
        from emo_fairseq import pretrained

        spec = card.get("about", {}).get("encoder", "")
        padding = settings.get("whisper_padding", WHISPER_FULL)
        encoder = pretrained.describe(modality, spec, padding)
        if encoder.weights != settings["weights"]:
            raise UsageError(
                f"{spec} is no longer the encoder that wrote them", "features-encoder-changed"
            )
        backbone = pretrained.build(encoder)
        pretrained.load(backbone, encoder)
        tokenizer = None
        if encoder.input == TOKENS:
            tokens = choose_tokens(folder, modality, encoder)
            if tokens is None or not tokens.has_card:
                raise UsageError(
                    f"the data dir has no {modality}/NAME/{TOKENIZER_FILE}", "tokenizer-missing"
                )
            tokenizer = tokens.folder
        return cls(settings, encoder, backbone.state_dict(), tokenizer)


@dataclass(frozen=True)
class InputProcessor:
    """Tokenizers and feature extractors of a model.

    Attributes:
        tokenizers: for each modality read as tokens the folder of its tokenizer.
        extractors: for each modality read as features how to extract them.
        missing: for each modality that cannot be processed what is missing, as the end of a
            sentence.
        normalizes_text: whether texts are normalized by :mod:`data_prep.manifest.cells`, as those
            of the training were.
    """

    tokenizers: Mapping[str, Path] = field(default_factory=dict)
    extractors: Mapping[str, FeatureExtractorSpec] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    normalizes_text: bool = True

    @classmethod
    def from_data_dir(cls, state: TaskState, folder: Path, is_required: bool = False) -> Self:
        """Find the processor of a model in the data dir that it was trained on.

        Raises:
            UsageError: it is not, or its tokenizer has other symbols than the model.
        """
        if is_required and not folder.is_dir():
            raise UsageError(
                f"{folder}: there is no such folder; give the data dir of the training",
                "folder-missing",
            )
        tokenizers, extractors, missing = {}, {}, {}
        for modality in state.limits.modalities_of(TOKENS):
            encoder, trained = state.encoders[modality], state.vocabularies[modality]
            tokens = choose_tokens(folder, modality, encoder, trained=trained)
            if tokens is None or not tokens.has_card:
                missing[modality] = _describe_missing_tokenizer(modality, folder)
                continue
            tokenizers[modality] = tokens.folder
        for modality in state.limits.modalities_of(FRAMES):
            name = state.encoders[modality].source
            try:
                extractors[modality] = FeatureExtractorSpec.from_data_dir(modality, folder, name)
            except (UsageError, ValueError) as error:
                missing[modality] = f"a way to extract features/{name}: {error}"
        return cls(tokenizers, extractors, missing, texts_are_normalized(folder))


def _describe_missing_tokenizer(modality: str, folder: Path) -> str:
    name = f"the tokenizer, {modality}/NAME/{TOKENIZER_FILE} of the data dir"
    if legacy.split_names(folder):
        name = f"the tokenizer: {folder} is in the legacy layout, which holds ids alone"
    return f"{name}; open or export the checkpoint again with a data dir that has it"


def texts_are_normalized(folder: Path) -> bool:
    """Return whether every text of a data dir has the form of :mod:`data_prep.manifest.cells`.

    A model that was trained on such texts expects this form, and normalizing changes no row of its
    corpus. Without a manifest texts are taken to be normalized, as those of most corpora are.
    """
    if not (folder / CORPUS_FILE).is_file():
        return True
    for split in read_corpus(folder).splits:  # other tables may be there too
        file = folder / f"{split}.tsv"
        for row in read_manifest(file):
            if row.text is not None and normalize_text(row.text) != row.text:
                logger.info("%s: the text of %s is not normalized: none is", file, row.id)
                return False
    return True


# -- feature extraction ----------------------------------------------------------------------------


class Features(NamedTuple):
    """Features of one recording or text.

    Attributes:
        frames: (T, C), in the number type that is stored.
        used: seconds of the recording, or tokens of the text, that they were extracted from.
        total: seconds or tokens that it has.
    """

    frames: np.ndarray
    used: float
    total: float


Extract = Callable[[Sequence[Any]], list[Features]]


class FeatureExtractor:
    """Extracts features as :mod:`data_prep.extract_features` stores them.

    Args:
        spec: of one modality.
        device: of a pretrained encoder.

    Raises:
        UsageError: a library of the spec is missing, or has another version.
    """

    def __init__(self, spec: FeatureExtractorSpec, device: str) -> None:
        self.settings = spec.settings
        self._spec = spec
        self._extract = _build_extract(spec, device)

    @property
    def picture_options(self) -> PictureOptions:
        """Which pictures of a video the features are made from."""
        return self._spec.picture_options

    def __call__(self, sources: Sequence[Any]) -> list[Features]:
        """Extract the features of recordings (T,) at 16 kHz, of texts, or of clips by options."""
        pool, dtype = self.settings.get("pool", "none"), self.settings["dtype"]
        n_layers = self.settings.get("layers", 1)
        return [
            features._replace(frames=pooled(features.frames, pool, n_layers).astype(dtype))
            for features in self._extract(sources)
        ]


def _build_extract(spec: FeatureExtractorSpec, device: str) -> Extract:
    kind = spec.settings["features"]
    if kind == PRETRAINED:
        from emo_fairseq.inference.encoder_features import extract_pretrained

        return extract_pretrained(spec, device)
    frames = frames_of if kind == LOG_MEL else _load_egemaps(spec.settings["opensmile"])

    def extract(sounds: Sequence[FloatArray]) -> list[Features]:
        seconds = [len(sound) / SAMPLE_RATE for sound in sounds]
        return [Features(frames(x), s, s) for x, s in zip(sounds, seconds, strict=True)]

    return extract


def _load_egemaps(version: str) -> Callable[[FloatArray], np.ndarray]:
    try:
        installed = egemaps.settings()["opensmile"]
    except ValueError as error:
        raise UsageError(str(error), "library-missing") from error
    if installed != version:
        raise UsageError(
            f"openSMILE {installed}, where the model was trained on features of {version}; "
            f"`pip install opensmile=={version}`",
            "library-version-other",
        )
    return egemaps.build_functionals()
