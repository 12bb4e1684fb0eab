"""The augmentations that the options ask for, over one leaf."""

import zlib
from pathlib import Path
from typing import Any

from fairseq.data import FairseqDataset

from emo_fairseq.data.augmentation.gain import Gain
from emo_fairseq.data.augmentation.masks import FeatureMasks, TimeMasks
from emo_fairseq.data.augmentation.noise import AddedNoise
from emo_fairseq.data.augmentation.options import noise_snr, speeds
from emo_fairseq.data.augmentation.speed import Speed
from emo_fairseq.data.augmentation.token_dropout import TokenDropout
from emo_fairseq.data.frames import NormalizedFrames, StoredFrames
from emo_fairseq.data.vocabulary import find_symbol
from emo_fairseq.errors import UsageError
from emo_fairseq.types import (
    FRAMES,
    LOG_MEL,
    TEXT,
    TOKENS,
    WAVEFORM,
)

# What masked language models call the symbol that they learned to see past.
_MASK_SYMBOLS = ("<mask>", "[MASK]")


def augmented(
    modality: str, leaf: FairseqDataset, kind: str, cfg: Any, seed: int
) -> FairseqDataset:
    """A leaf of the train split, changed as the options ask; itself, where they ask for nothing.

    For log-mel frames that are computed it is called twice, with the waveforms inside first.

    Args:
        modality: of the leaf; each draws on its own.
        leaf: as :class:`emo_fairseq.data.source.DataDir` makes it.
        kind: one of :data:`emo_fairseq.types.INPUTS`.
        cfg: the task's options, which are :class:`AugmentationConfig`'s.
        seed: of the run.

    Raises:
        UsageError: an option is not understood, or cannot act on these data.
    """
    own_seed = zlib.crc32(f"{seed} {modality}".encode())
    if kind == WAVEFORM:
        return _of_waveforms(leaf, cfg, own_seed)
    if kind == LOG_MEL:
        _check_audio_is_heard(leaf, cfg)
    if kind in (LOG_MEL, FRAMES):
        return _of_frames(modality, leaf, cfg, own_seed)
    if kind == TOKENS and modality == TEXT and cfg.augment_token_dropout:
        blank = _blank(leaf, Path(cfg.data) / TEXT)
        return TokenDropout(leaf, cfg.augment_token_dropout, leaf.specials, blank, own_seed)
    return leaf


def _of_waveforms(leaf: FairseqDataset, cfg: Any, seed: int) -> FairseqDataset:
    # The noise is of the room, and keeps its color whatever the speed of the speech; the gain is of
    # the microphone, which hears both.
    factors, max_samples = speeds(cfg), leaf.max_samples
    if factors:
        leaf = Speed(leaf, factors, max_samples, seed)
    if snr := noise_snr(cfg):
        leaf = AddedNoise(leaf, snr, str(cfg.augment_noise_color), seed)
    if cfg.augment_gain:
        leaf = Gain(leaf, cfg.augment_gain, seed)
    return leaf


def _of_frames(modality: str, leaf: NormalizedFrames, cfg: Any, seed: int) -> FairseqDataset:
    n_features = len(leaf.mean)
    if cfg.augment_time_masks:
        leaf = TimeMasks(leaf, cfg.augment_time_masks, cfg.augment_time_mask_width, seed)
    if n_masks := cfg.augment_feature_masks:
        width = cfg.augment_feature_mask_width
        if n_masks * width >= n_features:
            raise UsageError(
                f"--augment-feature-masks {n_masks} of --augment-feature-mask-width {width}: could "
                f"mask all {n_features} numbers of the frames of {modality}; give fewer, or "
                "narrower ones"
            )
        leaf = FeatureMasks(leaf, n_masks, width, seed)
    return leaf


def _check_audio_is_heard(leaf: NormalizedFrames, cfg: Any) -> None:
    asked = {
        "--augment-noise-snr": cfg.augment_noise_snr,
        "--augment-gain": cfg.augment_gain,
        "--augment-speed": cfg.augment_speed,
    }
    flags = ", ".join(flag for flag, value in asked.items() if value)
    if flags and isinstance(leaf.dataset, StoredFrames):
        raise UsageError(
            f"{flags}: changes audio, but the log-mel frames are read from "
            f"{Path(cfg.data) / 'features' / 'log_mel'}; move that folder away, or leave out "
            "whatever changes the audio"
        )


def _blank(leaf: FairseqDataset, folder: Path) -> int | None:
    """What takes the place of a token: the mask, the unknown symbol, or nothing (a byte-level BPE
    without a mask has neither).
    """
    found = find_symbol(folder, _MASK_SYMBOLS)
    if found is not None:
        return found
    unknown: int = leaf.specials.unknown
    return None if unknown < 0 else unknown
