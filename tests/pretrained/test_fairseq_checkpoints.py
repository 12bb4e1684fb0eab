"""Encoders from fairseq's checkpoints: the features are those of fairseq itself."""

import logging
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoints as tiny
import torch
import yaml
from codes import raises
from extended import all_but
from fairseq.models import BaseFairseqModel
from tiny_checkpoints import HOP, REACH, Tiny
from torch import Tensor, nn

from emo_fairseq import pretrained
from emo_fairseq.data.vocabulary import read_dictionary
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import TOKENS, WAVEFORM
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.modules.lora import add_lora, is_adapter
from emo_fairseq.pretrained.fairseq_checkpoints import (
    build_fairseq,
    describe_fairseq,
    load_fairseq,
)

TIGHT = {"atol": 1e-5, "rtol": 1e-5}


def roberta_features(model: Any, tokens: Tensor) -> list[Tensor]:
    features, extra = model(tokens, features_only=True, return_all_hiddens=True)
    return [*[state.transpose(0, 1) for state in extra["inner_states"][:-1]], features]


def wav2vec2_features(model: Any, waveform: Tensor) -> list[Tensor]:
    found = model.extract_features(waveform, None)
    inside = [state.transpose(0, 1) for state, _, _ in found["layer_results"]]
    return [*inside[:-1], found["x"]]


def hubert_features(model: Any, waveform: Tensor) -> list[Tensor]:
    return [
        *(model.extract_features(waveform, output_layer=n)[0] for n in (1, 2)),
        model.extract_features(waveform)[0],
    ]


def data2vec2_features(model: Any, waveform: Tensor) -> list[Tensor]:
    result = model.extract_features(waveform, mode="AUDIO")
    extra = model.cfg.modalities.audio.num_extra_tokens
    return [*(state[:, extra:] for state in result["layer_results"][:-1]), result["x"]]


def wav2vec_features(model: Any, waveform: Tensor) -> list[Tensor]:
    frames = model.feature_extractor(waveform)
    if model.vector_quantizer is not None:
        frames = model.vector_quantizer(frames)["x"]
    return [frames.transpose(1, 2), model.feature_aggregator(frames).transpose(1, 2)]


@dataclass(frozen=True)
class Family:
    """How to build a tiny one, and what fairseq says of a row without padding."""

    build: Callable[[], Tiny]
    features: Callable[[Any, Tensor], list[Tensor]]
    modality: str = "speech"

    @property
    def lengths(self) -> Sequence[int]:
        """One of them as short as can be; two that differ by less than a frame."""
        if self.features is roberta_features:
            return (12, 3, 7, 8)
        return (1003, REACH, 31 * HOP, 31 * HOP + 7, 500)

    def row(self, length: int) -> Tensor:
        if self.features is roberta_features:
            return torch.randint(4, 21, (length,))
        return torch.randn(length) + 0.5

    @property
    def garbage(self) -> float:
        return 1 if self.features is roberta_features else 7.0


