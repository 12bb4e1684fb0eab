"""Text encoders of Hugging Face: the library's own features, whatever the padding."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import hf_folders
import pytest
import safetensors.torch
import torch
import transformers
from torch import Tensor

from data_prep.hf_tokenizer import HuggingFaceTokenizer
from emo_fairseq import pretrained
from emo_fairseq.encoder_card import EncoderCard
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
    assert len(encoder.blocks()) == N_LAYERS + 1
    assert sorted(held) == sorted({id(p) for p in encoder.parameters()})


@pytest.mark.parametrize(
    ("family", "reach"), [("bert", 40), ("roberta", 38), ("mpnet", 38), ("deberta", 40)]
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
    again = pretrained.build(EncoderCard(**state)).eval()
    again.load_state_dict(encoder.state_dict())
    mask = torch.zeros(1, len(tokens)).bool()
    torch.testing.assert_close(
        encoder(tokens=tokens[None], padding_mask=mask)[0],
        again(tokens=tokens[None], padding_mask=mask)[0],
    )
    with pytest.raises(UsageError, match="weights cannot be read"):
        pretrained.load(again, card)


def damage(place: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    file = place / "model.safetensors"
    weights = safetensors.torch.load_file(file)
    change(weights)
    safetensors.torch.save_file(weights, file, metadata={"format": "pt"})


@pytest.mark.parametrize("how", ["missing", "shape"])
def test_weights_that_do_not_fit_are_refused(folder: Folder, tmp_path: Path, how: str) -> None:
    place = shutil.copytree(folder("bert"), tmp_path / "model")
    key = "encoder.layer.1.output.dense.weight"

    def change(weights: dict[str, Tensor]) -> None:
        if how == "missing":
            del weights[key]
        else:
            weights[key] = torch.zeros(3, 3)

    damage(place, change)
    with pytest.raises(UsageError, match=r"hf:.*model: the weights .*"):
        load(place)


def test_a_pooler_is_neither_kept_nor_missed(folder: Folder, tmp_path: Path) -> None:
    place = shutil.copytree(folder("bert"), tmp_path / "model")
    assert not any("pooler" in name for name, _ in load(place).named_parameters())
    damage(place, lambda weights: [weights.pop(k) for k in list(weights) if "pooler" in k])
    load(place)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hf:{tmp}/nowhere", "no model of Hugging Face there"),
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
