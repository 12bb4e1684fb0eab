"""An encoder over a whole dataset: rows in their order, each as if it were encoded alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from codes import raises

from data_prep.tokens.folder import SpecialIds
from emo_fairseq.data.audio import WaveformDataset
from emo_fairseq.data.tokens import TokenDataset
from emo_fairseq.models import encode
from emo_fairseq.models.encode import encode_rows, encoder_of_features
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.modules.token_encoder import TokenEncoder
from emo_fairseq.modules.transformer import TransformerSize
from emo_fairseq.modules.waveform_encoder import WaveformEncoder

SIZE = TransformerSize(16, 24, 2, 2, dropout=0.5, attention_dropout=0.5)
CPU = torch.device("cpu")
LENGTHS = (5, 1, 9, 3, 7, 2, 9, 4)
ABSENT = 3


def token_encoder(layer: str = "last") -> ModalityEncoder:
    encoder = ModalityEncoder(TokenEncoder(20, 16, SIZE), layer)
    encoder.freeze()
    return encoder


def token_dataset(lengths: Sequence[int] = LENGTHS) -> TokenDataset:
    noise = np.random.default_rng(0)
    source = [noise.integers(4, 20, length) for length in lengths]
    present = np.arange(len(lengths)) != ABSENT
    return TokenDataset(source, np.array(lengths), present, SpecialIds(), 16)


def alone(encoder: ModalityEncoder, dataset: TokenDataset, row: int) -> np.ndarray:
    """The outputs for one row, by the road that training takes."""
    source = dataset.collater([dataset[row]])
    del source["present"]
    with torch.no_grad():
        encoded, _ = encoder.eval().encode(**source)
    return encoded[0].flatten(1).numpy()


@pytest.mark.parametrize("layer", ["last", "0", "mean", "weighted", "concat"])
@pytest.mark.parametrize("max_tokens", [1, 20, 10_000])
def test_rows_come_in_order_whatever_the_batches(layer: str, max_tokens: int) -> None:
    encoder, dataset = token_encoder(layer), token_dataset()
    rows = list(encode_rows(encoder, dataset, max_tokens, CPU))
    assert len(rows) == len(dataset)
    for row, frames in enumerate(rows):
        if row == ABSENT:
            assert frames.shape == (0, 48 if layer in ("weighted", "concat") else 16)
        else:
            np.testing.assert_allclose(frames, alone(encoder, dataset, row), atol=1e-5)


@pytest.mark.parametrize("layer", ["3", "weighted", "concat"])
def test_the_layers_of_stored_features_are_those_of_the_command(layer: str) -> None:
    """It takes no ``weighted`` and no ``concat``, which a training chooses of ``all``."""
    backbone = TokenEncoder(20, 16, SIZE)
    with raises("layer-unknown") as error:
        encoder_of_features(backbone, layer)
    remedy = "has layers 0 to 2; give a number, or last, mean or all"
    assert str(error.value) == f"--layer {layer}: this encoder {remedy}"
    assert encoder_of_features(backbone, "all").n_states == 3


def test_windows_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = token_dataset(LENGTHS * 10)
    encoder = token_encoder()
    whole = list(encode_rows(encoder, dataset, 40, CPU))
    monkeypatch.setattr(encode, "_FIRST_WINDOW_ROWS", 3)
    monkeypatch.setattr(encode, "_NUMBERS_IN_MEMORY", 16 * 30)
    for one, other in zip(whole, encode_rows(encoder, dataset, 40, CPU), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_batches_hold_rows_of_similar_length(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = token_dataset(tuple(range(1, 13)) * 20)
    encoder = token_encoder()
    shapes = []
    layers = encoder.backbone.layers

    def watched(tokens: torch.Tensor, padding_mask: torch.Tensor) -> object:
        shapes.append((tokens.numel(), int(padding_mask.sum())))
        return layers(tokens, padding_mask)

    monkeypatch.setattr(encoder.backbone, "layers", watched)
    list(encode_rows(encoder, dataset, 64, CPU))
    assert max(size for size, _ in shapes) <= 64
    padding = sum(padded for _, padded in shapes) / sum(size for size, _ in shapes)
    assert padding < 0.05


def test_few_batches_are_loaded_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a window of hundreds of rows only those of some batches are in memory."""
    encoder, dataset = token_encoder(), token_dataset((4,) * 300)
    monkeypatch.setattr(encode, "BATCHES_AHEAD", 2)
    monkeypatch.setattr(encode, "_FIRST_WINDOW_ROWS", 300)
    n_encoded = 0
    started = []
    load, layers = encode._load, encoder.backbone.layers

    def noted(*arguments: Any) -> Any:
        started.append(n_encoded)
        return load(*arguments)

    def counted(tokens: torch.Tensor, padding_mask: torch.Tensor) -> object:
        nonlocal n_encoded
        n_encoded += 1
        return layers(tokens, padding_mask)

    monkeypatch.setattr(encode, "_load", noted)
    monkeypatch.setattr(encoder.backbone, "layers", counted)
    assert len(list(encode_rows(encoder, dataset, 20, CPU))) == 300
    assert len(started) > 50
    # A batch is submitted when the one three before it is taken, and encoded next.
    assert all(number - encoded <= 3 for number, encoded in enumerate(started))