FAMILIES = {
    "roberta": Family(tiny.roberta, roberta_features, "text"),
    "speech-bert": Family(
        lambda: tiny.roberta("roberta", n_symbols=24, activation_fn="relu"),
        roberta_features,
        "speech",
    ),
    "roberta-prenorm": Family(lambda: tiny.roberta("roberta_prenorm"), roberta_features, "text"),
    "wav2vec2-base": Family(tiny.wav2vec2, wav2vec2_features),
    "wav2vec2-large": Family(
        lambda: tiny.wav2vec2(extractor_mode="layer_norm", conv_bias=True, layer_norm_first=True),
        wav2vec2_features,
    ),
    "wav2vec2-no-projection": Family(
        lambda: tiny.wav2vec2(encoder_embed_dim=8, conv_pos=7), wav2vec2_features
    ),
    "hubert-base": Family(tiny.hubert, hubert_features),
    "hubert-large": Family(
        lambda: tiny.hubert(extractor_mode="layer_norm", layer_norm_first=True), hubert_features
    ),
    "hubert-batch-norm": Family(lambda: tiny.hubert(conv_pos_batch_norm=True), hubert_features),
    "data2vec": Family(lambda: tiny.data2vec(normalize=False), wav2vec2_features),
    "data2vec-equal-widths": Family(
        lambda: tiny.data2vec(normalize=False, encoder_embed_dim=8), wav2vec2_features
    ),
    "data2vec2": Family(tiny.data2vec2, data2vec2_features),
    "emotion2vec": Family(
        lambda: tiny.data2vec2(
            audio={
                "num_extra_tokens": 3,
                "learned_alibi_scale_per_layer": True,
                "num_alibi_heads": 4,
            }
        ),
        data2vec2_features,
    ),
    "data2vec2-pre-norm": Family(
        lambda: tiny.data2vec2(
            audio={
                "prenet_depth": 0,
                "extractor_mode": "default",
                "learned_alibi_scale_per_head": False,
            },
            layer_norm_first=True,
            num_heads=4,
        ),
        data2vec2_features,
    ),
    "data2vec2-without-alibi": Family(
        lambda: tiny.data2vec2(
            audio={"use_alibi_encoder": False, "num_extra_tokens": 1}, norm_affine=False
        ),
        data2vec2_features,
    ),
    "wav2vec": Family(tiny.wav2vec, wav2vec_features),
    "wav2vec-large": Family(
        lambda: tiny.wav2vec(skip_connections_feat=True, agg_zero_pad=True, activation="gelu"),
        wav2vec_features,
    ),
    "vq-wav2vec-kmeans": Family(
        lambda: tiny.wav2vec(vq_type="kmeans", vq_vars=5, combine_groups=True), wav2vec_features
    ),
    "vq-wav2vec-gumbel": Family(
        lambda: tiny.wav2vec(vq_type="gumbel", vq_vars=5, vq_depth=2, vq_temp=[2, 0.5, 0.9]),
        wav2vec_features,
    ),
}
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
# One of each kind of encoder, and of what is built otherwise: quantizers, norms, alibi.
KINDS = {
    "roberta",
    "wav2vec2-base",
    "hubert-batch-norm",
    "data2vec",
    "emotion2vec",
    "data2vec2-without-alibi",
    "wav2vec",
    "vq-wav2vec-gumbel",
}
every_kind = pytest.mark.parametrize("family", all_but(KINDS, FAMILIES))
some_families = pytest.mark.parametrize(
    "family", [FAMILIES[name] for name in ("roberta", "hubert-base", "data2vec", "wav2vec")]
)


def open_encoder(place: Path | str, modality: str) -> tuple[EncoderSpec, Encoder]:
    card = describe_fairseq(place, modality)
    encoder = build_fairseq(card)
    load_fairseq(encoder, card)
    return card, encoder.eval()


def batch_of(family: Family, rows: Sequence[Tensor], width: int = 0) -> tuple[Tensor, Tensor]:
    width = max(width, *(len(row) for row in rows))
    batch = rows[0].new_full((len(rows), width), family.garbage)
    mask = torch.ones(batch.shape, dtype=torch.bool)
    for number, row in enumerate(rows):
        batch[number, : len(row)] = row
        mask[number, : len(row)] = False
    return batch, mask


@every_family
@torch.no_grad()
def test_features_are_fairseqs_own_whatever_the_padding(family: Family, tmp_path: Path) -> None:
    checkpoint = family.build()
    _, encoder = open_encoder(checkpoint.save(tmp_path / "tiny.pt"), family.modality)
    rows = [family.row(length) for length in family.lengths]
    padded, mask = encoder.layers(*batch_of(family, rows, width=max(family.lengths) + HOP))
    assert len(padded) == encoder.n_layers + 1
    for number, row in enumerate(rows):
        alone, alone_mask = encoder.layers(*batch_of(family, [row]))
        assert not alone_mask.any()
        for layer, layer_alone in zip(padded, alone, strict=True):
            assert layer.shape[2] == encoder.embed_dim
            torch.testing.assert_close(layer[number, ~mask[number]], layer_alone[0], **TIGHT)
        expected = family.features(checkpoint.model, row[None])
        torch.testing.assert_close(alone[-1], expected[-1], **TIGHT)


