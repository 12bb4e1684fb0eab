"""The encoders: frame counts, no influence of padding, gradients everywhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from data_prep.tokens.folder import PAD
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.modules.log_mel_encoder import LogMelEncoder
from emo_fairseq.modules.token_encoder import TokenEncoder
from emo_fairseq.modules.transformer import TransformerSize
from emo_fairseq.modules.waveform_encoder import WaveformEncoder

SIZE = TransformerSize(
    embed_dim=16, ffn_embed_dim=32, n_layers=2, n_heads=2, dropout=0.1, attention_dropout=0.1
)
CONVOLUTIONS = [(16, 10, 5), (16, 3, 2), (16, 3, 2), (16, 3, 2), (16, 3, 2), (16, 2, 2), (16, 2, 2)]
N_MELS, N_SYMBOLS = 8, 30


@dataclass(frozen=True)
class Case:
    """One encoder, what one of its items looks like, and lengths that try its arithmetic."""

    build: Callable[[], Encoder]
    make: Callable[[int], Tensor]  # a length -> an item of that length
    garbage: float  # what padding holds in the test
    lengths: Sequence[int]
    n_frames: Sequence[int]  # of each length


CASES = {
    "tokens": Case(
        lambda: TokenEncoder(N_SYMBOLS, max_tokens=12, size=SIZE),
        lambda length: torch.randint(4, N_SYMBOLS, (length,)),
        PAD,  # this encoder knows padding by its id
        (12, 7, 2, 11),
        (12, 7, 2, 11),
    ),
    "waveform": Case(
        lambda: WaveformEncoder(CONVOLUTIONS, SIZE),
        torch.randn,
        5.0,
        (4000, 400, 719, 720, 2345),
        (12, 1, 1, 2, 7),
    ),
    "log_mel": Case(
        lambda: LogMelEncoder(N_MELS, conv_channels=12, size=SIZE),
        lambda length: torch.randn(length, N_MELS),
        5.0,
        (41, 1, 2, 4, 5, 22, 40),
        (11, 1, 1, 1, 2, 6, 10),
    ),
}
every_encoder = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def batch_of(items: Sequence[Tensor], garbage: float, width: int = 0) -> tuple[Tensor, Tensor]:
    width = max(width, *(len(item) for item in items))
    batch = items[0].new_full((len(items), width, *items[0].shape[1:]), garbage)
    mask = torch.ones(len(items), width, dtype=torch.bool)
    for row, item in enumerate(items):
        batch[row, : len(item)] = item
        mask[row, : len(item)] = False
    return batch, mask


@every_encoder
def test_frame_counts(case: Case) -> None:
    encoder = case.build().eval()
    items = [case.make(length) for length in case.lengths]
    features, mask = encoder(*batch_of(items, case.garbage))
    assert features.shape == (len(items), max(case.n_frames), SIZE.embed_dim)
    assert encoder.embed_dim == SIZE.embed_dim
    assert mask.dtype == torch.bool
    for row, n_frames in enumerate(case.n_frames):
        assert mask[row].tolist() == [False] * n_frames + [True] * (max(case.n_frames) - n_frames)


@every_encoder
def test_an_utterance_alone_equals_the_same_one_padded(case: Case) -> None:
    encoder = case.build().eval()
    items = [case.make(length) for length in case.lengths]
    features, mask = encoder(*batch_of(items, case.garbage))
    for row, item in enumerate(items):
        alone, alone_mask = encoder(*batch_of([item], case.garbage))
        assert not alone_mask.any()
        torch.testing.assert_close(features[row, ~mask[row]], alone[0], atol=1e-5, rtol=0)


@every_encoder
@pytest.mark.parametrize("more", [1, 2, 3, 4])
def test_any_width_of_the_batch_gives_the_same(case: Case, more: int) -> None:
    """Whichever way the width is rounded by strides."""
    encoder = case.build().eval()
    item = case.make(max(case.lengths) - 4)
    alone, _ = encoder(*batch_of([item], case.garbage))
    features, mask = encoder(*batch_of([item], case.garbage, width=len(item) + more))
    assert mask.shape == features.shape[:2]
    torch.testing.assert_close(features[0, ~mask[0]], alone[0], atol=1e-5, rtol=0)


@every_encoder
def test_without_gradients_the_result_is_the_same(case: Case) -> None:
    """torch and fairseq have faster paths for inference."""
    encoder = case.build().eval()
    batch = batch_of([case.make(length) for length in case.lengths], case.garbage)
    features, mask = encoder(*batch)
    with torch.no_grad():
        again, mask_again = encoder(*batch)
    assert torch.equal(mask, mask_again)
    torch.testing.assert_close(features[~mask], again[~mask], atol=1e-5, rtol=0)


@every_encoder
def test_every_frame_sees_the_whole_utterance(case: Case) -> None:
    encoder = case.build().eval()
    item = case.make(max(case.lengths))
    changed = item.clone()
    middle = len(item) // 2
    changed[middle] = 4 if item.dtype == torch.long and item[middle] != 4 else 5
    before, _ = encoder(*batch_of([item], case.garbage))
    after, _ = encoder(*batch_of([changed], case.garbage))
    assert (before - after).abs().amax(dim=-1).min() > 0


@every_encoder
def test_dropout_acts_in_training_only(case: Case) -> None:
    encoder = case.build()
    batch = batch_of([case.make(max(case.lengths))], case.garbage)
    assert not torch.equal(encoder(*batch)[0], encoder(*batch)[0])
    encoder.eval()
    assert torch.equal(encoder(*batch)[0], encoder(*batch)[0])


@every_encoder
def test_gradient_reaches_every_parameter(case: Case) -> None:
    encoder = case.build()
    features, mask = encoder(*batch_of([case.make(n) for n in case.lengths], case.garbage))
    (features[~mask] * torch.randn_like(features[~mask])).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if not name.endswith("k_proj.bias"):  # it shifts all keys alike, which softmax ignores
            assert parameter.grad.abs().max() > 0, name


def test_the_place_of_a_token_matters() -> None:
    encoder = CASES["tokens"].build().eval()
    tokens = torch.tensor([[0, 7, 8, 2]])
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    swapped, _ = encoder(torch.tensor([[0, 8, 7, 2]]), mask)
    assert not torch.allclose(encoder(tokens, mask)[0][:, 0], swapped[:, 0], atol=1e-4)


def test_token_parameters_bear_robertas_names() -> None:
    """So that a RoBERTa checkpoint's `encoder.sentence_encoder.*` can be loaded."""
    names = set(CASES["tokens"].build().state_dict())
    for name in (
        "sentence_encoder.embed_tokens.weight",
        "sentence_encoder.embed_positions.weight",
        "sentence_encoder.layernorm_embedding.weight",
        "sentence_encoder.layers.0.self_attn.q_proj.weight",
        "sentence_encoder.layers.0.self_attn_layer_norm.weight",
        "sentence_encoder.layers.0.fc1.weight",
        "sentence_encoder.layers.0.final_layer_norm.weight",
    ):
        assert name in names


def test_waveforms_of_default_convolutions_have_49_frames_a_second() -> None:
    encoder = CASES["waveform"].build()
    assert isinstance(encoder, WaveformEncoder)
    assert encoder.n_frames(torch.tensor([400, 16_000, 16_320])).tolist() == [1, 49, 50]
