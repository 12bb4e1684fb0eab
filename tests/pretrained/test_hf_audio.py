"""Audio encoders of Hugging Face: the features are those of transformers itself."""

import copy
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from codes import raises
from safetensors.torch import save_file
from torch import Tensor

from emo_fairseq.encoder_spec import WHISPER_PADDINGS, EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import WAVEFORM
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.pretrained.hf_audio import build_hf_audio, describe_hf_audio, load_hf_audio

transformers = pytest.importorskip("transformers")

# transformers' own WavLM hands torch masks of two types.
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")

TIGHT = {"atol": 1e-5, "rtol": 1e-5}
REACH, HOP = 40, 20  # of the convolutions below
SIZE = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 2, 2),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 5,
    "layerdrop": 0.5,  # this and the next two must be off
    "mask_time_prob": 0.5,
    "mask_feature_prob": 0.5,
}
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
WHISPER = {
    "d_model": 16,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "encoder_layerdrop": 0.5,  # off
    "num_mel_bins": 8,
    "max_source_positions": 50,  # it hears one second
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 24,
    "max_target_positions": 8,
    "vocab_size": 30,
    "pad_token_id": 1,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "decoder_start_token_id": 2,
}
FRAME = 320  # of Whisper


@dataclass(frozen=True)
class Family:
    """Classes of transformers, and what to build of them."""

    config: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    head: str = ""  # a class with something around the model

    def build(self, **options: Any) -> Any:
        size = WHISPER if self.is_whisper else SIZE
        config = getattr(transformers, self.config)(**{**size, **self.options, **options})
        model = getattr(transformers, self.model)(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 1:  # away from where a mistake would not show
                    parameter.add_(0.2 * torch.randn_like(parameter))
        return model

    @property
    def is_whisper(self) -> bool:
        return self.config == "WhisperConfig"

    @property
    def lengths(self) -> Sequence[int]:
        if self.is_whisper:
            return (16_000, 200, 3 * FRAME, 3 * FRAME + 1)
        return (1003, REACH, 31 * HOP, 31 * HOP + 7, 500)

    def save(self, model: Any, folder: Path, **front_end: Any) -> Path:
        model.save_pretrained(folder)
        if self.is_whisper:
            settings = {"feature_size": 8, "chunk_length": 1, **front_end}
            transformers.WhisperFeatureExtractor(**settings).save_pretrained(folder)
        else:
            settings = {"do_normalize": False, **front_end}
            transformers.Wav2Vec2FeatureExtractor(**settings).save_pretrained(folder)
        return folder


FAMILIES = {
    "wav2vec2-base": Family("Wav2Vec2Config", "Wav2Vec2Model", head="Wav2Vec2ForCTC"),
    "wav2vec2-large": Family(
        "Wav2Vec2Config", "Wav2Vec2Model", LARGE, head="Wav2Vec2ForPreTraining"
    ),
    "hubert-base": Family("HubertConfig", "HubertModel", head="HubertForSequenceClassification"),
    "hubert-large": Family("HubertConfig", "HubertModel", LARGE),
    "hubert-batch-norm": Family("HubertConfig", "HubertModel", {"conv_pos_batch_norm": True}),
    "wavlm-base": Family("WavLMConfig", "WavLMModel", head="WavLMForXVector"),
    "wavlm-large": Family("WavLMConfig", "WavLMModel", LARGE),
    "data2vec-audio": Family(
        "Data2VecAudioConfig",
        "Data2VecAudioModel",
        {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5},
        head="Data2VecAudioForCTC",
    ),
    "whisper": Family("WhisperConfig", "WhisperModel", head="WhisperForConditionalGeneration"),
}
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
some_families = pytest.mark.parametrize(
    "family", [FAMILIES[name] for name in ("wav2vec2-base", "whisper")]
)


def own_features(family: Family, model: Any, row: Tensor) -> list[Tensor]:
    """What transformers says of one row without padding."""
    if family.is_whisper:
        extractor = transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=1)
        mels = extractor(row.numpy(), sampling_rate=16_000, return_tensors="pt").input_features
        output = model.encoder(mels, output_hidden_states=True)
    else:
        mask = torch.ones(1, len(row), dtype=torch.long)
        output = model(row[None], attention_mask=mask, output_hidden_states=True)
    return [*output.hidden_states[:-1], output.last_hidden_state]


def open_encoder(place: Path) -> tuple[EncoderSpec, Encoder]:
    card = describe_hf_audio(str(place))
    encoder = build_hf_audio(card)
    load_hf_audio(encoder, card)
    return card, encoder.eval()