@every_family
@torch.no_grad()
def test_every_layer_is_fairseqs_own(family: Family, tmp_path: Path) -> None:
    checkpoint = family.build()
    _, encoder = open_encoder(checkpoint.save(tmp_path / "tiny.pt"), family.modality)
    row = family.row(family.lengths[0])
    found, _ = encoder.layers(*batch_of(family, [row]))
    expected = family.features(checkpoint.model, row[None])
    if family.features is wav2vec_features:
        found = [found[0], found[-1]]
    for ours, theirs in zip(found[-len(expected) :], expected, strict=True):
        torch.testing.assert_close(ours, theirs, **TIGHT)


@every_kind
def test_card_state_and_weights_rebuild_it_without_the_file(family: Family, tmp_path: Path) -> None:
    file = family.build().save(tmp_path / "tiny.pt")
    card, encoder = open_encoder(file, family.modality)
    file.unlink()
    torch.save({"card": card.to_state(), "model": encoder.state_dict()}, tmp_path / "ours.pt")
    saved = torch.load(tmp_path / "ours.pt", weights_only=True)
    again = build_fairseq(EncoderSpec(**saved["card"])).eval()
    again.load_state_dict(saved["model"])
    batch = batch_of(family, [family.row(length) for length in family.lengths])
    with torch.no_grad():
        assert torch.equal(encoder(*batch)[0], again(*batch)[0])


@every_kind
def test_blocks_hold_every_parameter_once(family: Family, tmp_path: Path) -> None:
    _, encoder = open_encoder(family.build().save(tmp_path / "tiny.pt"), family.modality)
    blocks = encoder.blocks()
    assert len(blocks) == encoder.n_layers + 1
    found = [parameter for block in blocks for parameter in block.parameters()]
    assert len(found) == len(set(found))
    assert set(found) == set(encoder.parameters())


@every_kind
def test_gradient_reaches_every_parameter_that_is_trained(family: Family, tmp_path: Path) -> None:
    _, encoder = open_encoder(family.build().save(tmp_path / "tiny.pt"), family.modality)
    features, mask = encoder.train()(
        *batch_of(family, [family.row(length) for length in family.lengths])
    )
    (features[~mask] * torch.randn_like(features[~mask])).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert not parameter.requires_grad or parameter.grad is not None, name
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


FORMS = {
    f"{style}-{name}": (style, name)
    for style in ("args", "cfg", "omegaconf")
    for name in ("roberta", "hubert-base", "data2vec", "emotion2vec", "wav2vec")
}


