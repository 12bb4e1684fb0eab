"""A waveform encoder whose front end or lower layers are frozen, through fairseq's own tools."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from codes import raises
from fairseq import checkpoint_utils
from fairseq_process import Finished

from data_prep.schema import read_manifest
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.predictions import PROBABILITY
from emo_fairseq.export.model_folder import write_model_folder
from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.tasks.predicting import batches_of, run

transformers = pytest.importorskip("transformers")

OPTIONS = """--modality speech --max-speech-seconds 0.5 --seed 3
    --arch robertaEMO_tiny --criterion emotion_classification --lr 0.003 --optimizer emotion_adamw
    --clip-norm 1.0 --batch-size 8 --no-epoch-checkpoints --embedding-dim 16"""
FLOAT32 = "--cache-dtype float32"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny wav2vec 2.0 with dropout, as `save_pretrained` writes it."""
    place = tmp_path_factory.mktemp("wav2vec2")
    torch.manual_seed(2)
    config = transformers.Wav2Vec2Config(
        hidden_size=16,
        vocab_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=(8, 8, 8),
        conv_kernel=(10, 8, 8),
        conv_stride=(5, 8, 8),
        num_feat_extract_layers=3,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
    )
    transformers.Wav2Vec2Model(config).save_pretrained(place)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(place)
    return place


@pytest.fixture
def data(copy_toy: Callable[..., Path]) -> Path:
    """The toy corpus, in a folder of this test."""
    return copy_toy()


@pytest.fixture
def train(
    fairseq: Callable[..., Finished],
    commands: dict[str, str],
    data: Path,
    folder: Path,
    tmp_path: Path,
) -> Callable[..., Path]:
    """Train in a folder of this name; returns its last checkpoint."""

    def train_to(name: str, *options: str, updates: int = 6) -> Path:
        place = f"--data {data} --save-dir {tmp_path / name} --max-update {updates}"
        encoder = f"--speech-encoder hf:{folder}"
        fairseq("train", commands["validate"], OPTIONS, place, encoder, *options)
        return tmp_path / name / "checkpoint_last.pt"

    return train_to


@pytest.fixture
def predict(
    fairseq: Callable[..., Finished], commands: dict[str, str], data: Path, tmp_path: Path
) -> Callable[..., list[dict[str, str]]]:
    """Return the rows that fairseq-validate writes for the test split."""

    def rows(checkpoint: Path, *options: str) -> list[dict[str, str]]:
        place = f"--data {data} --path {checkpoint} --valid-subset test --batch-size 5"
        save = f"--save-predictions {tmp_path / 'test.tsv'}"
        fairseq("validate", commands["validate"], place, save, *options)
        return predictions.read(tmp_path / "test.tsv")

    return rows


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(checkpoint, weights_only=True)["model"]
    return state


def cards(data: Path) -> list[Path]:
    return sorted((data / "cache" / "speech").glob("*/card.yaml"))


def probabilities(row: dict[str, str]) -> list[float]:
    return [float(value) for name, value in row.items() if name.startswith(PROBABILITY)]


@pytest.mark.parametrize(
    "options",
    [
        "",
        pytest.param(
            "--speech-freeze-layers 2 --speech-layer weighted", marks=pytest.mark.extended
        ),
        "--speech-tuning lora --lora-targets q_proj --speech-freeze-layers 1",
    ],
)
def test_stored_outputs_lead_to_the_same_weights(
    options: str, train: Callable[..., Path], data: Path, folder: Path
) -> None:
    stored = weights(train("stored", FLOAT32, options))
    assert len(cards(data)) == 2  # train, valid
    live = weights(train("live", "--no-encoder-cache", options))
    assert stored.keys() == live.keys()
    for name, value in stored.items():
        torch.testing.assert_close(value, live[name], rtol=1e-4, atol=1e-6)
    start = safetensors.torch.load_file(folder / "model.safetensors")
    frozen = ["feature_extractor."]
    if "layers" in options:
        frozen += ["feature_projection.", "encoder.pos_conv_embed.", "encoder.layers.0."]
    prefix = "encoders.speech.backbone.model."
    of_encoder = {n.removeprefix(prefix): x for n, x in stored.items() if n.startswith(prefix)}
    for name, value in start.items():
        if name.startswith(tuple(frozen)):
            assert torch.equal(of_encoder[name], value), name
    top = [
        x for n, x in of_encoder.items() if n.startswith("encoder.layers.2.") and "lora" not in n
    ]
    moved = any(not torch.equal(x, y) for x in top for y in start.values() if x.shape == y.shape)
    assert moved


