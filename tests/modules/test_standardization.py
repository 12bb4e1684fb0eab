"""The standardization of the outputs of a frozen encoder."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fairseq.trainer import Trainer

from data_prep.features.frame_files import read_frames, write_frames
from emo_fairseq.data.encoded import EncodedDataset
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.modules.layer_mix import LayerMix
from emo_fairseq.modules.standardization import Standardization
from emo_fairseq.modules.token_encoder import TokenEncoder
from emo_fairseq.modules.transformer import TransformerSize
from emo_fairseq.tasks.standardization import standardize_encoders

TOKENS = torch.tensor([[0, 5, 6, 7, 2], [0, 8, 2, 1, 1]])
PADDING = TOKENS == 1


def make_encoder(layer: str) -> ModalityEncoder:
    torch.manual_seed(1)
    size = TransformerSize(8, 12, 2, 2, dropout=0.1, attention_dropout=0.1)
    encoder = ModalityEncoder(TokenEncoder(30, 8, size), layer, standardizes=True)
    encoder.freeze()
    return encoder.train()


class Inputs:
    """What was encoded, of which no more than the sizes is read."""

    sizes = np.array([60])


class Model:
    def __init__(self, **encoders: ModalityEncoder) -> None:
        self.encoders = encoders


class Outputs:
    """What an encoder returns for the two rows above, and an absent one."""

    sizes = np.array([5, 3, 1])

    def __init__(self, encoder: ModalityEncoder) -> None:
        states, _ = encoder.encode(tokens=TOKENS, padding_mask=PADDING)
        self.rows = [states[0, :5].flatten(1), states[1, :3].flatten(1)]

    def __getitem__(self, index: int) -> tuple[torch.Tensor, bool, str]:
        return (self.rows[index], True, "") if index < 2 else (torch.ones(1, 1), False, "")

    def __len__(self) -> int:
        return 3


def test_outputs_over_the_train_split_have_mean_0_and_deviation_1() -> None:
    encoder = make_encoder("1")
    outputs = Outputs(encoder)
    standardize_encoders(Model(text=encoder), lambda name: outputs)
    features, mask = encoder(torch.tensor([True, True]), tokens=TOKENS, padding_mask=PADDING)
    assert torch.equal(mask, PADDING)
    assert (features[PADDING] == 0).all()
    torch.testing.assert_close(features[~PADDING].mean(0), torch.zeros(8), rtol=0, atol=1e-5)
    std = features[~PADDING].std(0, correction=0)
    torch.testing.assert_close(std, torch.ones(8), rtol=1e-4, atol=0)


def test_each_layer_is_standardized_before_they_are_weighted() -> None:
    encoder = make_encoder("weighted")
    outputs = Outputs(encoder)
    standardize_encoders(Model(text=encoder), lambda name: outputs)
    frames = torch.cat(outputs.rows).unflatten(1, (3, 8))
    expected = ((frames - frames.mean(0)) / frames.std(0, correction=0)).mean(1)
    features, _ = encoder(torch.tensor([True, True]), tokens=TOKENS, padding_mask=PADDING)
    torch.testing.assert_close(features[~PADDING], expected, rtol=1e-3, atol=1e-4)


def test_layers_side_by_side_are_standardized() -> None:
    encoder = make_encoder("concat")
    outputs = Outputs(encoder)
    standardize_encoders(Model(text=encoder), lambda name: outputs)
    frames = torch.cat(outputs.rows)
    expected = (frames - frames.mean(0)) / frames.std(0, correction=0)
    features, _ = encoder(torch.tensor([True, True]), tokens=TOKENS, padding_mask=PADDING)
    torch.testing.assert_close(features[~PADDING], expected, rtol=1e-3, atol=1e-4)
    assert encoder.embed_dim == features.size(2) == 24


@pytest.mark.parametrize("layer", ["1", "weighted", "concat"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_standardizes_in_single_precision(
    layer: str, precision: str, tmp_path: Path
) -> None:
    """Outputs whose mean is 100 deviations, read as fairseq's trainer reads them from disk."""
    encoder = make_encoder(layer)
    assert encoder.standardize is not None
    width = encoder.standardize.mean.numel()
    frames = 100 + np.random.default_rng(1).normal(size=(60, width))
    encoder.standardize.set(torch.from_numpy(frames.mean(0)), torch.from_numpy(frames.std(0)))
    write_frames(tmp_path, "train", [frames], "float32")
    rows = EncodedDataset(read_frames(tmp_path, "train"), Inputs())
    batch = rows.collater([rows[0]])
    expected, _ = encoder(**batch)
    encoder.to(torch.bfloat16 if precision == "bf16" else torch.float16)
    half = {"fp16": False, "bf16": False, precision: True}
    trainer = SimpleNamespace(cfg=SimpleNamespace(common=SimpleNamespace(**half)))
    features, _ = encoder(**Trainer._fp_convert_sample(trainer, batch))
    assert expected.std() > 0.3
    torch.testing.assert_close(features.float(), expected, rtol=0, atol=0.01)


def test_a_standardized_sum_is_that_of_standardized_states() -> None:
    mix, standardize = LayerMix(3).double(), Standardization(3, 5)
    mean, std = torch.randn(3, 5), torch.rand(3, 5) + 0.1
    standardize.set(mean, std)
    with torch.no_grad():
        mix.weights.copy_(torch.randn(3))
    states = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(mix(states, standardize), mix(standardize(states)))
    assert torch.autograd.gradcheck(lambda x, _: mix(x, standardize), (states, mix.weights))


def test_statistics_of_an_earlier_stage_stay() -> None:
    encoder = make_encoder("last")
    assert encoder.standardize is not None
    encoder.standardize.set(torch.full((8,), 2.0), torch.full((8,), 4.0))
    standardize_encoders(Model(text=encoder), lambda name: Outputs(encoder))
    assert (encoder.standardize.mean == 2).all()
    assert (encoder.standardize.scale == 0.25).all()


def test_a_number_that_is_constant_becomes_0() -> None:
    standardize = Standardization(1, 2)
    standardize.set(torch.tensor([3.0, 0.0]), torch.tensor([1e30, 1.0]))
    states = torch.tensor([[[[5.0, 5.0]]]])
    found = standardize(states)
    torch.testing.assert_close(found, torch.tensor([[[[0.0, 5.0]]]]), rtol=0, atol=1e-20)