@pytest.mark.parametrize(
    ("style", "name"),
    all_but(
        {"args-roberta", "args-wav2vec", "omegaconf-data2vec", "omegaconf-hubert-base"}
        | {form for form in FORMS if form.startswith("cfg")},
        FORMS,
    ),
)
def test_every_form_of_configuration_is_read(style: str, name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    checkpoint = family.build()
    card, encoder = open_encoder(checkpoint.save(tmp_path / "x.pt", style), family.modality)
    assert card == EncoderSpec(**card.to_state())
    row = family.row(family.lengths[0])
    with torch.no_grad():
        found, _ = encoder(*batch_of(family, [row]))
        expected = family.features(checkpoint.model, row[None])[-1]
    torch.testing.assert_close(found, expected, **TIGHT)


@some_families
def test_a_missing_weight_or_another_shape_is_refused(family: Family, tmp_path: Path) -> None:
    checkpoint = family.build()
    card, encoder = open_encoder(checkpoint.save(tmp_path / "tiny.pt"), family.modality)
    weights = dict(checkpoint.model.state_dict())
    name = next(name for name in reversed(weights) if "layers.1." in name and "bias" in name)
    less = {key: value for key, value in weights.items() if key != name}
    own = name.removeprefix("encoder.") if card.input == TOKENS else name
    for changed, message in (
        (less, f"lacks 1 parameters \\({own}\\)"),
        ({**weights, name: torch.zeros(3)}, f"has in another shape 1 parameters \\({own}\\)"),
        ({**weights, "adapter.weight": torch.zeros(3)}, "beside.* 1 parameters \\(adapter.weight"),
    ):
        checkpoint.save(tmp_path / "tiny.pt", weights=changed)
        with pytest.raises(UsageError, match=message):
            load_fairseq(encoder, card)


def test_skipped_weights_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tiny.roberta().save(tmp_path / "tiny.pt")
    with caplog.at_level(logging.INFO, "emo_fairseq"):
        open_encoder(file, "text")
    (message,) = [m for m in caplog.messages if "skipped" in m]
    assert "6 entries" in message
    assert "lm_head.weight" in message


def test_a_gumbel_quantizer_stays_cool_in_training(tmp_path: Path) -> None:
    """fairseq's trainer tells a model the number of updates before each of them."""
    checkpoint = FAMILIES["vq-wav2vec-gumbel"].build()
    _, encoder = open_encoder(checkpoint.save(tmp_path / "tiny.pt"), "speech")
    model = BaseFairseqModel()
    model.encoder = encoder
    for updates in (0, 5000):
        model.set_num_updates(updates)
        assert encoder.vector_quantizer.curr_temp == 0.5


# -- RoBERTa ---------------------------------------------------------------------------------------


@torch.no_grad()
def test_roberta_of_2019_is_read(tmp_path: Path) -> None:
    checkpoint = tiny.roberta()
    weights = tiny.as_decoder(checkpoint.model.state_dict())
    assert "decoder.sentence_encoder.layers.0.self_attn.in_proj_weight" in weights
    file = checkpoint.save(tmp_path / "model.pt", weights=weights, zipped=False)
    _, encoder = open_encoder(file.parent, "text")
    tokens = torch.randint(4, 21, (1, 9))
    found, _ = encoder.layers(tokens, torch.zeros(1, 9, dtype=torch.bool))
    expected = roberta_features(checkpoint.model, tokens)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, **TIGHT)


def test_roberta_knows_its_symbols_and_its_limit(tmp_path: Path) -> None:
    tiny.roberta(n_symbols=20).save(tmp_path / "model.pt")
    card = describe_fairseq(str(tmp_path), "text")
    assert (card.input, card.kind, card.source) == (TOKENS, "fairseq", str(tmp_path))
    assert (card.vocabulary_size, card.max_tokens) == (21, 12)
    assert card.vocabulary_digest == ""
    tiny.dictionary(20).save(str(tmp_path / "dict.txt"))
    digest = read_dictionary(tmp_path / "dict.txt").digest
    assert describe_fairseq(tmp_path, "text").vocabulary_digest == digest
    assert describe_fairseq(tmp_path / "model.pt", "text").vocabulary_digest == digest
    tiny.dictionary(22).save(str(tmp_path / "dict.txt"))
    with raises("vocabulary-mismatch"):
        describe_fairseq(tmp_path, "text")


def test_roberta_keeps_its_dropout(tmp_path: Path) -> None:
    file = tiny.roberta(dropout=0.3, attention_dropout=0.25).save(tmp_path / "tiny.pt")
    size = describe_fairseq(file, "text").architecture["size"]
    assert (size["dropout"], size["attention_dropout"]) == (0.3, 0.25)


