"""The standardization of the outputs of a frozen encoder."""

import numpy as np
import torch

from emo_fairseq.models.modality_encoder import ModalityEncoder
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
