"""The seed's whole path: vq-wav2vec's codes, a BERT over them, RoBERTa over text, `--stack-up`.

The vq-wav2vec and both BERTs are fairseq's own, as its `masked_lm` task builds them on the token
folders; but tiny, and not trained.
"""

import shutil
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fairseq import options, tasks
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models.wav2vec.wav2vec import Wav2VecConfig, Wav2VecModel
from omegaconf import OmegaConf
from token_folders import tokens_of

from data_prep.commands.tokenize_speech import main as tokenize_speech
from data_prep.commands.tokenize_text import main as tokenize_text
from data_prep.corpora.ravdess import prepare_ravdess
from data_prep.corpora.toy import prepare_toy
from emo_fairseq.evaluation import predictions

VQ_WAV2VEC = {
    "conv_feature_layers": "[(8, 10, 5), (8, 8, 4), (8, 4, 2), (8, 4, 2), (8, 4, 2)]",
    "conv_aggregator_layers": "[(8, 2, 1), (8, 3, 1)]",
    "prediction_steps": 2,
    "vq_type": "gumbel",
    "vq_vars": 9,
    "vq_groups": 2,
}
BERT = """--arch roberta_base --criterion masked_lm --encoder-layers 1 --encoder-embed-dim 16
    --encoder-ffn-embed-dim 16 --encoder-attention-heads 2 --tokens-per-sample 512"""
TRAIN = """--arch robertaEMO_tiny --embedding-dim 16 --criterion emotion_prediction_cri
    --optimizer adam --lr 0.003 --batch-size 2 --max-update 2 --no-epoch-checkpoints"""
ACTORS = {"train": "02", "valid": "06", "test": "05"}  # of fold 0
TAKES = ("03-01-03-01-01-01", "03-01-05-01-02-01")  # happy and angry, of either sentence


@pytest.fixture(params=["toy", pytest.param("ravdess", marks=pytest.mark.realdata)])
def corpus(
    request: pytest.FixtureRequest, real_data: Callable[[str], Path], tmp_path: Path
) -> tuple[Path, Path]:
    """A small data dir, and the folder that its audio lies in."""
    data = tmp_path / "data"
    if request.param == "toy":
        prepare_toy(data, n_train=8, n_valid=4, n_test=4, speakers=(4, 2, 2))
        return data, data
    whole, few = real_data("ravdess"), tmp_path / "ravdess"
    for actor in ACTORS.values():
        (few / f"Actor_{actor}").mkdir(parents=True)
        for file in (whole / f"Actor_{actor}").iterdir():
            if file.stem.rpartition("-")[0] in TAKES:
                shutil.copy(file, few / f"Actor_{actor}")
    prepare_ravdess(few, data)
    return data, few


def test_from_sound_to_a_score(corpus, fairseq, commands, tmp_path):
    data, audio = corpus
    pretrained = tmp_path / "pretrained"
    save_vq_wav2vec(pretrained / "vq-wav2vec.pt")
    assert tokenize_text([str(data), "--vocab-size", "300"]) == 0
    by = ["--quantizer", "vq-wav2vec", "--checkpoint", str(pretrained / "vq-wav2vec.pt")]
    assert tokenize_speech([str(data), "--data-raw", str(audio), *by]) == 0
    for modality in ("text", "speech"):
        save_bert(tokens_of(data, modality), pretrained / modality)

    # Another corpus would be tokenized for the speech-BERT by its own dictionary: the same codes.
    before = (tokens_of(data, "speech") / "train.bin").read_bytes()
    dictionary = ["--dict", str(pretrained / "speech" / "dict.txt")]
    assert tokenize_speech([str(data), "--data-raw", str(audio), *by, *dictionary]) == 0
    again = data / "speech" / "vq-wav2vec-speech"
    assert (again / "train.bin").read_bytes() == before

    place = f"--data {data} --data-raw {audio} --save-dir {tmp_path / 'run'}"
    encoders = f"""--modality text+speech --text-encoder fairseq:{pretrained / "text"}
        --speech-encoder fairseq:{pretrained / "speech"} --stack-up"""
    plain = commands["validate"]  # those of "train" have sizes, which pretrained encoders bring
    log = fairseq("train", plain, TRAIN, place, encoders)
    assert log.figures("valid")["num_updates"] == 2

    for modality in ("text", "speech"):
        first, last = (
            symbol_embeddings(file)
            for file in (pretrained / modality / "model.pt", tmp_path / "run/checkpoint_last.pt")
        )
        # Adam moves a weight by the learning rate an update.
        assert 0 < (last[modality] - first[""]).abs().max() < 2.1 * 0.003
    shutil.rmtree(pretrained)
    scores = tmp_path / "predictions.tsv"
    score = f"--data {data} --data-raw {audio} --path {tmp_path / 'run' / 'checkpoint_last.pt'}"
    save = f"--valid-subset test --save-predictions {scores}"
    log = fairseq("validate", commands["validate"], score, save, "--batch-size 2")
    assert "uar" in log.figures("test")
    ids = [line.split("\t")[0] for line in (data / "test.tsv").read_text().splitlines()[1:]]
    assert sorted(row["id"] for row in predictions.read(scores)) == sorted(ids)


def save_vq_wav2vec(file):
    model = Wav2VecModel(Wav2VecConfig(**VQ_WAV2VEC))
    args = Namespace(arch="wav2vec", task="audio_pretraining", data="/gone", **VQ_WAV2VEC)
    file.parent.mkdir()
    torch.save({"args": args, "model": model.state_dict()}, file)


def save_bert(tokens, folder):
    """What fairseq-train would begin with, on a token folder as data_prep writes it."""
    parser = options.get_training_parser(default_task="masked_lm")
    config = convert_namespace_to_omegaconf(
        options.parse_args_and_arch(parser, [str(tokens), *BERT.split()])
    )
    task = tasks.setup_task(config.task)
    model = task.build_model(config.model)
    folder.mkdir()
    shutil.copy(tokens / "dict.txt", folder)
    plain = OmegaConf.to_container(config, enum_to_str=True)
    torch.save({"args": None, "cfg": plain, "model": model.state_dict()}, folder / "model.pt")
    n_rows = len(model.encoder.sentence_encoder.embed_tokens.weight)
    assert n_rows == len(Dictionary.load(str(folder / "dict.txt"))) + 1  # <mask>


def symbol_embeddings(file):
    """Those of a checkpoint by the modality in their names, if any."""
    weights = torch.load(file, weights_only=True)["model"]
    found = {name: value for name, value in weights.items() if name.endswith("embed_tokens.weight")}
    return {
        next((modality for modality in ("text", "speech") if f".{modality}." in name), ""): value
        for name, value in found.items()
    }