@pytest.mark.parametrize(
    "name", ["roberta", "wav2vec2-base", "hubert-base", "emotion2vec", "wav2vec"]
)
def test_every_dropout_of_its_own_can_be_set(name: str, tmp_path: Path) -> None:
    """fairseq keeps some as modules and others as numbers that it hands to functions."""
    family = FAMILIES[name]
    place = family.build().save(tmp_path / "tiny.pt")
    card = describe_fairseq(place, family.modality)
    plain, none = (build_fairseq(card.with_dropout(p)) for p in (None, 0.0))
    changed = build_fairseq(card.with_dropout(0.37))
    for encoder in (plain, none, changed):
        load_fairseq(encoder, card)
    fixed = {name for name, x in plain.named_modules() if "feature_extractor.conv" in name}
    values = {float(x.p) for n, x in changed.named_modules() if hasattr(x, "p") and n not in fixed}
    assert values == {0.37}, "but for convolutions, where fairseq itself has 0"
    assert {float(x.p) for x in none.modules() if hasattr(x, "p")} == {0.0}
    batch = batch_of(family, [family.row(length) for length in family.lengths[:2]])

    def features(encoder: Encoder) -> Tensor:
        torch.manual_seed(1)
        return encoder.layers(*batch)[0][-1]

    assert torch.equal(features(changed.eval()), features(plain.eval()))
    assert not torch.equal(features(changed.train()), features(changed.eval()))


# -- wav2vec 2.0 and its kin -----------------------------------------------------------------------


@pytest.mark.parametrize("build", [tiny.wav2vec2, tiny.hubert, tiny.data2vec])
@torch.no_grad()
def test_rows_are_normalized_if_the_task_says_so(
    build: Callable[..., Tiny], tmp_path: Path
) -> None:
    family = Family(build, wav2vec2_features)
    checkpoint = build(normalize=True, conv_bias=True)  # else the first norm undoes any scale
    card, encoder = open_encoder(checkpoint.save(tmp_path / "tiny.pt"), "speech")
    assert card.architecture["normalize"]
    rows = [0.01 * family.row(length) for length in (700, 300)]  # so quiet that epsilon matters
    features, mask = encoder(*batch_of(family, rows))
    for number, row in enumerate(rows):
        normal = nn.functional.layer_norm(row, row.shape)
        expected = checkpoint.model.extract_features(normal[None], None)
        expected = expected["x"] if isinstance(expected, dict) else expected[0]
        torch.testing.assert_close(features[number, ~mask[number]], expected[0], **TIGHT)


@pytest.mark.parametrize("inner", ["args", "cfg"])
@pytest.mark.parametrize("style", ["args", "cfg"])
@torch.no_grad()
def test_of_a_fine_tuned_model_the_pretrained_part_is_taken(
    inner: str, style: str, tmp_path: Path
) -> None:
    pretrained = tiny.wav2vec2(normalize=True)
    file = tiny.fine_tuned(pretrained, inner).save(tmp_path / "ctc.pt", style)
    card, encoder = open_encoder(file, "speech")
    assert card.architecture["normalize"]
    row = torch.randn(1, 600)
    found, _ = encoder(row, torch.zeros_like(row, dtype=torch.bool))
    normal = nn.functional.layer_norm(row, row.shape)
    torch.testing.assert_close(found, wav2vec2_features(pretrained.model, normal)[-1], **TIGHT)


def test_a_fine_tuned_model_without_the_inner_configuration_is_refused(tmp_path: Path) -> None:
    checkpoint = tiny.fine_tuned(tiny.wav2vec2(), "cfg")
    checkpoint.args.w2v_args = None
    with raises("checkpoint-without-model"):
        describe_fairseq(checkpoint.save(tmp_path / "ctc.pt"), "speech")


def test_data2vecs_teacher_is_not_taken(tmp_path: Path) -> None:
    checkpoint = tiny.data2vec()
    assert isinstance(checkpoint.model, tiny.Data2Vec)
    open_encoder(checkpoint.save(tmp_path / "x.pt", weights=checkpoint.model.weights()), "speech")


# -- data2vec 2.0 and emotion2vec ------------------------------------------------------------------


