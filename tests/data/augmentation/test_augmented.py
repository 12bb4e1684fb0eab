"""The options: read or refused, and the augmentations that they put over a dataset."""

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from codes import raises
from fairseq.dataclass.utils import gen_parser_from_dataclass
from input_examples import make_frames, make_texts, make_tones
from omegaconf import OmegaConf

from data_prep.commands import extract_features
from data_prep.tokens.folder import SYMBOLS_FILE, UNK
from emo_fairseq.data.audio import ComputedFrames, WaveformDataset
from emo_fairseq.data.augmentation import (
    AddedNoise,
    AugmentationConfig,
    Babble,
    FeatureMasks,
    Gain,
    Speed,
    TimeMasks,
    TokenDropout,
    augment,
    check_augmentation,
)
from emo_fairseq.data.augmentation.options import noise_snr, speeds

SOUND = {"augment_noise_snr": "5,20", "augment_gain": 6.0, "augment_speed": "0.9,1.1"}
MASKS = {"augment_time_masks": 2, "augment_feature_masks": 2}


@dataclass
class Options(AugmentationConfig):
    """As a task has them, with the folder of the data."""

    data: str = ""


def options(data: Path | str = "", **given: Any) -> Any:
    return OmegaConf.structured(Options(data=str(data), **given))


def layers(dataset: Any) -> list[type]:
    found = [type(dataset)]
    while hasattr(dataset, "dataset"):
        dataset = dataset.dataset
        found.append(type(dataset))
    return found


def augmented(modality: str, dataset: Any, kind: str, cfg: Any, seed: int) -> Any:
    return augment(modality, dataset, kind, cfg, seed, Path(cfg.data), Path(cfg.data) / "text")


# -- options ---------------------------------------------------------------------------------------


def test_everything_is_off_by_default(tmp_path: Path) -> None:
    cfg = options()
    for dataset, kind, modality in (
        (make_tones(tmp_path), "waveform", "speech"),
        (make_frames(), "log_mel", "speech"),
        (make_frames(), "frames", "video"),
        (make_texts(), "tokens", "text"),
    ):
        assert augmented(modality, dataset, kind, cfg, seed=1) is dataset
    check_augmentation(cfg)


def test_options_are_read_from_a_command_line() -> None:
    parser = argparse.ArgumentParser()
    gen_parser_from_dataclass(parser, AugmentationConfig())
    words = "--augment-noise-snr=-5,10 --augment-noise-color pink --augment-speed 0.9,1.0,1.1"
    words += " --augment-gain 3 --augment-token-dropout 0.1 --augment-time-masks 2"
    cfg = parser.parse_args(words.split())
    assert noise_snr(cfg) == (-5.0, 10.0)
    assert speeds(cfg) == [0.9, 1.0, 1.1]
    assert str(cfg.augment_noise_color) == "pink"
    assert (cfg.augment_gain, cfg.augment_token_dropout, cfg.augment_time_masks) == (3.0, 0.1, 2)
    assert all(field.name.startswith("augment_") for field in fields(AugmentationConfig)[1:])


@pytest.mark.parametrize("text", ["", "5", "20,5", "5,10,20", "low,high", "5;20", "nan,5", "0,inf"])
def test_ratios_that_are_none_are_refused(text: str) -> None:
    with raises("noise-snr-invalid"):
        check_augmentation(options(augment_noise_snr=text))


def test_one_ratio_may_be_both_ends() -> None:
    assert noise_snr(options(augment_noise_snr="10,10")) == (10.0, 10.0)


@pytest.mark.parametrize("text", ["", "fast", "0.9,", "0,1", "0.4,1", "1,2.1", "-1", "nan"])
def test_speeds_that_are_none_are_refused(text: str) -> None:
    with raises("speeds-invalid"):
        check_augmentation(options(augment_speed=text))


@pytest.mark.parametrize("text", ["1", "1.0,1"])
def test_speeds_that_change_nothing_are_refused(text: str) -> None:
    with raises("speeds-idle"):
        check_augmentation(options(augment_speed=text))


# -- datasets --------------------------------------------------------------------------------------


def test_the_order_of_changes(tmp_path: Path) -> None:
    waveforms = augmented("speech", make_tones(tmp_path), "waveform", options(**SOUND), seed=1)
    assert layers(waveforms) == [Gain, AddedNoise, Speed, WaveformDataset]
    normalized = augmented("video", make_frames(n_features=80), "frames", options(**MASKS), seed=1)
    assert layers(normalized)[:2] == [FeatureMasks, TimeMasks]


def test_babble_is_under_the_noise_and_needs_speakers(tmp_path: Path) -> None:
    cfg = options(**SOUND, augment_babble_snr="0,10")
    add = partial(augment, "speech", make_tones(tmp_path), "waveform", cfg, 1, tmp_path)
    assert layers(add(speakers=list("aabbcc"))) == [
        Gain,
        AddedNoise,
        Babble,
        Speed,
        WaveformDataset,
    ]
    for speakers in ([], ["a"] * 6, [None, "a", "a", None, "a", None]):
        with raises("column-empty"):
            add(speakers=speakers)


