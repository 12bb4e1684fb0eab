"""A training step queues work on a device without waiting for it: no result is read by the host.

On the device `meta` tensors have shapes and no values. Whatever reads a value, such as `.item()`,
`.tolist()`, `bool(...)` or a boolean selection, raises an error there.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from emo_fairseq.criterions.registered import EmotionPredictionCriterion
from emo_fairseq.modules.encoder import has_padding
from emo_fairseq.pretrained.waveforms import MaskedGroupNorm

transformers = pytest.importorskip("transformers")


def on_meta(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: on_meta(inner) for name, inner in value.items()}
    return value.to("meta") if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize(
    "read", [torch.Tensor.item, torch.Tensor.tolist, bool, lambda x: x[x > 0], torch.Tensor.cpu]
)
def test_what_reads_a_value_is_found(read: Callable[[torch.Tensor], Any]) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        read(torch.zeros((), device="meta"))


# Token encoders of fairseq and transformers look themselves, once, whether there is padding.
CASES: dict[str, dict[str, Any]] = {
    "labels": {"target": "emotion", "speech_input": "log_mel"},
    "numbers": {"target": "vad", "speech_input": "waveform"},
    "auxiliary": {
        "target": "emotion",
        "auxiliary_targets": "vad,sentiment",
        "speech_input": "log_mel",
    },
    "questions": {"target": "binary_emotion", "speech_input": "log_mel"},
}


@pytest.mark.parametrize("case", CASES)
def test_a_training_step_waits_for_nothing(
    toy_corpus: Path,
    make_task: Callable[..., Any],
    make_model: Callable[..., Any],
    collate_rows: Callable[..., Any],
    case: str,
) -> None:
    task = make_task(toy_corpus, modality="speech", max_speech_seconds=0.5, **CASES[case])
    task.load_dataset("train")
    batch = collate_rows(task.dataset("train"), range(4))
    model = make_model(task)
    criterion: Any = EmotionPredictionCriterion.build_criterion(None, task)
    loss, _, logged = criterion.train()(model.train(), batch)
    on_device = criterion.to("meta")(model.to("meta"), on_meta(batch))
    assert loss.isfinite()
    assert on_device[0].device.type == "meta"
    assert logged.keys() == on_device[2].keys()
    on_device[0].backward()
    assert any(parameter.grad is not None for parameter in model.parameters())


def test_an_encoder_of_waveforms_waits_for_nothing() -> None:
    """Nor does its group norm, whose statistics are those of the frames of each row."""
    from emo_fairseq.pretrained.hf_wav2vec2 import HuggingFaceWav2Vec2

    config = transformers.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=(8, 8),
        conv_kernel=(10, 8),
        conv_stride=(5, 8),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        layerdrop=0.0,
        apply_spec_augment=False,
    )
    encoder = HuggingFaceWav2Vec2(config, {"do_normalize": True}).train()
    assert any(isinstance(part, MaskedGroupNorm) for part in encoder.modules())
    waveform, mask = torch.randn(2, 800), torch.arange(800) >= torch.tensor([800, 500])[:, None]
    states, _ = encoder.to("meta").layers(waveform.to("meta"), mask.to("meta"))
    assert [tuple(state.shape) for state in states] == [(2, states[0].size(1), 16)] * 3


def test_group_norm_of_all_rows_together_is_that_of_each() -> None:
    torch.manual_seed(1)
    norm = torch.nn.GroupNorm(4, 8)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    masked = MaskedGroupNorm(norm)
    x, lengths = torch.randn(3, 8, 20), torch.tensor([20, 7, 1])
    padding_mask = torch.arange(20) >= lengths[:, None]
    together = masked._normalize_masked(x, padding_mask, lengths)
    torch.testing.assert_close(together, masked(x, lengths), atol=2e-5, rtol=1e-5)


def test_a_mask_is_looked_at_on_the_cpu_alone() -> None:
    mask = torch.zeros(2, 3, dtype=torch.bool)
    assert not has_padding(mask)
    assert has_padding(torch.tensor([[False, True]]))
    assert has_padding(mask.to("meta"))