def test_weights_of_data2vec2_are_named_as_here(tmp_path: Path) -> None:
    checkpoint = tiny.data2vec2()
    card, encoder = open_encoder(checkpoint.save(tmp_path / "x.pt"), "speech")
    weights = dict(checkpoint.model.state_dict())
    assert "_ema" in weights
    packed = weights.pop("blocks.0.attn.qkv.weight")
    own = r"transformer_layers\.1\.k_proj\.weight, .*q_proj\.weight, .*v_proj\.weight"
    checkpoint.save(tmp_path / "x.pt", weights=weights)
    with pytest.raises(UsageError, match=rf"lacks 3 parameters \({own}\)"):
        load_fairseq(encoder, card)
    layer = encoder.get_submodule("transformer_layers.1")
    rows = [layer.get_parameter(f"{part}_proj.weight") for part in "qkv"]
    assert torch.equal(torch.cat(rows), packed)


def save_as_funasr(checkpoint: Tiny, folder: Path, **config: Any) -> Path:
    """Write weights with a prefix and a classifier, and the options in config.yaml beside them."""
    weights = dict(checkpoint.model.state_dict())
    del weights["_ema"]
    folder.mkdir(exist_ok=True)
    named = {f"d2v_model.{name}": value for name, value in weights.items()}
    proj = {"proj.weight": torch.zeros(9, 24), "proj.bias": torch.zeros(9)}
    torch.save({"model": {**named, **proj}}, folder / "model.pt")
    options = {name: value for name, value in vars(checkpoint.args).items() if name != "task"}
    content = {
        "model": "Emotion2vec",
        "model_conf": {**options, "loss_scale": None},
        "tokenizer": "CharTokenizer",
        "scope_map": ["d2v_model.", "none"],
        **config,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.mark.parametrize("normalize", [False, True])
@torch.no_grad()
def test_emotion2vec_of_funasr_is_that_of_fairseq(
    normalize: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = tiny.data2vec2(normalize, audio={"num_extra_tokens": 3})
    card, encoder = open_encoder(checkpoint.save(tmp_path / "x.pt"), "speech")
    folder = save_as_funasr(checkpoint, tmp_path / "funasr")
    with caplog.at_level(logging.INFO, "emo_fairseq"):
        other, same = open_encoder(folder, "speech")
    assert other.architecture == card.architecture
    assert any("proj.weight" in message for message in caplog.messages)
    batch = batch_of(FAMILIES["emotion2vec"], [torch.randn(700), torch.randn(300)])
    for expected, found in zip(encoder.layers(*batch)[0], same.layers(*batch)[0], strict=True):
        assert torch.equal(expected, found)


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"model": "Paraformer"}, "encoder-unsupported"),
        ({"scope_map": ["encoder.", "blocks."]}, "encoder-unsupported"),
        ({"scope_map": ["encoder."]}, "encoder-unsupported"),
        ({"model_conf": {"depth": 10**7}}, "size-out-of-range"),
        ({"model_conf": 3}, "document-invalid"),
    ],
)
def test_other_models_of_funasr_are_refused(
    config: dict[str, Any], code: str, tmp_path: Path
) -> None:
    folder = save_as_funasr(tiny.data2vec2(), tmp_path / "funasr", **config)
    with pytest.raises(UsageError, match="config.yaml: ") as error:
        describe_fairseq(folder, "speech")
    assert error.value.code == code
    (folder / "config.yaml").unlink()
    with pytest.raises(UsageError, match="FunASR in config.yaml beside it"):
        describe_fairseq(folder, "speech")


@pytest.mark.parametrize("name", ["learned_alibi", "conv_pos_pre_ln"])
def test_branches_of_other_forms_are_refused(name: str, tmp_path: Path) -> None:
    checkpoint = tiny.data2vec2()
    audio = checkpoint.args.modalities["audio"]
    checkpoint.args.modalities = {"audio": {**audio, name: True}}
    with raises("encoder-unsupported") as error:
        describe_fairseq(checkpoint.save(tmp_path / "x.pt"), "speech")
    assert name in str(error.value)


