"""The augmentations of a modality dataset that the options switch on, and their order."""

import zlib
from collections.abc import Sequence
from pathlib import Path

from fairseq.data import FairseqDataset

from emo_fairseq.data.augmentation.options import (
    AugmentationConfig,
    audio_options,
    babble_snr,
    noise_snr,
    speeds,
)
from emo_fairseq.data.augmentation.spec_augment import FeatureMasks, TimeMasks
from emo_fairseq.data.augmentation.token_dropout import TokenDropout
from emo_fairseq.data.augmentation.waveforms import AddedNoise, Babble, Gain, Speed, Transformed
from emo_fairseq.data.frames import NormalizedFrames, StoredFrames
from emo_fairseq.data.vocabulary import find_mask_symbol
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import FRAMES, LOG_MEL, TEXT, TOKENS, WAVEFORM

# Names of the symbol that masked language models are trained to fill in.


def augment(
    modality: str,
    dataset: FairseqDataset,
    kind: str,
    cfg: AugmentationConfig,
    seed: int,
    data_dir: Path,
    token_folder: Path | None = None,
    speakers: Sequence[str | None] = (),
) -> FairseqDataset:
    """Wrap a modality dataset of the train split in the augmentations that the options switch on.

    For log-mel frames that are computed it is called twice, with the waveforms inside first.

    Args:
        modality: of the dataset; each has random numbers of its own.
        dataset: as :class:`emo_fairseq.data.data_dir.DataDir` builds it.
        kind: one of :data:`emo_fairseq.modalities.INPUTS`.
        cfg: the options.
        seed: of the run.
        data_dir: the data dir, for messages.
        token_folder: holds the tokenizer of tokens; None where there is none.
        speakers: (N,) of the rows; None where the speaker is not known, or the row is of another
            split. For babble only.

    Returns:
        The wrapped dataset; itself, where the options switch on nothing for its kind.

    Raises:
        UsageError: an option is malformed, or cannot act on these data.
    """
    own_seed = zlib.crc32(f"{seed} {modality}".encode())
    if kind == WAVEFORM:
        return _augment_waveforms(dataset, cfg, own_seed, speakers, data_dir)
    if kind == LOG_MEL:
        _check_reads_audio(dataset, cfg, data_dir)
    if kind in (LOG_MEL, FRAMES):
        return _augment_frames(modality, dataset, cfg, own_seed)
    if kind == TOKENS and modality == TEXT and cfg.augment_token_dropout:
        blank = _find_blank(dataset, token_folder)
        return TokenDropout(dataset, cfg.augment_token_dropout, dataset.specials, blank, own_seed)
    return dataset


def _augment_waveforms(
    dataset: FairseqDataset,
    cfg: AugmentationConfig,
    seed: int,
    speakers: Sequence[str | None],
    data_dir: Path,
) -> FairseqDataset:
    # Voices and noise are of the room, and keep their pitch and color whatever the speed of the
    # speech; transforms (the room itself, a codec) act on all of it, and last the gain, which is of
    # the microphone.
    factors, max_samples, recorded = speeds(cfg), dataset.max_samples, dataset
    if factors:
        dataset = Speed(dataset, factors, max_samples, seed)
    if snr := babble_snr(cfg):
        _check_speakers(speakers, data_dir)
        dataset = Babble(dataset, recorded, speakers, cfg.augment_babble_speakers, snr, seed)
    if snr := noise_snr(cfg):
        dataset = AddedNoise(dataset, snr, str(cfg.augment_noise_color), seed)
    if cfg.augment_transforms:
        dataset = Transformed(dataset, cfg.augment_transforms, max_samples, seed)
    if cfg.augment_gain:
        dataset = Gain(dataset, cfg.augment_gain, seed)
    return dataset


def _check_speakers(speakers: Sequence[str | None], data_dir: Path) -> None:
    if len({speaker for speaker in speakers if speaker is not None}) < 2:
        raise UsageError(
            f"--augment-babble-snr: the train split of {data_dir} names fewer than two speakers; "
            "fill in the column speaker, or leave the option out",
            "column-empty",
        )


def _augment_frames(
    modality: str, dataset: NormalizedFrames, cfg: AugmentationConfig, seed: int
) -> FairseqDataset:
    n_features = dataset.n_features
    if cfg.augment_time_masks:
        dataset = TimeMasks(dataset, cfg.augment_time_masks, cfg.augment_time_mask_width, seed)
    if n_masks := cfg.augment_feature_masks:
        width = cfg.augment_feature_mask_width
        if n_masks * width >= n_features:
            raise UsageError(
                f"--augment-feature-masks {n_masks} of --augment-feature-mask-width {width}: could "
                f"mask all {n_features} numbers of the frames of {modality}; give fewer, or "
                "narrower ones",
                "masks-too-wide",
            )
        dataset = FeatureMasks(dataset, n_masks, width, seed)
    return dataset


def _check_reads_audio(dataset: NormalizedFrames, cfg: AugmentationConfig, data_dir: Path) -> None:
    """Refuse to augment audio where stored frames are read in its place."""
    flags = ", ".join(flag for flag, value in audio_options(cfg).items() if value)
    if flags and isinstance(dataset.dataset, StoredFrames):
        raise UsageError(
            f"{flags}: changes audio, but the log-mel frames are read from "
            f"{data_dir / 'features' / 'log_mel'}; move that folder away, or leave out "
            "whatever changes the audio",
            "augmentation-of-stored-frames",
        )


def _find_blank(dataset: FairseqDataset, folder: Path | None) -> int | None:
    """Return the id of the mask, or of the unknown symbol; byte-level BPE may have neither."""
    mask = find_mask_symbol(folder)
    if mask is not None:
        return mask
    unknown: int = dataset.specials.unknown
    return None if unknown < 0 else unknown
