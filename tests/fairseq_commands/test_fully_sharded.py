"""``--ddp-backend fully_sharded`` on two ranks trains what one process trains."""

import hf_folders
import pytest
import torch

from data_prep.commands.tokenize_text import tokenize_with_hf
from data_prep.schema import read_manifest

# Nothing is drawn. 32 utterances are 4 updates of 8. Adam would scale up gradients that are 0 but
# for rounding, such as of the biases of keys.
TRAIN = """--optimizer emotion_adamw --weight-decay 0.01 --lr 0.003 --text-lr-scale 0.5
    --adam-eps 1e-4 --batch-size 4 --dropout 0 --attention-dropout 0 --pooler-dropout 0"""
OF_BERT = """--arch robertaEMO_tiny --criterion emotion_prediction_cri --modality text
    --embedding-dim 16 --no-epoch-checkpoints --optimizer emotion_adamw --lr 0.003 --batch-size 4"""
SHARDED = "--ddp-backend fully_sharded"


def checkpoint(folder):
    return torch.load(folder / "checkpoint_last.pt", weights_only=True)


@pytest.mark.slow
def test_resumed_on_two_ranks(on_two_ranks, fairseq, commands, toy_corpus, tmp_path):
    place = f"--data {toy_corpus} --speech-input log_mel --disable-validation"
    train = [commands["train"], TRAIN, place]
    one, two = tmp_path / "one", tmp_path / "two"
    fairseq("train", *train, f"--update-freq 2 --max-update 7 --save-dir {one}")
    for updates in (3, 7):
        end = f"--max-update {updates} --save-dir {two}"
        finished = on_two_ranks("train", *train, SHARDED, end)
    assert "Loaded checkpoint" in finished.log
    expected, got = map(checkpoint, (one, two))
    assert expected["optimizer_history"][-1] == got["optimizer_history"][-1]
    for part in ("model", "last_optimizer_state"):
        torch.testing.assert_close(got[part], expected[part], atol=1e-6, rtol=1e-4)

    end = f"--max-update 9 --save-dir {two}"  # and goes on in one process
    resumed = fairseq("train", *train, SHARDED, f"--update-freq 2 {end}")
    assert "Loaded checkpoint" in resumed.log
    assert checkpoint(two)["model"].keys() == expected["model"].keys()


def data_of_bert(copy_toy, tmp_path):
    data = copy_toy()
    texts = [str(row.text) for row in read_manifest(data / "train.tsv")]
    hf_folders.build(tmp_path / "bert", texts=texts)
    (data / "text").unlink()  # a link to the corpus that all tests share
    tokenize_with_hf(data, tmp_path / "bert")
    return data


@pytest.mark.slow
def test_lora_in_bfloat16(on_two_ranks, fairseq, commands, copy_toy, tmp_path):
    """The frozen weights stay whole on each rank; fairseq-validate reads the checkpoint."""
    data = data_of_bert(copy_toy, tmp_path)
    model = f"{OF_BERT} --text-encoder hf:{tmp_path / 'bert'} --text-tuning lora --bf16"
    place = f"--data {data} --save-dir {tmp_path / 'two'} --max-update 3"
    trained = on_two_ranks("train", commands["validate"], model, place, SHARDED)
    state = checkpoint(tmp_path / "two")
    moments = state["last_optimizer_state"]["state"].values()
    assert {values["exp_avg"].dtype for values in moments} == {torch.float32}
    path = f"--data {data} --path {tmp_path / 'two' / 'checkpoint_last.pt'} --batch-size 8"
    scored = fairseq("validate", commands["validate"], path).figures("valid")
    assert scored["loss"] == pytest.approx(trained.figures("valid")["loss"], abs=0.02)


@pytest.mark.slow
def test_a_frozen_encoder_keeps_its_precision(on_two_ranks, commands, copy_toy, tmp_path):
    """Else a resumed training would read outputs of other weights, which it would store first."""
    data = data_of_bert(copy_toy, tmp_path)
    model = f"""{OF_BERT} --text-encoder hf:{tmp_path / "bert"} --text-tuning frozen --bf16
        --text-layer weighted --standardize-frozen --standardize-fused"""
    place = f"--data {data} --save-dir {tmp_path / 'two'}"
    cards, statistics = [], []
    for updates in (1, 2):
        end = f"--max-update {updates}"
        finished = on_two_ranks("train", commands["validate"], model, place, end, SHARDED)
        cards.append(sorted((data / "cache" / "text").glob("*/card.yaml")))
        weights = checkpoint(tmp_path / "two")["model"]
        statistics.append({name: x for name, x in weights.items() if ".standardize." in name})
    assert "Loaded checkpoint" in finished.log
    assert len(cards[0]) == 2  # train, valid
    assert cards[1] == cards[0]
    assert len(statistics[0]) == 4
    for name, x in statistics[0].items():
        assert x.dtype == torch.float32
        assert torch.equal(x, statistics[1][name])
        assert not torch.equal(x, x.bfloat16().float())