def test_a_data2vec2_without_audio_is_refused(tmp_path: Path) -> None:
    checkpoint = tiny.data2vec2()
    text = {name.replace("AUDIO", "TEXT"): x for name, x in checkpoint.model.state_dict().items()}
    with raises("encoder-modality"):
        describe_fairseq(checkpoint.save(tmp_path / "x.pt", weights=text), "speech")


def test_data2vec2_is_adapted_by_lora_at_its_queries_and_values(tmp_path: Path) -> None:
    _, encoder = open_encoder(tiny.data2vec2().save(tmp_path / "x.pt"), "speech")
    batch = batch_of(FAMILIES["data2vec2"], [torch.randn(700), torch.randn(300)])
    with torch.no_grad():
        before = encoder(*batch)[0]
    adapted = add_lora(encoder, ["query", "value"], rank=2, alpha=4.0, dropout=0.0)
    assert len(adapted) == 2 * encoder.n_layers
    features, mask = encoder(*batch)
    torch.testing.assert_close(features.detach(), before, **TIGHT)
    features[~mask].square().sum().backward()
    updates = {name: x for name, x in encoder.named_parameters() if is_adapter(name)}
    assert updates
    for name, parameter in updates.items():
        assert (parameter.grad is not None) == ("lora" in name), name


def test_a_row_shorter_than_a_frame_keeps_one(tmp_path: Path) -> None:
    _, encoder = open_encoder(tiny.wav2vec2(normalize=True).save(tmp_path / "x.pt"), "speech")
    family = FAMILIES["wav2vec2-base"]
    short, long = family.row(REACH - 15), family.row(900)
    alone, mask = encoder(*batch_of(family, [short]))
    assert mask.tolist() == [[False]]
    padded, mask = encoder(*batch_of(family, [short, long]))
    assert (~mask).sum(dim=1).tolist() == [1, (900 - REACH) // HOP + 1]
    torch.testing.assert_close(padded[0, :1], alone[0], **TIGHT)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_training_draws_for_dropout_only(batch_norm: bool, tmp_path: Path) -> None:
    """No layer is dropped, no span masked: without dropout, training is evaluation."""
    names = ("dropout", "attention_dropout", "activation_dropout", "dropout_input")
    none = dict.fromkeys(names, 0.0)
    checkpoint = tiny.hubert(**none, conv_pos_batch_norm=batch_norm)
    card, encoder = open_encoder(checkpoint.save(tmp_path / "x.pt"), "speech")
    batch = batch_of(FAMILIES["hubert-base"], [torch.randn(600), torch.randn(200)])
    mask = encoder(*batch)[1]
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    torch.testing.assert_close(
        encoder.train()(*batch)[0][~mask], encoder.eval()(*batch)[0][~mask], **TIGHT
    )
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    card.architecture["options"]["dropout"] = 0.5  # it is the card's to change
    encoder = build_fairseq(card).train()
    assert not torch.equal(encoder(*batch)[0], encoder(*batch)[0])


@pytest.mark.parametrize("name", ["dropout", "dropout_features", "dropout_agg"])
def test_every_dropout_of_wav2vec_acts(name: str, tmp_path: Path) -> None:
    _, encoder = open_encoder(tiny.wav2vec(**{name: 0.5}).save(tmp_path / "x.pt"), "speech")
    batch = batch_of(FAMILIES["wav2vec"], [torch.randn(600), torch.randn(200)])
    assert torch.equal(encoder(*batch)[0], encoder(*batch)[0])
    encoder.train()
    assert not torch.equal(encoder(*batch)[0], encoder(*batch)[0])


def test_half_precision_runs(tmp_path: Path) -> None:
    _, encoder = open_encoder(tiny.wav2vec2(normalize=True).save(tmp_path / "x.pt"), "speech")
    family = FAMILIES["wav2vec2-base"]
    waveform, mask = batch_of(family, [family.row(700), family.row(300)])
    single, frame_mask = encoder(waveform, mask)
    half, _ = encoder.bfloat16()(waveform.bfloat16(), mask)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float()[~frame_mask], single[~frame_mask], atol=0.2, rtol=0.1)