def test_it_is_resumed_exactly(train: Callable[..., Path]) -> None:
    whole = weights(train("whole"))
    train("cut", updates=3)
    resumed = weights(train("cut"))
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_a_checkpoint_from_before_the_front_end_was_frozen_names_the_option_to_resume_it(
    train: Callable[..., Path],
) -> None:
    checkpoint = train("old", "--speech-feature-grad-mult 1", updates=1)
    saved = torch.load(checkpoint, weights_only=False)
    for name in ("speech_feature_grad_mult", "speech_freeze_front_end"):
        del saved["cfg"]["model"][name]
    torch.save(saved, checkpoint)
    with raises("resumed-front-end-trained") as error:
        train("old", updates=2)
    assert "--speech-feature-grad-mult 1 " in str(error.value)
    train("old", "--speech-feature-grad-mult 1", updates=2)
    assert torch.load(checkpoint)["optimizer_history"][-1]["num_updates"] == 2


def test_it_is_scored_with_and_without_stored_outputs_and_from_a_folder(
    train: Callable[..., Path], predict: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    checkpoint = train("run", "--bf16")  # which leaves the stored part in single precision
    rows = predict(checkpoint)
    assert len(cards(data)) == 3  # train, valid, test
    live = predict(checkpoint, "--no-encoder-cache")
    predictor = load_predictor(write_model_folder(checkpoint, data, tmp_path / "folder"), "cpu")
    audio = {row.id: data / str(row.audio) for row in read_manifest(data / "test.tsv")}
    for row, other in zip(rows, live, strict=True):
        assert probabilities(other) == pytest.approx(probabilities(row), abs=2e-3)
        found = predictor.predict(audio[row["id"]]).probabilities
        assert list(found.values()) == pytest.approx(probabilities(other), abs=2e-3)


def test_augmented_audio_is_convolved_in_every_batch(
    train: Callable[..., Path], data: Path
) -> None:
    train("noisy", "--augment-noise-snr 5,20", updates=1)
    assert cards(data) == []


STANDARDIZED = "--speech-tuning frozen --standardize-frozen --standardize-fused --speech-layer"


@pytest.mark.parametrize(
    ("layer", "width"),
    [
        ("weighted", 16),
        pytest.param("concat", 16, marks=pytest.mark.extended),
        ("concat --speech-frozen-pooling mean_std", 32),
    ],
)
def test_a_standardized_encoder_predicts_the_same_everywhere(
    train: Callable[..., Path],
    predict: Callable[..., Any],
    data: Path,
    layer: str,
    width: int,
    tmp_path: Path,
) -> None:
    checkpoint = train("standardized", f"{STANDARDIZED} {layer}", FLOAT32)
    scale = weights(checkpoint)["encoders.speech.standardize.scale"]
    assert scale.shape == (4, width)
    assert not (scale == 1).any()
    rows = predict(checkpoint, FLOAT32)
    predictor = load_predictor(write_model_folder(checkpoint, data, tmp_path / "folder"), "cpu")
    audio = {row.id: data / str(row.audio) for row in read_manifest(data / "test.tsv")}
    for row in rows:
        found = predictor.predict(audio[row["id"]]).probabilities
        assert list(found.values()) == pytest.approx(probabilities(row), abs=1e-4)


def test_fused_vectors_of_the_train_split_begin_at_mean_0_and_deviation_1(
    train: Callable[..., Path], data: Path
) -> None:
    checkpoint = train("still", f"{STANDARDIZED} weighted", FLOAT32, "--lr 0", updates=1)
    (model,), _, task = checkpoint_utils.load_model_ensemble_and_task(
        [str(checkpoint)], {"data": str(data)}
    )
    task.load_dataset("train")
    dataset, vectors = task.dataset("train"), []
    model.embedding.standardize.register_forward_hook(lambda *given: vectors.append(given[-1]))
    for rows in batches_of(dataset):
        run(model, dataset, rows, torch.device("cpu"))
    fused = torch.cat(vectors)
    assert len(fused) == len(dataset)
    torch.testing.assert_close(fused.mean(0), torch.zeros(16), rtol=0, atol=1e-3)
    std = fused.std(0, correction=0)
    torch.testing.assert_close(std, torch.ones(16), rtol=1e-3, atol=0)


@pytest.mark.parametrize("precision", [pytest.param("", marks=pytest.mark.extended), "--bf16"])
def test_a_standardized_training_resumes_exactly(
    precision: str, train: Callable[..., Path]
) -> None:
    options = (f"{STANDARDIZED} weighted", precision)
    whole = weights(train("whole", *options, updates=6))
    train("parts", *options, updates=3)
    resumed = weights(train("parts", *options, updates=6))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    statistics = [x for name, x in whole.items() if ".standardize." in name]
    assert len(statistics) == 4
    assert {x.dtype for x in statistics} == {torch.float32}


COPIES = "--augment-noise-snr 5,20 --augment-speed 0.9,1.1 --augment-copies 2"


def test_augmented_copies_are_convolved_once(
    train: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    checkpoint = train("copies", COPIES, updates=9)
    stored = {file: file.read_bytes() for file in cards(data)}
    assert len(stored) == 4  # valid, train, and two copies of train
    other_seed = train("other", COPIES, "--seed 4", updates=1)
    assert {file: file.read_bytes() for file in cards(data)} == stored
    assert other_seed.exists()
    plain = weights(train("plain", updates=9))
    assert {file: file.read_bytes() for file in cards(data)} == stored
    changed = {k for k, v in weights(checkpoint).items() if not torch.equal(v, plain[k])}
    assert "embedding.dense.weight" in changed


def test_a_training_with_copies_resumes_exactly(train: Callable[..., Path]) -> None:
    """It goes on in the middle of an epoch, with the copies of that epoch."""
    whole = weights(train("whole", COPIES, updates=7))
    train("parts", COPIES, updates=4)
    resumed = weights(train("parts", COPIES, updates=7))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_the_front_end_can_be_trained(train: Callable[..., Path], data: Path, folder: Path) -> None:
    trained = weights(train("trained", "--speech-feature-grad-mult 0.1", updates=2))
    assert cards(data) == []
    start = safetensors.torch.load_file(folder / "model.safetensors")
    name = "feature_extractor.conv_layers.0.conv.weight"
    assert not torch.equal(trained[f"encoders.speech.backbone.model.{name}"], start[name])


@pytest.mark.parametrize(
    "options", [pytest.param("", marks=pytest.mark.extended), f"{STANDARDIZED} weighted"]
)
def test_two_ranks_share_the_stored_outputs(
    options: str,
    on_two_ranks: Callable[..., Finished],
    fairseq: Callable[..., Finished],
    commands: dict[str, str],
    data: Path,
    folder: Path,
    tmp_path: Path,
) -> None:
    still = f"--lr 0 --max-update 1 --speech-encoder hf:{folder} --data {data}"
    words = [commands["validate"], OPTIONS, still, options]
    two = on_two_ranks("train", *words, f"--save-dir {tmp_path / 'two'} --ddp-backend no_c10d")
    stored = {file: file.read_bytes() for file in cards(data)}
    assert len(stored) == 2
    one = fairseq("train", *words, f"--save-dir {tmp_path / 'one'}")
    assert {file: file.read_bytes() for file in cards(data)} == stored
    assert two.figures("valid")["loss"] == pytest.approx(one.figures("valid")["loss"], abs=1e-6)
    expected, found = (weights(tmp_path / x / "checkpoint_last.pt") for x in ("one", "two"))
    statistics = [name for name in expected if ".standardize." in name]
    assert bool(statistics) == bool(options)
    assert all(torch.equal(found[name], expected[name]) for name in statistics)


def test_ranks_that_share_a_model_read_stored_frames_in_bfloat16(
    on_two_ranks: Callable[..., Finished],
    commands: dict[str, str],
    data: Path,
    folder: Path,
    tmp_path: Path,
) -> None:
    words = f"--speech-encoder hf:{folder} --data {data} --max-update 2 --batch-size 4"
    sharded = f"--ddp-backend fully_sharded --bf16 --save-dir {tmp_path / 'two'}"
    finished = on_two_ranks("train", commands["validate"], OPTIONS, words, sharded)
    assert len(cards(data)) == 2
    assert finished.figures("train")["num_updates"] == 2


CONTRADICTIONS = (
    ("--speech-freeze-front-end --speech-feature-grad-mult 0.1", "option-idle"),
    ("--speech-freeze-layers 1 --speech-feature-grad-mult 0.1", "option-idle"),
    ("--speech-tuning lora --speech-freeze-front-end", "option-idle"),
    ("--speech-tuning frozen --speech-freeze-layers 1", "option-idle"),
    ("--speech-feature-grad-mult 1 --cache-dtype float32", "option-idle"),
    ("--speech-feature-grad-mult 1 --augment-gain 6 --augment-copies 2", "option-idle"),
    ("--augment-copies 2", "option-idle"),
    ("--standardize-frozen", "option-idle"),
    ("--speech-tuning frozen --standardize-fused --probe", "option-idle"),
    ("--speech-tuning frozen --standardize-frozen --no-encoder-cache", "option-idle"),
    ("--augment-noise-snr 5,20 --augment-copies 2 --no-encoder-cache", "option-idle"),
    ("--speech-frozen-pooling mean", "option-idle"),
    ("--speech-tuning frozen --speech-frozen-pooling mean --speech-pooling first", "option-idle"),
    ("--speech-feature-grad-mult 2", "option-out-of-range"),
    ("--speech-freeze-layers 3", "option-out-of-range"),
    ("--speech-freeze-layers 1 --speech-layer 1", "option-out-of-range"),
)


def test_options_that_contradict_each_other_are_refused(train: Callable[..., Path]) -> None:
    for options, code in CONTRADICTIONS:
        with raises(code):
            train("refused", options)