def test_rows_cost_what_the_encoder_pads_them_to(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = token_encoder()
    rows = []
    layers = encoder.backbone.layers

    def watched(tokens: torch.Tensor, padding_mask: torch.Tensor) -> object:
        rows.append(len(tokens))
        return layers(tokens, padding_mask)

    monkeypatch.setattr(encoder.backbone, "layers", watched)
    monkeypatch.setattr(encoder.backbone, "padded_input", 20)
    list(encode_rows(encoder, token_dataset((4,) * 15), 64, CPU))
    assert rows == [3, 2, 3, 3, 3]  # one is absent


def test_waveforms(tmp_path: Path) -> None:
    paths: list[Path | None] = [None]
    lengths = (4000, 400, 2345)
    for length in lengths:
        paths.append(tmp_path / f"{length}.wav")
        soundfile.write(paths[-1], np.random.default_rng(length).normal(0, 0.1, length), 16_000)
    dataset = WaveformDataset(paths, np.array([0, *lengths]), 3000, list(map(str, paths)))
    convolutions = [(16, 10, 5)] + [(16, 3, 2)] * 4 + [(16, 2, 2)] * 2
    encoder = ModalityEncoder(WaveformEncoder(convolutions, SIZE))
    together = list(encode_rows(encoder, dataset, 10**6, CPU))
    one_by_one = list(encode_rows(encoder, dataset, 1, CPU))
    assert [len(frames) for frames in together] == [0, 9, 1, 7]
    for frames, expected in zip(together, one_by_one, strict=True):
        np.testing.assert_allclose(frames, expected, atol=1e-5)


def test_the_encoder_is_left_as_it_was() -> None:
    encoder, dataset = ModalityEncoder(TokenEncoder(20, 16, SIZE)), token_dataset()
    encoder.train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    parameters = list(encoder.parameters())
    first = list(encode_rows(encoder, dataset, 40, CPU))
    assert encoder.training
    assert encoder.backbone.training
    assert all(p is q for p, q in zip(parameters, encoder.parameters(), strict=True))
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    second = list(encode_rows(encoder, dataset, 40, CPU))  # no dropout
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_an_encoder_in_half_precision_works_in_single() -> None:
    encoder, dataset = token_encoder(), token_dataset()
    expected = list(encode_rows(encoder, dataset, 40, CPU))
    rows = list(encode_rows(encoder.half(), dataset, 40, CPU))
    assert next(encoder.parameters()).dtype == torch.float16
    assert {frames.dtype for frames in rows} == {np.dtype(np.float32)}
    for frames, wanted in zip(rows, expected, strict=True):
        np.testing.assert_allclose(frames, wanted, atol=0.05)


def test_a_leaf_that_cannot_be_read_ends_it() -> None:
    dataset = token_dataset()
    dataset.source = dataset.source[:5]
    with pytest.raises(IndexError):
        list(encode_rows(token_encoder(), dataset, 10, CPU))