def batch_of(rows: Sequence[Tensor], width: int = 0) -> tuple[Tensor, Tensor]:
    width = max(width, *(len(row) for row in rows))
    batch = torch.full((len(rows), width), 7.0)
    mask = torch.ones(batch.shape, dtype=torch.bool)
    for number, row in enumerate(rows):
        batch[number, : len(row)] = row
        mask[number, : len(row)] = False
    return batch, mask


@every_family
@torch.no_grad()
def test_every_layer_is_transformers_own_whatever_the_padding(
    family: Family, tmp_path: Path
) -> None:
    model = family.build()
    _, encoder = open_encoder(family.save(model, tmp_path))
    rows = [torch.randn(length) + 0.5 for length in family.lengths]
    padded, mask = encoder.layers(*batch_of(rows, width=max(family.lengths) + HOP))
    assert len(padded) == encoder.n_layers + 1
    for number, row in enumerate(rows):
        expected = own_features(family, model, row)
        n_frames = int((~mask[number]).sum())
        assert n_frames == (-(-len(row) // FRAME) if family.is_whisper else expected[0].size(1))
        for layer, own in zip(padded, expected, strict=True):
            assert layer.shape[2] == encoder.embed_dim
            torch.testing.assert_close(layer[number, :n_frames], own[0, :n_frames], **TIGHT)


@every_family
def test_card_state_and_weights_rebuild_it_without_the_folder(
    family: Family, tmp_path: Path
) -> None:
    card, encoder = open_encoder(family.save(family.build(), tmp_path / "model"))
    for file in (tmp_path / "model").iterdir():
        file.unlink()
    torch.save({"card": card.to_state(), "model": encoder.state_dict()}, tmp_path / "ours.pt")
    saved = torch.load(tmp_path / "ours.pt", weights_only=True)
    again = build_hf_audio(EncoderSpec(**saved["card"])).eval()
    again.load_state_dict(saved["model"])
    batch = batch_of([torch.randn(length) for length in family.lengths])
    with torch.no_grad():
        assert torch.equal(encoder(*batch)[0], again(*batch)[0])
        assert torch.equal(encoder(*batch)[0], copy.deepcopy(encoder)(*batch)[0])


@every_family
def test_blocks_hold_every_parameter_once_and_gradient_reaches_them(
    family: Family, tmp_path: Path
) -> None:
    _, encoder = open_encoder(family.save(family.build(), tmp_path))
    blocks = encoder.blocks()
    assert len(blocks) == encoder.n_layers + 1
    found = [parameter for block in blocks for parameter in block.parameters()]
    assert len(found) == len(set(found))
    assert set(found) == set(encoder.parameters())
    features, mask = encoder.train()(*batch_of([torch.randn(n) for n in family.lengths]))
    (features[~mask] * torch.randn_like(features[~mask])).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert not parameter.requires_grad or parameter.grad is not None, name
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


@every_family
def test_training_draws_for_dropout_only(family: Family, tmp_path: Path) -> None:
    """No layer is dropped, no span masked: without dropout, training is evaluation."""
    names = ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout")
    none = {"dropout": 0.0} if family.is_whisper else dict.fromkeys(names, 0.0)
    _, encoder = open_encoder(family.save(family.build(**none), tmp_path))
    batch = batch_of([torch.randn(length) for length in family.lengths])
    mask = encoder(*batch)[1]
    before = torch.random.get_rng_state()
    torch.testing.assert_close(
        encoder.train()(*batch)[0][~mask], encoder.eval()(*batch)[0][~mask], **TIGHT
    )
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    "family", [family for family in FAMILIES.values() if family.head], ids=lambda f: f.head
)
@torch.no_grad()
def test_what_is_around_the_model_is_not_taken(
    family: Family, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = Family(family.config, family.head, family.options).build()
    with caplog.at_level(logging.INFO, "emo_fairseq"):
        _, encoder = open_encoder(family.save(whole, tmp_path))
    assert any("entries skipped" in message for message in caplog.messages)
    inner = getattr(whole, "model" if family.is_whisper else whole.base_model_prefix)
    row = torch.randn(family.lengths[0])
    expected = own_features(family, inner, row)[-1]
    torch.testing.assert_close(encoder(*batch_of([row]))[0], expected, **TIGHT)


@some_families
def test_a_missing_weight_or_another_shape_is_refused(family: Family, tmp_path: Path) -> None:
    model = family.build()
    card, encoder = open_encoder(family.save(model, tmp_path))
    weights = model.state_dict()
    (tmp_path / "model.safetensors").unlink()
    name = "encoder.layers.1.final_layer_norm.bias"
    less = {key: value for key, value in weights.items() if key != name}
    for changed, message in (
        (less, f"lacks 1 parameters \\({name}\\)"),
        ({**weights, name: torch.zeros(3)}, f"has in another shape 1 parameters \\({name}\\)"),
        ({**weights, "surprise": torch.zeros(3)}, "beside.* 1 parameters \\(surprise\\)"),
    ):
        torch.save(changed, tmp_path / "pytorch_model.bin")
        with pytest.raises(UsageError, match=message):
            load_hf_audio(encoder, card)
    for junk in (b"", b"junk"):
        (tmp_path / "pytorch_model.bin").write_bytes(junk)
        with raises("weights-unreadable"):
            load_hf_audio(encoder, card)
        (tmp_path / "model.safetensors").write_bytes(junk)
        with raises("weights-unreadable"):
            load_hf_audio(encoder, card)
        (tmp_path / "model.safetensors").unlink()


@pytest.mark.parametrize("name", ["wav2vec2-base", "data2vec-audio"])
@torch.no_grad()
def test_rows_are_normalized_if_the_folder_says_so(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    model = family.build()
    card, encoder = open_encoder(family.save(model, tmp_path, do_normalize=True))
    assert card.architecture["front_end"] == {"do_normalize": True}
    rows = [1e-3 * (torch.randn(n) + 1) for n in (900, 300)]  # so quiet that epsilon matters
    features, mask = encoder(*batch_of(rows))
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    for number, row in enumerate(rows):
        normal = extractor(row.numpy(), sampling_rate=16_000, return_tensors="pt").input_values[0]
        expected = own_features(family, model, normal)[-1]
        torch.testing.assert_close(features[number, ~mask[number]], expected[0], **TIGHT)


@torch.no_grad()
def test_a_row_shorter_than_a_frame_keeps_one(tmp_path: Path) -> None:
    family = FAMILIES["wav2vec2-base"]
    _, encoder = open_encoder(family.save(family.build(), tmp_path, do_normalize=True))
    short, long = torch.randn(REACH - 15), torch.randn(900)
    alone, mask = encoder(*batch_of([short]))
    assert mask.tolist() == [[False]]
    padded, mask = encoder(*batch_of([short, long]))
    assert (~mask).sum(dim=1).tolist() == [1, (900 - REACH) // HOP + 1]
    torch.testing.assert_close(padded[0, :1], alone[0], **TIGHT)


@torch.no_grad()
def test_weights_of_old_names_and_half_precision_are_read(tmp_path: Path) -> None:
    family = FAMILIES["wav2vec2-base"]
    model = family.build()
    family.save(model.half(), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    ending = "pos_conv_embed.conv.parametrizations.weight.original"
    names = {
        f"{ending}0": "pos_conv_embed.conv.weight_g",
        f"{ending}1": "pos_conv_embed.conv.weight_v",
    }
    old = {
        next((key.replace(new, name) for new, name in names.items() if new in key), key): value
        for key, value in model.state_dict().items()
    }
    torch.save(old, tmp_path / "pytorch_model.bin")
    _, encoder = open_encoder(tmp_path)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    row = torch.randn(500)
    expected = own_features(family, model.float(), row)[-1]
    torch.testing.assert_close(encoder(*batch_of([row]))[0], expected, **TIGHT)


def open_whisper(folder: Path, padding: str) -> Encoder:
    card = describe_hf_audio(str(folder)).with_whisper_padding(padding)
    encoder = build_hf_audio(EncoderSpec(**card.to_state()))
    load_hf_audio(encoder, card)
    return encoder.eval()


@torch.no_grad()
def test_the_encoder_of_a_whisper_alone(tmp_path: Path) -> None:
    family = FAMILIES["whisper"]
    model = family.build(vocab_size=500)  # which is as wide as no tensor of the encoder
    place = family.save(model, tmp_path)
    weights = {name: x for name, x in model.state_dict().items() if name.startswith("encoder.")}
    save_file(weights, place / "model.safetensors", {"format": "pt"})
    _, encoder = open_encoder(place)
    row = torch.randn(family.lengths[0])
    expected = own_features(family, model, row)[-1]
    torch.testing.assert_close(encoder(*batch_of([row]))[0], expected, **TIGHT)
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**config, "vocab_size": 2**24}))
    with pytest.raises(UsageError, match=r"describes a model of more than .* numbers"):
        open_encoder(place)


@torch.no_grad()
def test_whisper_without_padding_is_transformers_own_for_full_length(tmp_path: Path) -> None:
    """And at any length it is the same model over fewer frames, after the same convolutions."""
    family = FAMILIES["whisper"]
    model = family.build()
    encoder = open_whisper(family.save(model, tmp_path), "none")
    assert encoder.padded_input == 0
    rows = [torch.randn(length) for length in family.lengths]
    padded, mask = encoder.layers(*batch_of(rows, width=max(family.lengths) + HOP))
    for number, row in enumerate(rows):
        n_frames = int((~mask[number]).sum())
        expected = own_features(family, model, row)
        is_full = len(row) == encoder.max_samples
        states = [expected[0][:, :n_frames]]
        for layer in model.encoder.layers:
            states.append(layer(states[-1], None))
        states[-1] = model.encoder.layer_norm(states[-1])
        for layer, own in zip(padded, expected if is_full else states, strict=True):
            torch.testing.assert_close(layer[number, :n_frames], own[0], **TIGHT)


def test_whisper_runs_no_layer_above_the_one_that_is_used(tmp_path: Path) -> None:
    family = FAMILIES["whisper"]
    family.save(family.build(), tmp_path)
    batch = dict(zip(("waveform", "padding_mask"), batch_of([torch.randn(999)]), strict=True))
    for padding in WHISPER_PADDINGS:
        everything = open_whisper(tmp_path, padding).layers(**batch)[0]
        for number in range(len(everything)):
            encoder = ModalityEncoder(open_whisper(tmp_path, padding), str(number)).eval()
            ran = []
            for layer in encoder.backbone.model.layers:  # type: ignore[union-attr]
                layer.register_forward_hook(lambda *_, ran=ran: ran.append(1))
            encoded, _ = encoder.encode(**batch)
            assert len(ran) == number
            assert torch.equal(encoded[:, :, 0], everything[number])


def test_whisper_with_noise_in_its_front_end_is_refused(tmp_path: Path) -> None:
    family = FAMILIES["whisper"]
    family.save(family.build(), tmp_path, dither=1e-5)
    with raises("preprocessor-mismatch"):
        build_hf_audio(describe_hf_audio(str(tmp_path)))


def test_whisper_refuses_what_is_longer_than_it_hears(tmp_path: Path) -> None:
    family = FAMILIES["whisper"]
    _, encoder = open_encoder(family.save(family.build(), tmp_path))
    with raises("audio-too-long"):
        encoder(*batch_of([torch.randn(17_600)]))
    # As much padding as a batch likes is no audio.
    encoder(*batch_of([torch.randn(100)], width=20_000))


def test_what_does_not_fit_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with raises("encoder-missing"):
        describe_hf_audio(str(tmp_path / "nothing"))
    bert = transformers.BertConfig(**{name: SIZE[name] for name in ("hidden_size",)})
    bert.save_pretrained(tmp_path / "bert")
    with raises("encoder-unsupported"):
        describe_hf_audio(str(tmp_path / "bert"))
    family = FAMILIES["wav2vec2-base"]
    family.save(family.build(), tmp_path / "8k", sampling_rate=8000)
    with raises("encoder-sample-rate"):
        describe_hf_audio(str(tmp_path / "8k"))
    (tmp_path / "8k" / "preprocessor_config.json").unlink()
    with raises("preprocessor-missing"):
        describe_hf_audio(str(tmp_path / "8k"))
    family.save(family.build(add_adapter=True), tmp_path / "adapter")
    with raises("encoder-unsupported"):
        build_hf_audio(describe_hf_audio(str(tmp_path / "adapter")))
    whisper = FAMILIES["whisper"]
    whisper.save(whisper.build(), tmp_path / "bands", feature_size=9)
    with raises("preprocessor-mismatch"):
        build_hf_audio(describe_hf_audio(str(tmp_path / "bands")))


def test_the_card_is_plain_and_knows_its_weights(tmp_path: Path) -> None:
    family = FAMILIES["wav2vec2-base"]
    cards = [
        describe_hf_audio(str(family.save(family.build(hidden_dropout=0.3), tmp_path / name)))
        for name in ("a", "b")
    ]
    assert cards[0].input == WAVEFORM
    assert cards[0].architecture == cards[1].architecture
    assert cards[0].weights != cards[1].weights
    assert cards[0].architecture["config"]["hidden_dropout"] == 0.3
    assert _are_plain(cards[0].architecture)


def _are_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _are_plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(_are_plain, value))
    return value is None or type(value) in (str, int, float, bool)
