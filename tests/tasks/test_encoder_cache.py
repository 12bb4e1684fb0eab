"""A frozen encoder runs once: what lies on disk is what it says, never stale, never half."""

import copy
import logging
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from forked import SERVER

from data_prep.files import digests
from data_prep.tokens.folder import SpecialIds
from emo_fairseq.data.encoded import EncodedDataset
from emo_fairseq.data.modality_dataset import RowsDataset
from emo_fairseq.data.tokens import TokenDataset
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.models.encode import encode_rows
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.modules.frame_encoder import FrameEncoder
from emo_fairseq.modules.log_mel_encoder import LogMelEncoder
from emo_fairseq.modules.token_encoder import TokenEncoder
from emo_fairseq.modules.transformer import TransformerSize
from emo_fairseq.modules.waveform_encoder import WaveformEncoder
from emo_fairseq.tasks import encoder_cache
from emo_fairseq.tasks.encoder_cache import cached_outputs
from emo_fairseq.tasks.frozen_encoders import FrozenEncoders
from emo_fairseq.tasks.outputs_identity import key_of, outputs_identity, weights_digest

SIZE = TransformerSize(16, 24, 2, 2, dropout=0.5, attention_dropout=0.5)
CARD = EncoderSpec("fairseq:models/tiny", "tokens", {"family": "roberta", "size": {"layers": 2}})
ABSENT = 2


def make_encoder(layer: str = "last", seed: int = 1, pooling: str | None = None) -> ModalityEncoder:
    torch.manual_seed(seed)
    encoder = ModalityEncoder(TokenEncoder(30, 16, SIZE), layer, frozen_pooling=pooling)
    encoder.freeze()
    return encoder


