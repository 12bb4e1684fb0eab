"""Hugging Face tokenizers in token folders: the model's own ids, kept with the data."""

import json
import shutil
from pathlib import Path

import hf_folders
import pytest
import transformers
from codes import raises
from token_folders import tokens_of

from data_prep.commands.tokenize_text import main
from data_prep.schema import Corpus, Utterance, write_corpus
from data_prep.tokens.folder import SpecialIds, read_card, special_ids
from data_prep.tokens.hf_tokenizer import HuggingFaceTokenizer, StoredTokenizer
from data_prep.tokens.text_tokenizers import load_text_tokenizer
from emo_fairseq.data.tokens import open_binarized
from emo_fairseq.data.vocabulary import read_vocabulary

TEXTS = ["so what do you say", None, "no no no", "Ünseen §"]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    rows = [Utterance(id=f"u{n}", text=text, emotion="joy") for n, text in enumerate(TEXTS)]
    corpus = Corpus("small", labels={"emotion": ("joy",)})
    write_corpus(tmp_path / "data", corpus, {"train": rows})
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("family", "specials"),
    [("bert", SpecialIds(1, 3, 2, 0)), ("roberta", SpecialIds(0, 1, 2, 3))],
)
def test_rows_are_the_models_own_ids(
    data_dir: Path, tmp_path: Path, family: str, specials: SpecialIds
) -> None:
    model = hf_folders.build(tmp_path / "model", family)
    assert main([str(data_dir), "--bpe", f"hf:{model}"]) == 0
    rows = [Utterance(id=f"u{n}", text=text, emotion="joy") for n, text in enumerate(TEXTS)]
    source = open_binarized(tokens_of(data_dir), "train", rows)
    reference = transformers.AutoTokenizer.from_pretrained(model)
    for tokens, text in zip(source, TEXTS, strict=True):
        assert [specials.init, *tokens.tolist()] == reference(text or "")["input_ids"]
    card = read_card(tokens_of(data_dir))
    assert special_ids(card) == specials
    assert card["vocab_size"] == len(reference)
    assert (card["splits"]["train"]["unknown"] > 0) == (family == "bert")
    vocabulary = read_vocabulary(tokens_of(data_dir))
    assert vocabulary is not None
    assert (vocabulary.size, vocabulary.specials) == (len(reference), specials)


def test_the_folder_gives_its_tokenizer_back_without_the_model(
    data_dir: Path, tmp_path: Path
) -> None:
    model = hf_folders.build(tmp_path / "model")
    main([str(data_dir), "--bpe", f"hf:{model}"])
    expected = transformers.AutoTokenizer.from_pretrained(model)("no no no")["input_ids"]
    shutil.rmtree(model)
    tokenizer = load_text_tokenizer(tokens_of(data_dir))
    assert [tokenizer.specials.init, *tokenizer.encode("no no no").tolist()] == expected
    assert tokenizer.decode(expected) == "no no no"


@pytest.mark.parametrize("keeps_json", [True, False])
def test_several_texts_are_encoded_as_each_of_them(tmp_path: Path, keeps_json: bool) -> None:
    model = hf_folders.build(tmp_path / "model")
    write_corpus(
        tmp_path / "data",
        Corpus("small", labels={"emotion": ("joy",)}),
        {"train": [Utterance(id="u", text="so what", emotion="joy")]},
    )
    main([str(tmp_path / "data"), "--bpe", f"hf:{model}"])
    folder = tokens_of(tmp_path / "data")
    tokenizer = StoredTokenizer(folder) if keeps_json else HuggingFaceTokenizer(folder)
    texts = [*TEXTS, "", "  "]
    rows = tokenizer.encode_batch(texts)
    assert [row.tolist() for row in rows] == [tokenizer.encode(text).tolist() for text in texts]
    assert all(row.dtype == "int64" for row in rows)


def test_a_second_run_does_nothing(
    data_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = hf_folders.build(tmp_path / "model")
    command = [str(data_dir), "--bpe", f"hf:{model}"]
    assert main(command) == 0
    caplog.set_level("INFO")
    assert main(command) == 0
    assert "train is up to date, skipped" in caplog.text
    assert tokens_of(data_dir) == data_dir / "text" / "model"


def test_a_folder_without_a_tokenizer_is_refused(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main([str(data_dir), "--bpe", f"hf:{tmp_path / 'empty'}"]) == 1
    assert "empty: holds no files of a tokenizer" in capsys.readouterr().err


@pytest.mark.parametrize("family", hf_folders.FAMILIES)
def test_a_model_without_its_tokenizer_is_refused(tmp_path: Path, family: str) -> None:
    """transformers makes up a tokenizer of special symbols alone."""
    model = hf_folders.build(tmp_path / "model", family)
    for file in model.glob("tokenizer*"):
        file.unlink()
    with raises("tokenizer-missing"):
        HuggingFaceTokenizer(model)


def test_a_tokenizer_that_marks_no_end_is_refused(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = hf_folders.build(tmp_path / "model")
    fast = transformers.AutoTokenizer.from_pretrained(model)
    bare = hf_folders.byte_level(hf_folders.TEXTS, hf_folders.ROBERTA)
    bare.post_processor = hf_folders.processors.ByteLevel()
    type(fast)(tokenizer_object=bare, pad_token="<pad>").save_pretrained(tmp_path / "bare")
    assert main([str(data_dir), "--bpe", f"hf:{tmp_path / 'bare'}"]) == 1
    assert "one symbol before and one after" in capsys.readouterr().err


def test_ids_with_a_gap_are_refused(tmp_path: Path) -> None:
    model = hf_folders.build(tmp_path / "model", "bert")
    file = model / "tokenizer.json"
    content = json.loads(file.read_text())
    words = content["model"]["vocab"]
    del words[next(word for word, number in words.items() if number == len(words) // 2)]
    file.write_text(json.dumps(content))
    message = (
        rf"model: its tokenizer names \d+ symbols, and none has the id {(len(words) + 1) // 2}"
    )
    with pytest.raises(ValueError, match=message):
        HuggingFaceTokenizer(model)