# -- what is refused -------------------------------------------------------------------------------


def test_what_is_no_checkpoint_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with raises("checkpoint-missing"):
        describe_fairseq(tmp_path, "speech")
    file = tiny.wav2vec2().save(tmp_path / "model.pt")
    for content in (b"", b"hello", b"\x80\x02hello", file.read_bytes()[:5000]):
        file.write_bytes(content)
        with pytest.raises(
            UsageError,
            match="model.pt: (cannot be read as a checkpoint|no checkpoint|is cut short)",
        ):
            describe_fairseq(tmp_path, "speech")
    for state in ({"weight": torch.zeros(2)}, [1], {"cfg": {}, "model": {}}):
        torch.save(state, file)
        with raises("checkpoint-without-model"):
            describe_fairseq(tmp_path, "speech")


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    checkpoint = tiny.wav2vec2()
    checkpoint.extra = {"task_state": {"dictionaries": [Evil()]}}
    with raises("checkpoint-unsafe"):
        describe_fairseq(checkpoint.save(tmp_path / "model.pt"), "speech")
    assert not (tmp_path / "ran").exists()


def test_convolutions_are_never_evaluated_as_code(tmp_path: Path) -> None:
    checkpoint = tiny.wav2vec2()
    target = tmp_path / "ran"
    checkpoint.args.conv_feature_layers = f"[(8, 10, 5)] if open({str(target)!r}, 'w') else []"
    with raises("convolutions-syntax"):
        describe_fairseq(checkpoint.save(tmp_path / "model.pt"), "speech")
    assert not target.exists()


def test_a_model_of_another_kind_or_for_another_modality_is_refused(tmp_path: Path) -> None:
    checkpoint = tiny.roberta()
    checkpoint.args = Namespace(**{**vars(checkpoint.args), "arch": "transformer_lm_gpt"})
    with raises("encoder-unsupported"):
        describe_fairseq(checkpoint.save(tmp_path / "lm.pt"), "text")
    with raises("encoder-modality"):
        describe_fairseq(tiny.wav2vec2().save(tmp_path / "w.pt"), "text")
    with raises("encoder-unsupported"):
        describe_fairseq(tiny.wav2vec2(quantize_input=True).save(tmp_path / "w.pt"), "speech")
    with raises("encoder-unsupported"):
        describe_fairseq(tiny.wav2vec(aggregator="gru").save(tmp_path / "w.pt"), "speech")
    other_rate = tiny.wav2vec2()
    other_rate.args.sample_rate = 8000
    with raises("encoder-sample-rate"):
        describe_fairseq(other_rate.save(tmp_path / "w.pt"), "speech")


def test_the_digest_is_of_the_file(tmp_path: Path) -> None:
    first = describe_fairseq(tiny.wav2vec2().save(tmp_path / "a.pt"), "speech")
    other = describe_fairseq(tiny.wav2vec2().save(tmp_path / "b.pt"), "speech")
    assert first.input == WAVEFORM
    assert len(first.weights) == 64
    assert first.weights != other.weights
    assert first.architecture == other.architecture


def test_a_checkpoint_that_changed_since_is_refused(tmp_path: Path) -> None:
    tiny.roberta().save(tmp_path / "model.pt")
    card = pretrained.describe("text", f"fairseq:{tmp_path}")
    encoder = pretrained.build(card)
    pretrained.load(encoder, card)
    tiny.roberta().save(tmp_path / "model.pt")
    with pytest.raises(UsageError, match=f"^{tmp_path}: the weights there have changed"):
        pretrained.load(encoder, card)
    (tmp_path / "model.pt").unlink()
    with raises("checkpoint-missing"):
        pretrained.load(encoder, card)