def make_dataset(max_tokens: int = 14, seed: int = 0) -> TokenDataset:
    noise = np.random.default_rng(seed)
    lengths = np.array([5, 12, 3, 8, 1, 9])
    source = [noise.integers(4, 30, length) for length in lengths]
    return TokenDataset(source, lengths, np.arange(6) != ABSENT, SpecialIds(), max_tokens)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Grows by one number, the rows of a batch, whenever an encoder is asked."""
    found: list[int] = []
    layers = TokenEncoder.layers

    def counted(self: Any, tokens: Any, padding_mask: Any) -> Any:
        found.append(len(tokens))
        return layers(self, tokens, padding_mask)

    monkeypatch.setattr(TokenEncoder, "layers", counted)
    return found


def cached(folder: Path, **given: Any) -> EncodedDataset:
    options = {"encoder": make_encoder(), "dataset": make_dataset(), "split": "train", "spec": CARD}
    return cached_outputs(**{**options, **given}, folder=folder)


def folders(place: Path) -> set[str]:
    return {path.name for path in place.iterdir() if path.is_dir()}


# -- what is read is what the encoder says ---------------------------------------------------------


@pytest.mark.parametrize("layer", ["last", "1", "mean", "weighted", "concat"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0.0), ("float16", 1e-3)])
def test_features_are_those_of_the_encoder(
    tmp_path: Path, layer: str, dtype: str, tolerance: float
) -> None:
    encoder, dataset = make_encoder(layer).eval(), make_dataset()
    outputs = cached(tmp_path, encoder=encoder, dataset=dataset, dtype=dtype)
    for row in range(len(dataset)):
        (expected, expected_mask) = encoder(**dataset.collater([dataset[row]]))
        (features, mask) = encoder(**outputs.collater([outputs[row]]))
        if row == ABSENT:
            assert mask.all()
            assert expected_mask.all()
            continue
        assert torch.equal(mask, expected_mask)
        scale = float(expected.detach().abs().max())
        # Rows were encoded in one batch, which computes the last bits otherwise than one alone.
        torch.testing.assert_close(features, expected, rtol=0, atol=(tolerance + 1e-6) * scale)


@pytest.mark.parametrize("pooling", ["mean", "mean_std"])
@pytest.mark.parametrize("layer", ["1", "mean", "weighted", "concat"])
def test_frames_are_pooled_before_they_are_stored(tmp_path: Path, layer: str, pooling: str) -> None:
    dataset, frames_of = make_dataset(), make_encoder("weighted").eval()
    encoder = make_encoder(layer, pooling=pooling).eval()
    outputs = cached(tmp_path, encoder=encoder, dataset=dataset, dtype="float32")
    for row in range(len(dataset)):
        source = dataset.collater([dataset[row], dataset[1]])  # which is longer
        live, live_mask = encoder(**source)
        stored, stored_mask = encoder(**outputs.collater([outputs[row], outputs[1]]))
        assert torch.equal(live_mask, stored_mask)
        assert stored_mask.tolist() == [[row == ABSENT], [False]]
        if row == ABSENT:
            continue
        torch.testing.assert_close(stored, live, rtol=0, atol=1e-5)
        (states,) = encode_rows(frames_of, RowsDataset(dataset, [row]), 99, torch.device("cpu"))
        states = states.reshape(len(states), 3, -1)  # T x K x C
        chosen = {"1": states[:, 1:2], "mean": states.mean(1, keepdims=True)}.get(layer, states)
        expected = chosen.mean(0)
        if pooling == "mean_std":
            expected = np.concatenate([expected, chosen.std(0)], axis=1)
        expected = expected.mean(0) if layer == "weighted" else expected.ravel()  # equal weights
        np.testing.assert_allclose(stored[0, 0].detach(), expected, atol=1e-5)


def test_single_precision_loses_nothing(tmp_path: Path) -> None:
    """All rows in one batch, as in the cache: bit by bit the same."""
    encoder, dataset = make_encoder(), make_dataset()
    outputs = cached(tmp_path, encoder=encoder, dataset=dataset, dtype="float32")
    by_length = [row for row in np.argsort(-dataset.sizes, kind="stable") if row != ABSENT]
    expected, mask = encoder(**dataset.collater([dataset[row] for row in by_length]))
    features, _ = encoder(**outputs.collater([outputs[row] for row in by_length]))
    assert torch.equal(features[~mask], expected[~mask])


def test_a_batch_is_the_rows_in_it(tmp_path: Path) -> None:
    outputs = cached(tmp_path)
    together = outputs.collater([outputs[row] for row in range(len(outputs))])
    for row in range(len(outputs)):
        single = outputs.collater([outputs[row]])["encoded"][0]
        assert torch.equal(together["encoded"][row, : len(single)], single)
    chosen = RowsDataset(outputs, np.array([3, 0]))
    assert torch.equal(chosen[0][0], outputs[3][0])
    assert chosen.sizes.tolist() == outputs.sizes[[3, 0]].tolist()


# -- once, and never stale -------------------------------------------------------------------------


def test_the_second_time_the_encoder_is_not_asked(tmp_path: Path, calls: list[int]) -> None:
    first = cached(tmp_path)
    assert sum(calls) == 5  # the row that is not present is not encoded
    calls.clear()
    second = cached(tmp_path)
    assert calls == []
    assert all(torch.equal(first[row][0], second[row][0]) for row in range(len(first)))


def test_a_sum_of_layers_and_layers_side_by_side_share_outputs(
    tmp_path: Path, calls: list[int]
) -> None:
    dataset = make_dataset()
    cached(tmp_path, encoder=make_encoder("weighted"), dataset=dataset)
    assert len(calls) > 0
    calls.clear()
    encoder = make_encoder("concat")
    outputs = cached(tmp_path, encoder=encoder, dataset=dataset)
    assert calls == []
    features, _ = encoder(**outputs.collater([outputs[0]]))
    assert features.size(2) == encoder.embed_dim == 3 * encoder.backbone.embed_dim


def test_the_folder_of_an_identity_keeps_its_name() -> None:
    """Under another name, what earlier versions computed would not be found again."""
    expected = "e5ffa5c2b542151ffe29b473eb97908f"
    assert key_of({"split": "train", "dtype": "float16"}) == expected
    assert key_of({"dtype": "float16", "split": "train"}) == expected


def other_bias() -> ModalityEncoder:
    encoder = make_encoder()
    encoder.backbone.state_dict()["sentence_encoder.layers.1.fc2.bias"][3] += 1e-6
    return encoder


def other_words() -> TokenDataset:
    dataset = make_dataset()
    dataset.source[5] = dataset.source[5].copy()
    dataset.source[5][-1] ^= 1
    return dataset


CHANGES: dict[str, Callable[[], dict[str, Any]]] = {
    "a weight": lambda: {"encoder": other_bias()},
    "all weights": lambda: {"encoder": make_encoder(seed=2)},
    "the layer": lambda: {"encoder": make_encoder("1")},
    "the mean of layers": lambda: {"encoder": make_encoder("mean")},
    "the pooling": lambda: {"encoder": make_encoder(pooling="mean")},
    "a token": lambda: {"dataset": other_words()},
    "the cut": lambda: {"dataset": make_dataset(max_tokens=8)},
    "the split": lambda: {"split": "valid"},
    "the type": lambda: {"dtype": "float32"},
    "the architecture": lambda: {"spec": replace(CARD, architecture={"family": "xlmr"})},
    "the kind": lambda: {"spec": replace(CARD, spec="hf:models/tiny")},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_change_is_encoded_anew(
    tmp_path: Path, calls: list[int], change: Callable[[], dict[str, Any]]
) -> None:
    cached(tmp_path)
    calls.clear()
    cached(tmp_path, **change())
    assert sum(calls) == 5
    assert len(folders(tmp_path)) == 2


FOUR_HEADS = replace(SIZE, n_heads=4)
AT_EQUAL_SHAPES: dict[str, tuple[Callable[[], Encoder], Callable[[], Encoder]]] = {
    "heads over tokens": (
        lambda: TokenEncoder(30, 16, SIZE),
        lambda: TokenEncoder(30, 16, FOUR_HEADS),
    ),
    "the padding id": (  # of the positions those up to it are not used
        lambda: TokenEncoder(30, 16, SIZE, padding_id=1),
        lambda: TokenEncoder(30, 17, SIZE, padding_id=0),
    ),
    "heads over samples": (
        lambda: WaveformEncoder([(8, 10, 5)], SIZE),
        lambda: WaveformEncoder([(8, 10, 5)], FOUR_HEADS),
    ),
    "a stride": (
        lambda: WaveformEncoder([(8, 10, 5), (8, 3, 2)], SIZE),
        lambda: WaveformEncoder([(8, 10, 4), (8, 3, 2)], SIZE),
    ),
    "heads over log-mel frames": (
        lambda: LogMelEncoder(8, 8, SIZE),
        lambda: LogMelEncoder(8, 8, FOUR_HEADS),
    ),
    "heads over features": (
        lambda: FrameEncoder(8, SIZE),
        lambda: FrameEncoder(8, FOUR_HEADS),
    ),
}


@pytest.mark.parametrize("build", AT_EQUAL_SHAPES.values(), ids=AT_EQUAL_SHAPES)
def test_what_acts_beside_the_weights_counts(
    build: tuple[Callable[[], Encoder], Callable[[], Encoder]],
) -> None:
    """Of encoders in our own sizes, whose cards do not say it."""
    first, same, other = (make() for make in (build[0], *build))
    spec = EncoderSpec("scratch:tiny", "whatever")

    def identity(backbone: Encoder) -> dict[str, Any]:
        backbone.load_state_dict(first.state_dict())
        encoder, weights = ModalityEncoder(backbone), weights_digest(backbone)
        return outputs_identity(encoder, weights, spec, "train", "content", "float16")

    assert identity(same) == identity(first)
    assert identity(other)["weights"] == identity(first)["weights"]
    assert identity(other) != identity(first)


def test_other_heads_are_encoded_anew(tmp_path: Path, calls: list[int]) -> None:
    spec = EncoderSpec("scratch:tiny", "tokens")
    before = cached(tmp_path, spec=spec)
    calls.clear()
    other = ModalityEncoder(TokenEncoder(30, 16, FOUR_HEADS))
    other.load_state_dict(make_encoder().state_dict())
    other.freeze()
    after = cached(tmp_path, spec=spec, encoder=other)
    assert sum(calls) == 5
    assert not torch.equal(before[0][0], after[0][0])


def test_where_the_encoder_lies_does_not_matter(tmp_path: Path, calls: list[int]) -> None:
    cached(tmp_path)
    calls.clear()
    cached(tmp_path, spec=replace(CARD, spec="fairseq:moved/tiny", weights="of the file"))
    assert calls == []


def test_the_card_says_what_it_is(tmp_path: Path) -> None:
    cached(tmp_path)
    (key,) = folders(tmp_path)
    card = yaml.safe_load((tmp_path / key / "card.yaml").read_text())
    assert card["encoder"] == "fairseq:models/tiny"
    assert (card["split"], card["rows"], card["frames"]) == ("train", 6, 45)
    assert card["identity"]["layer"] == "last"


# -- whole or not at all ---------------------------------------------------------------------------


def test_a_failure_leaves_nothing(tmp_path: Path, calls: list[int]) -> None:
    dataset = make_dataset()
    whole, dataset.source = dataset.source, dataset.source[:4]
    dataset.__class__ = type("Broken", (TokenDataset,), {})
    with pytest.raises(IndexError):
        cached(tmp_path, dataset=dataset)
    assert folders(tmp_path) == set()
    dataset.source = whole
    assert len(cached(tmp_path, dataset=dataset)) == 6


def _encode_until_killed(folder: Path) -> None:
    encode_rows = encoder_cache.encode_rows

    def killed_at_the_fourth(*args: Any) -> Iterator[Any]:
        for number, frames in enumerate(encode_rows(*args)):
            if number == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            yield frames

    encoder_cache.encode_rows = killed_at_the_fourth
    cached(folder)


def test_a_killed_process_leaves_nothing_usable(tmp_path: Path, calls: list[int]) -> None:
    process = SERVER.Process(target=_encode_until_killed, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert [name for name in folders(tmp_path) if not name.startswith(".")] == []
    assert len(cached(tmp_path)) == 6
    assert sum(calls) == 5
    assert [name for name in folders(tmp_path) if name.startswith(".")] == []


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [_cut, _flip])
@pytest.mark.parametrize("name", ["train.npy", "train.lengths"])
def test_a_damaged_file_is_made_again(
    tmp_path: Path,
    calls: list[int],
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: Callable[[Path], None],
) -> None:
    cached(tmp_path)
    (key,) = folders(tmp_path)
    damage(tmp_path / key / name)
    calls.clear()
    with caplog.at_level(logging.WARNING):
        cached(tmp_path)
    assert sum(calls) == 5
    assert f"{name}: damaged or exchanged: " in caplog.text
    calls.clear()
    cached(tmp_path)
    assert calls == []


def test_outputs_are_digested_once_and_not_again_where_nothing_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digested: list[str] = []
    whole = digests.file_digest

    def noted(file: Path) -> str:
        digested.append(file.name)
        return whole(file)

    monkeypatch.setattr(digests, "file_digest", noted)
    for _ in range(2):
        cached(tmp_path)
        assert sorted(digested) == ["train.lengths", "train.npy"]
    (key,) = folders(tmp_path)
    (tmp_path / key / "train.npy").touch()  # as a copy to another folder would
    cached(tmp_path)
    assert sorted(digested) == ["train.lengths", "train.npy", "train.npy"]


def test_of_two_at_once_one_encodes(tmp_path: Path, calls: list[int]) -> None:
    """As ranks do, or trainings; the lock knows no difference between them and threads."""
    encoders = [make_encoder(), make_encoder()]
    with ThreadPoolExecutor(2) as pool:
        ranks = [pool.submit(cached, tmp_path, encoder=encoder) for encoder in encoders]
        first, second = (rank.result() for rank in ranks)
    assert sum(calls) == 5
    assert all(torch.equal(first[row][0], second[row][0]) for row in range(len(first)))


# -- what is told ----------------------------------------------------------------------------------


def test_numbers_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    encoder = make_encoder()
    encoder.backbone.state_dict()["sentence_encoder.layers.1.final_layer_norm.bias"][0] = 7e4
    message = (
        r"train: row 0: a number of 7\d+(\.\d+)? is beyond float16; give --cache-dtype float32"
    )
    with pytest.raises(UsageError, match=message):
        cached(tmp_path, encoder=encoder)
    assert folders(tmp_path) == set()
    assert cached(tmp_path, encoder=encoder, dtype="float32")[0][0].max() > 6.9e4


def test_outputs_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    encoder = make_encoder()
    encoder.backbone.state_dict()["sentence_encoder.layers.1.fc2.bias"][0] = float("nan")
    with pytest.raises(UsageError, match="train: row 0: frames are NaN or infinite"):
        cached(tmp_path, encoder=encoder)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(
        UsageError, match="cannot be kept here .* another --cache-dir, or give --no"
    ):
        cached(tmp_path / "cache" / "text")


# -- the digest of weights, and the task's side ----------------------------------------------------


def test_weights_are_known_by_every_bit_and_name() -> None:
    backbone = make_encoder().backbone
    digest = weights_digest(backbone)
    assert weights_digest(copy.deepcopy(backbone)) == digest
    assert weights_digest(make_encoder(seed=1).backbone) == digest
    assert weights_digest(other_bias().backbone) != digest
    assert weights_digest(copy.deepcopy(backbone).half()) != digest
    assert weights_digest(torch.nn.ModuleDict({"inside": backbone})) != digest


def test_a_checkpoint_of_other_weights_is_noticed(tmp_path: Path) -> None:
    """fairseq-train loads the valid splits before the checkpoint that it goes on from."""
    encoder = make_encoder()
    frozen = FrozenEncoders({"text": encoder}, {"text": CARD}, tmp_path, "float16")
    assert not frozen.have_changed()
    before = frozen.encode("text", make_dataset(), "valid")
    assert not frozen.have_changed()
    encoder.load_state_dict(make_encoder(seed=2).state_dict())
    assert frozen.have_changed()
    after = frozen.encode("text", make_dataset(), "valid")
    assert not frozen.have_changed()
    assert not torch.equal(before[0][0], after[0][0])
    assert len(folders(tmp_path / "text")) == 2


def test_an_encoder_that_is_trained_has_no_cache(tmp_path: Path) -> None:
    dataset = make_dataset()
    frozen = FrozenEncoders({}, {"text": CARD}, tmp_path, "float16")
    assert frozen.encode("text", dataset, "valid") is dataset
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_sets_of_a_fold_share_the_outputs_of_all_rows(tmp_path: Path) -> None:
    frozen = FrozenEncoders({"text": make_encoder()}, {"text": CARD}, tmp_path, "float16")
    whole = frozen.encode("text", make_dataset(), "train")
    for rows in ([0, 2], [5, 1]):
        part = frozen.encode("text", RowsDataset(make_dataset(), np.array(rows)), "train")
        assert len(part) == 2
        assert all(torch.equal(part[n][0], whole[row][0]) for n, row in enumerate(rows))
    assert len(folders(tmp_path / "text")) == 1
