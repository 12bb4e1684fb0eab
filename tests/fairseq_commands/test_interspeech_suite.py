"""examples/suites/interspeech_2025: its suites train tiny encoders on a toy corpus."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hf_folders
import pytest
import torch
import transformers
from extended import all_but

from data_prep.commands.tokenize_text import tokenize_with_hf
from data_prep.schema import Utterance, read_manifest

SUITES = Path(__file__).parents[2] / "examples" / "suites" / "interspeech_2025"
SOUND = {
    **hf_folders.SIZES,
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 8, 4),
    "conv_stride": (8, 8, 4),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}


def like_msp_podcast(split: str, rows: list[Utterance]) -> list[Utterance]:
    """Rows with a gender and votes; the first ones are of class O and X, one has no gender."""
    changed = []
    for number, row in enumerate(rows):
        other = rows[(number + 1) % len(rows)].emotion
        votes = f"{row.emotion}:3 {other}:1" if row.emotion != other else f"{row.emotion}:4"
        gender = {} if number == 3 else {"gender": "male" if number % 2 else "female"}
        emotion = None if number < 2 else row.emotion
        changed.append(replace(row, emotion=emotion, votes=votes, extra=gender))
    return changed


@pytest.fixture
def data(copy_toy: Callable[..., Path], tmp_path: Path) -> Path:
    folder = copy_toy(like_msp_podcast)
    (folder / "text").unlink()
    texts = [str(row.text) for row in read_manifest(folder / "train.tsv")]
    hf_folders.build(tmp_path / "roberta", "roberta", texts)
    tokenize_with_hf(folder, tmp_path / "roberta")
    torch.manual_seed(4)
    config = transformers.WavLMConfig(**SOUND)
    transformers.WavLMModel(config).save_pretrained(tmp_path / "wavlm")
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path / "wavlm")
    return folder


METRICS = {
    "categorical": ("categorical", ("macro_f1", "uar@gender")),
    "distribution": ("distribution", ("votes_ce", "macro_f1", "uar@gender")),
    "attributes": ("attributes", ("ccc", "ccc_valence", "uar@gender")),
}


@pytest.mark.parametrize(("suite", "metrics"), all_but({"distribution", "attributes"}, METRICS))
def test_a_suite_trains_tiny_encoders(
    suite: str,
    metrics: tuple[str, ...],
    data: Path,
    run_here: Callable[..., Any],
    commands: dict[str, str],
    tmp_path: Path,
) -> None:
    plugin = commands["validate"].split()[1]
    finished = run_here(
        "hydra-train",
        f"--config-dir {SUITES} --config-name base suite={suite} common.user_dir={plugin}",
        f"common.cpu=true common.bf16=false task.data={data} optimization.max_update=1",
        f"task.text_encoder=hf:{tmp_path / 'roberta'} task.speech_encoder=hf:{tmp_path / 'wavlm'}",
        "++task.max_text_tokens=30 task.max_speech_seconds=0.5 model.embedding_dim=16",
        f"checkpoint.save_dir={tmp_path / 'run'} dataset.num_workers=0 dataset.batch_size=16",
        "optimization.update_freq=[1]",
    )
    assert finished.code == 0, finished.errors[-2000:]
    saved = torch.load(tmp_path / "run" / "checkpoint_last.pt", weights_only=True)
    heads = [name for name in saved["model"] if name.startswith("auxiliary_heads.gender")]
    assert heads
    assert saved["model"]["encoders.speech.mix.weights"].shape == (4,)
    valid = [line for line in finished.log.splitlines() if "valid" in line]
    for metric in metrics:
        assert any(f"{metric}" in line for line in valid), metric
