"""Text encoders of Hugging Face: the library's own features, whatever the padding."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hf_folders
import pytest
import safetensors.torch
import torch
import transformers
from codes import raises
from torch import Tensor

from data_prep.tokens.hf_tokenizer import HuggingFaceTokenizer
from emo_fairseq import pretrained
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.encoder import Encoder

N_LAYERS, WIDTH, POSITIONS = 3, 16, 40
Folder = Callable[[str], Path]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    done: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in done:
            place = tmp_path_factory.mktemp("hf") / family
            done[family] = hf_folders.build(place, family)
        return done[family]

    return get


def load(place: Path) -> Encoder:
    card = pretrained.describe("text", f"hf:{place}")
    encoder = pretrained.build(card)
    pretrained.load(encoder, card)
    return encoder.eval()


def tokens_of(place: Path, *texts: str) -> list[Tensor]:
    tokenizer = HuggingFaceTokenizer(place)
    first = tokenizer.specials.init
    return [torch.tensor([first, *tokenizer.encode(text).tolist()]) for text in texts]


every_family = pytest.mark.parametrize("family", hf_folders.FAMILIES)


@every_family
def test_features_are_the_librarys_own(folder: Folder, family: str) -> None:
    place = folder(family)
    encoder = load(place)
    reference = transformers.AutoModel.from_pretrained(place).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    text = hf_folders.TEXTS[1]
    (tokens,) = tokens_of(place, text)
    own = tokenizer(text, return_tensors="pt")
    assert tokens.tolist() == own["input_ids"][0].tolist()
    with torch.no_grad():
        expected = reference(
            input_ids=own["input_ids"],
            attention_mask=own["attention_mask"],
            output_hidden_states=True,
        )
        layers, _ = encoder.layers(tokens[None], torch.zeros(1, len(tokens), dtype=torch.bool))
    assert len(layers) == N_LAYERS + 1 == encoder.n_layers + 1
    for ours, theirs in zip(layers, expected.hidden_states, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    torch.testing.assert_close(layers[-1], expected.last_hidden_state, atol=1e-5, rtol=0)
    assert encoder.embed_dim == WIDTH == layers[-1].size(2)


@every_family
def test_only_the_layers_up_to_the_chosen_one_run(folder: Folder, family: str) -> None:
    """And their states are those of a whole pass to the bit, of several rows with padding."""
    encoder = load(folder(family))
    rows = tokens_of(folder(family), "no", "i am so happy for you")
    pad = HuggingFaceTokenizer(folder(family)).specials.pad
    batch = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
    mask = torch.arange(batch.size(1)) >= torch.tensor([len(row) for row in rows])[:, None]
    n_runs: list[int] = []
    for block in encoder.blocks()[1:]:
        module = next(iter(block.children())) if type(block) is torch.nn.ModuleList else block
        module.register_forward_hook(lambda *_: n_runs.append(1))
    with torch.no_grad():
        whole, _ = encoder.layers(batch, mask)
        for top in range(N_LAYERS + 1):
            encoder.top_layer = top
            n_runs.clear()
            lower, _ = encoder.layers(batch, mask)
            assert len(lower) == top + 1
            assert all(map(torch.equal, lower, whole[: top + 1]))
            assert len(n_runs) == (N_LAYERS if family == "albert" else max(1, top))


def test_the_lower_layers_are_trained_as_in_a_whole_pass(folder: Folder) -> None:
    encoder = load(folder("bert"))
    tokens = torch.tensor([[5, 6, 7]])
    gradients = []
    for top in (None, 2):
        encoder.top_layer = top
        encoder.zero_grad()
        states, _ = encoder.layers(tokens, torch.zeros(1, 3, dtype=torch.bool))
        states[2].square().sum().backward()
        gradients.append({n: p.grad for n, p in encoder.named_parameters() if p.grad is not None})
    whole, lower = gradients
    assert whole.keys() == lower.keys()
    assert all(torch.equal(whole[name], lower[name]) for name in whole)


def test_attention_of_mpnet_is_fused_and_that_of_transformers(folder: Folder) -> None:
    """In evaluation, and in training without dropout, gradients included; with padding."""
    place = folder("mpnet")
    encoder, reference = load(place).train(), transformers.AutoModel.from_pretrained(place).train()
    for module in (*encoder.modules(), *reference.modules()):
        if hasattr(module, "p"):
            module.p = 0.0
    tokens = torch.tensor([[5, 6, 7, 8, 9], [7, 5, 9, 1, 1]])
    mask = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    fused = torch.nn.functional.scaled_dot_product_attention
    calls: list[int] = []

    def counted(*arguments: Any, **options: Any) -> Tensor:
        calls.append(1)
        return fused(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
        ours = encoder.layers(tokens, mask)[0][-1][~mask]
    assert len(calls) == N_LAYERS
    theirs = reference(input_ids=tokens, attention_mask=(~mask).long()).last_hidden_state[~mask]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    for states in (ours, theirs):
        (states * torch.arange(16)).sum().backward()
    expected = dict(reference.named_parameters())
    for name, parameter in encoder.model.named_parameters():
        assert parameter.grad is not None
        gradient = expected[name].grad
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-4, rtol=1e-4)


@every_family
def test_no_feature_depends_on_padding(folder: Folder, family: str) -> None:
    encoder = load(folder(family))
    rows = tokens_of(folder(family), "no", "i am so happy for you", "so what")
    width = max(map(len, rows)) + 4
    pad = HuggingFaceTokenizer(folder(family)).specials.pad
    batch = torch.full((len(rows), width), pad)
    for number, row in enumerate(rows):
        batch[number, : len(row)] = row
    mask = torch.arange(width) >= torch.tensor([len(row) for row in rows])[:, None]
    with torch.no_grad():
        together, _ = encoder(tokens=batch, padding_mask=mask)
        for number, row in enumerate(rows):
            alone, _ = encoder(tokens=row[None], padding_mask=torch.zeros(1, len(row)).bool())
            torch.testing.assert_close(together[number, : len(row)], alone[0], atol=1e-5, rtol=0)


@every_family
def test_blocks_hold_every_parameter_once(folder: Folder, family: str) -> None:
    encoder = load(folder(family))
    held = [id(p) for block in encoder.blocks() for p in block.parameters()]
    shared = family == "albert"  # by all layers
    assert len(encoder.blocks()) == (2 if shared else N_LAYERS + 1)
    assert sorted(held) == sorted({id(p) for p in encoder.parameters()})


def test_a_norm_after_the_layers_is_of_the_last_block(folder: Folder) -> None:
    """So that layer-wise learning rates and unfreezing take it as near to the output as it is."""
    encoder = load(folder("modernbert"))
    first, *_, last = encoder.blocks()
    norm = id(encoder.model.final_norm.weight)
    assert norm in map(id, last.parameters())
    assert norm not in map(id, first.parameters())


@pytest.mark.parametrize(
    ("family", "reach"),
    [
        *((family, 40) for family in ("bert", "deberta", "distilbert", "electra", "albert")),
        ("modernbert", 40),
        *((family, 38) for family in ("roberta", "mpnet", "camembert", "xlm-roberta")),
    ],
)
def test_the_card_says_how_far_positions_reach(folder: Folder, family: str, reach: int) -> None:
    place = folder(family)
    assert pretrained.describe("text", f"hf:{place}").max_tokens == reach
    encoder = load(place)
    tokens = torch.full((1, reach), 9)
    features, _ = encoder(tokens=tokens, padding_mask=torch.zeros(1, reach).bool())
    assert features.isfinite().all()


@every_family
def test_it_is_built_again_without_the_folder(folder: Folder, tmp_path: Path, family: str) -> None:
    place = shutil.copytree(folder(family), tmp_path / "model")
    card = pretrained.describe("text", f"hf:{place}")
    encoder = load(place)
    (tokens,) = tokens_of(place, "no no")
    shutil.rmtree(place)
    state = json.loads(json.dumps(card.to_state()))  # as a checkpoint would hold it
    again = pretrained.build(EncoderSpec(**state)).eval()
    again.load_state_dict(encoder.state_dict())
    mask = torch.zeros(1, len(tokens)).bool()
    torch.testing.assert_close(
        encoder(tokens=tokens[None], padding_mask=mask)[0],
        again(tokens=tokens[None], padding_mask=mask)[0],
    )
    with raises("encoder-missing"):
        pretrained.load(again, card)


def damage(place: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    file = place / "model.safetensors"
    weights = safetensors.torch.load_file(file)
    change(weights)
    safetensors.torch.save_file(weights, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", r"lacks 1 parameters \(encoder\.layer\.1\.output\.dense\.weight\)"),
        ("shape", r"has in another shape 1 parameters"),
        ("more", r"has, beside those of the model, 1 parameters \(surprise\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    folder: Folder, tmp_path: Path, how: str, message: str
) -> None:
    place = shutil.copytree(folder("bert"), tmp_path / "model")
    key = "encoder.layer.1.output.dense.weight"

    def change(weights: dict[str, Tensor]) -> None:
        if how == "missing":
            del weights[key]
        elif how == "more":
            weights["surprise"] = torch.zeros(3)
        else:
            weights[key] = torch.zeros(3, 3)

    damage(place, change)
    with pytest.raises(UsageError, match=message):
        load(place)


@pytest.mark.parametrize("junk", [b"", b"junk", b"\xff" * 64])
def test_weights_that_are_none_are_refused(folder: Folder, tmp_path: Path, junk: bytes) -> None:
    place = shutil.copytree(folder("bert"), tmp_path / "model")
    (place / "model.safetensors").write_bytes(junk)
    with raises("weights-unreadable"):
        load(place)


def test_weights_that_changed_since_are_refused(folder: Folder, tmp_path: Path) -> None:
    place = shutil.copytree(folder("bert"), tmp_path / "model")
    card = pretrained.describe("text", f"hf:{place}")
    encoder = pretrained.build(card)
    pretrained.load(encoder, card)
    damage(place, lambda weights: weights["encoder.layer.1.output.dense.weight"].add_(1))
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with pytest.raises(UsageError, match=f"^{place}: the weights there have changed .* former"):
        pretrained.load(encoder, card)
    assert all(torch.equal(before[name], v) for name, v in encoder.state_dict().items())


@pytest.mark.parametrize(
    ("family", "head"),
    [
        ("bert", "BertForPreTraining"),
        ("bert", "BertForSequenceClassification"),
        ("bert", "BertForQuestionAnswering"),
        ("roberta", "RobertaForMaskedLM"),
        ("xlm-roberta", "XLMRobertaForSequenceClassification"),
        ("mpnet", "MPNetForMaskedLM"),
        ("deberta", "DebertaV2ForMaskedLM"),
        ("deberta", "DebertaV2ForSequenceClassification"),
        ("distilbert", "DistilBertForMaskedLM"),
        ("distilbert", "DistilBertForSequenceClassification"),
        ("electra", "ElectraForPreTraining"),
        ("electra", "ElectraForMaskedLM"),
        ("albert", "AlbertForPreTraining"),
    ],
)
def test_heads_are_not_taken(folder: Folder, tmp_path: Path, family: str, head: str) -> None:
    place = shutil.copytree(folder(family), tmp_path / "model")
    config = transformers.AutoConfig.from_pretrained(place)
    whole = getattr(transformers, head)(config).eval()
    whole.save_pretrained(place)
    (tokens,) = tokens_of(place, "no no")
    with torch.no_grad():
        found, _ = load(place)(tokens=tokens[None], padding_mask=torch.zeros(1, len(tokens)).bool())
        expected = whole.base_model(tokens[None]).last_hidden_state
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_weights_in_half_precision_become_single(folder: Folder, tmp_path: Path) -> None:
    place = shutil.copytree(folder("bert"), tmp_path / "model")
    transformers.AutoModel.from_pretrained(place).half().save_pretrained(place)
    assert json.loads((place / "config.json").read_text())["dtype"] == "float16"
    card = pretrained.describe("text", f"hf:{place}")
    # As a checkpoint of an earlier version may have it.
    old = EncoderSpec(**{**card.to_state(), "architecture": {**card.architecture, "dtype": "half"}})
    for encoder in (load(place), pretrained.build(card), pretrained.build(old)):
        assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}


def test_shards_are_read_and_each_of_them_counts(folder: Folder, tmp_path: Path) -> None:
    place = shutil.copytree(folder("bert"), tmp_path / "model")
    whole = load(place)
    (place / "model.safetensors").unlink()
    model = transformers.AutoModel.from_pretrained(folder("bert"))
    model.save_pretrained(place, max_shard_size="8KB")
    shards = sorted(place.glob("model-*.safetensors"))
    assert len(shards) > 1
    for name, value in load(place).state_dict().items():
        assert torch.equal(value, whole.state_dict()[name])
    digest = pretrained.describe("text", f"hf:{place}").weights
    shards[-1].write_bytes(shards[-1].read_bytes() + b"x")
    assert pretrained.describe("text", f"hf:{place}").weights != digest
    shards[-1].unlink()
    with pytest.raises(UsageError, match=f"{shards[-1].name}: cannot be read"):
        pretrained.describe("text", f"hf:{place}")
    (place / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(UsageError, match=r"index.json: it is \[\] where a mapping"):
        pretrained.describe("text", f"hf:{place}")


@pytest.mark.parametrize(
    "config",
    [
        transformers.GPT2Config(n_embd=8, n_layer=1, n_head=1),
        transformers.T5Config(d_model=8, num_layers=1),
        transformers.BertConfig(is_decoder=True),
    ],
    ids=lambda config: config.model_type,
)
def test_what_is_no_text_encoder_is_refused(tmp_path: Path, config: Any) -> None:
    config.save_pretrained(tmp_path)
    with raises("encoder-unsupported"):
        pretrained.describe("text", f"hf:{tmp_path}")


def test_a_folder_that_cannot_be_described_is_refused(folder: Folder, tmp_path: Path) -> None:
    place = shutil.copytree(folder("bert"), tmp_path / "model")
    spec = f"hf:{place}"
    (place / "model.safetensors").rename(place / "kept")
    with raises("weights-missing"):
        pretrained.describe("text", spec)
    (place / "model.safetensors").mkdir()
    with raises("weights-unreadable"):
        pretrained.describe("text", spec)
    for file in place.glob("tokenizer*"):
        file.unlink()
    with raises("tokenizer-unreadable"):
        pretrained.describe("text", spec)
    (place / "config.json").write_text('{"model_type": "bert", "hidden_size": "wide"}')
    with raises("encoder-missing"):
        pretrained.describe("text", spec)


def test_a_pooler_is_neither_kept_nor_missed(folder: Folder, tmp_path: Path) -> None:
    place = shutil.copytree(folder("bert"), tmp_path / "model")
    assert not any("pooler" in name for name, _ in load(place).named_parameters())
    damage(place, lambda weights: [weights.pop(k) for k in list(weights) if "pooler" in k])
    load(place)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hf:{tmp}/nowhere", "there is no such folder"),
        ("hf:{tmp}/empty", "no model of Hugging Face there"),
        ("bert", "write hf:FOLDER, fairseq:CHECKPOINT, features:NAME or scratch:SIZE"),
        ("hf:", "is not understood"),
        ("torch:x", "is not understood"),
    ],
)
def test_a_spec_that_names_nothing_is_refused(
    toy_corpus: Path, tmp_path: Path, make_task: Callable[..., object], spec: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=message):
        make_task(toy_corpus, modality="text", text_encoder=spec.format(tmp=tmp_path))


def test_digests_tell_weights_apart(folder: Folder, tmp_path: Path) -> None:
    same = shutil.copytree(folder("bert"), tmp_path / "same")
    other = hf_folders.build(tmp_path / "other", "bert", seed=6)
    digests = [
        pretrained.describe("text", f"hf:{p}").weights for p in (folder("bert"), same, other)
    ]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("family", ["bert", "mpnet", "distilbert"])
def test_dropout_of_its_own_can_be_set_and_acts_in_training_alone(
    folder: Folder, family: str
) -> None:
    place = folder(family)
    card = pretrained.describe("text", f"hf:{place}")
    plain = load(place)
    changed = pretrained.build(card.with_dropout(0.37))
    pretrained.load(changed, card)
    batch = torch.stack([tokens_of(place, "so happy today")[0]] * 2)
    padding_mask = torch.zeros_like(batch, dtype=torch.bool)

    def features(encoder: Encoder) -> Tensor:
        torch.manual_seed(1)
        return encoder.layers(batch, padding_mask)[0][-1]

    before = {x.p for x in plain.modules() if isinstance(x, torch.nn.Dropout)}
    assert 0.37 not in before
    now = [x.p for x in changed.modules() if isinstance(x, torch.nn.Dropout)]
    assert len(now) > 2
    assert set(now) == {0.37}
    torch.testing.assert_close(features(changed.eval()), features(plain.eval()), rtol=0, atol=0)
    with_own, with_more = features(plain.train()), features(changed.train())
    assert not torch.equal(with_own, with_more)
    none = pretrained.build(card.with_dropout(0.0))
    pretrained.load(none, card)
    torch.testing.assert_close(features(none.train()), features(plain.eval()))
    assert card.with_dropout(None) is card