def test_only_what_fits_the_input_acts(tmp_path: Path) -> None:
    cfg = options(**SOUND, **MASKS, augment_token_dropout=0.1)
    found = augmented("speech", make_tones(tmp_path), "waveform", cfg, seed=1)
    assert not {TimeMasks, FeatureMasks} & {*layers(found)}
    found = augmented("video", make_frames(n_features=80), "frames", cfg, seed=1)
    assert not {Gain, AddedNoise, Speed} & {*layers(found)}
    assert layers(augmented("text", make_texts(), "tokens", cfg, seed=1))[0] is TokenDropout
    codes = make_texts()
    assert augmented("speech", codes, "tokens", cfg, seed=1) is codes


def test_modalities_and_seeds_draw_on_their_own() -> None:
    cfg = options(augment_time_masks=2)
    datasets = [
        augmented(modality, make_frames(), "frames", cfg, seed)
        for modality, seed in (("speech", 1), ("video", 1), ("speech", 2), ("speech", 1))
    ]
    speech, video, other, again = [
        torch.cat([dataset[row][0] for row in range(5)]) == 0 for dataset in datasets
    ]
    assert torch.equal(speech, again)
    assert not torch.equal(speech, video)
    assert not torch.equal(speech, other)


def test_masks_that_could_cover_a_frame_are_refused() -> None:
    cfg = options(augment_feature_masks=2, augment_feature_mask_width=10)
    with raises("masks-too-wide"):
        augmented("video", make_frames(n_features=20), "frames", cfg, seed=1)
    assert augmented("video", make_frames(n_features=21), "frames", cfg, seed=1)


@pytest.mark.parametrize(
    ("symbols", "blank"), [(["a", "<mask>"], 1), (["[MASK]", "b"], 0), (["a", "b"], UNK)]
)
def test_the_blank_is_the_mask_or_unknown(tmp_path: Path, symbols: list[str], blank: int) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / SYMBOLS_FILE).write_text(json.dumps(symbols))
    cfg = options(tmp_path, augment_token_dropout=0.1)
    assert augmented("text", make_texts(), "tokens", cfg, seed=1).blank == blank


def test_a_byte_level_tokenizer_without_a_mask_has_no_blank() -> None:
    dataset = make_texts()
    dataset.specials = dataset.specials.__class__(unknown=-1)
    assert augmented("text", dataset, "tokens", options(augment_token_dropout=0.1), 1).blank is None


# -- a data dir ------------------------------------------------------------------------------------


def train_dataset(task: Any, modality: str, cfg: Any) -> Any:
    """As the task makes it for the train split."""
    change = partial(augment, modality, cfg=cfg, seed=1, data_dir=Path(cfg.data))
    part = task.data.split("train")
    vocabulary = task.task_state.vocabularies.get(modality)
    statistics = task.task_state.frame_statistics.get(modality)
    return task.data.build_dataset(modality, part, vocabulary, statistics, change)


def test_log_mel_frames_are_computed_from_changed_audio(
    toy_corpus: Path, make_task: Callable[..., Any]
) -> None:
    task = make_task(toy_corpus, modality="speech", speech_input="log_mel")
    plain = train_dataset(task, "speech", options())
    louder = train_dataset(task, "speech", options(augment_gain=20.0))
    assert layers(louder)[1:] == [ComputedFrames, Gain, WaveformDataset]
    for row in range(5):
        decibels = louder.dataset.dataset._generator(row).uniform(-20, 20)
        shift = (louder[row][0] - plain[row][0]) * torch.from_numpy(louder.normalizer.std)
        # Frames are natural logarithms of power.
        expected = decibels / 10 * math.log(10)
        assert float(shift.median()) == pytest.approx(expected, abs=0.01)
    masked = train_dataset(task, "speech", options(augment_time_masks=1, augment_gain=3.0))
    assert layers(masked)[0] is TimeMasks
    assert Gain in layers(masked)


def test_frames_from_disk_cannot_be_of_changed_audio(
    copy_toy: Callable[..., Path], make_task: Callable[..., Any]
) -> None:
    data = copy_toy(lambda split, rows: rows[:4] if split == "train" else rows[:2])
    assert extract_features.main([str(data), "--workers", "1"]) == 0
    task = make_task(data, modality="speech", speech_input="log_mel")
    for name, value in SOUND.items():
        flag = f"--{name.replace('_', '-')}"
        with raises("augmentation-of-stored-frames") as error:
            train_dataset(task, "speech", options(data, **{name: value}))
        assert str(error.value).startswith(f"{flag}: ")
    assert layers(train_dataset(task, "speech", options(data, **MASKS)))[0] is FeatureMasks


def test_words_of_the_toy_become_unknown(toy_corpus: Path, make_task: Callable[..., Any]) -> None:
    task = make_task(toy_corpus, modality="text")
    plain = train_dataset(task, "text", options(toy_corpus))
    blank = train_dataset(task, "text", options(toy_corpus, augment_token_dropout=0.5))
    differs = [plain[row][0] != blank[row][0] for row in range(len(plain))]
    assert any(bool(different.any()) for different in differs)
    for row, different in enumerate(differs):
        assert blank[row][0][different].eq(UNK).all()
