"""Which tokens a model reads, where a data dir has those of several tokenizers."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import hf_folders
import pytest
from codes import raises

from data_prep.commands.tokenize_text import (
    tokenize_again,
    tokenize_with_folder,
    tokenize_with_hf,
    tokenize_with_sentencepiece,
)
from data_prep.folds.__main__ import main as make_folds
from data_prep.folds.file import read_folds
from data_prep.schema import Corpus, Utterance, write_corpus
from emo_fairseq import pretrained
from emo_fairseq.data.fit import tokenizer_provenance
from emo_fairseq.data.token_choice import choose_tokens, has_tokens
from emo_fairseq.data.vocabulary import Vocabulary, read_vocabulary
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.inference.input_processor import InputProcessor

SCRATCH = EncoderSpec("scratch:tiny", "tokens")
TEXTS = ["so happy today", "so sad today", "happy happy days", "no no, go away"] * 10


def write_texts(folder: Path) -> Path:
    rows = [Utterance(f"u{number}", text=text) for number, text in enumerate(TEXTS)]
    write_corpus(folder, Corpus("small"), {"train": rows[:30], "test": rows[30:]})
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: hf_folders.build(folder / name, name) for name in ("bert", "roberta")}


@pytest.fixture(scope="module")
def data(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With three tokenizers, of which one is where older versions wrote tokens."""
    data = write_texts(tmp_path_factory.mktemp("several") / "data")
    tokenize_with_sentencepiece(data, vocab_size=290, name=".")
    for model in models.values():
        tokenize_with_hf(data, model)
    return data


@pytest.fixture
def one(tmp_path: Path) -> Path:
    data = write_texts(tmp_path / "one")
    tokenize_with_sentencepiece(data, vocab_size=290)
    return data


def chosen(*arguments: Any, **options: Any) -> str:
    tokens = choose_tokens(*arguments, **options)
    assert tokens is not None
    return tokens.name


def vocabulary_of(folder: Path) -> Vocabulary:
    vocabulary = read_vocabulary(folder)
    assert vocabulary is not None
    return vocabulary


def test_the_encoder_chooses(data: Path, models: dict[str, Path]) -> None:
    for name, model in models.items():
        encoder = pretrained.describe("text", f"hf:{model}")
        assert has_tokens(data, "text", encoder)
        assert chosen(data, "text", encoder) == name


def test_the_only_tokens_are_read(one: Path, tmp_path: Path) -> None:
    assert chosen(one, "text", SCRATCH) == "sentencepiece-290"
    assert choose_tokens(tmp_path / "nothing", "text", SCRATCH) is None


def test_among_several_those_fitted_on_the_data_are_read_from_scratch(
    data: Path, one: Path, models: dict[str, Path]
) -> None:
    assert chosen(data, "text", SCRATCH) == "."
    tokenize_with_hf(one, models["bert"])
    assert chosen(one, "text", SCRATCH) == "sentencepiece-290"
    tokenize_with_sentencepiece(one, vocab_size=300)
    with raises("tokens-ambiguous") as error:
        choose_tokens(one, "text", SCRATCH)
    assert "--text-tokens sentencepiece-290 or sentencepiece-300" in str(error.value)
    shutil.rmtree(one / "text" / "sentencepiece-290")
    shutil.rmtree(one / "text" / "sentencepiece-300")
    tokenize_with_hf(one, models["roberta"])
    with raises("tokens-ambiguous"):
        choose_tokens(one, "text", SCRATCH)


def test_a_name_chooses(data: Path) -> None:
    for name in (".", "bert"):
        assert chosen(data, "text", SCRATCH, name=name) == name
    with raises("tokens-missing") as error:
        choose_tokens(data, "text", SCRATCH, name="brt")
    assert "there are ., bert, roberta" in str(error.value)


def test_a_trained_model_finds_its_own(data: Path) -> None:
    for name in (".", "bert", "roberta"):
        trained = vocabulary_of(data / "text" / name)
        old = replace(trained, tokenizer="", source="/gone/text/dict.txt")
        for vocabulary in (trained, old):
            assert chosen(data, "text", SCRATCH, trained=vocabulary) == name
            assert chosen(data, "text", SCRATCH, "bert", vocabulary) == name, "by symbols first"


def test_none_of_the_trained_model_names_the_command(
    data: Path, models: dict[str, Path], one: Path
) -> None:
    encoder = pretrained.describe("text", f"hf:{models['bert']}")
    trained = vocabulary_of(data / "text" / "bert")
    with raises("vocabulary-other") as error:
        choose_tokens(one, "text", encoder, trained=trained)
    source = data / "text" / "bert"
    command = f"`python -m data_prep.tokenize_text {one} --tokenizer {source}`"
    assert command in str(error.value)
    tokenize_with_folder(one, source)  # as that command does
    assert chosen(one, "text", encoder, trained=trained) == "bert"
    assert chosen(one, "text", encoder) == "bert"

    gone = replace(trained, source="/gone/text/symbols.json", digest="0" * 64)
    with raises("vocabulary-other") as error:
        choose_tokens(one, "text", encoder, trained=gone)
    assert f"{one} --bpe hf:{models['bert']}`" in str(error.value)
    with raises("vocabulary-other") as error:
        choose_tokens(one, "text", SCRATCH, trained=gone)
    assert f"{one} --tokenizer FOLDER`" in str(error.value)


def test_no_tokens_of_an_encoder_name_the_command(
    one: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    encoder = pretrained.describe("text", f"hf:{models['bert']}")
    assert not has_tokens(one, "text", encoder)
    tokenize_with_sentencepiece(one, vocab_size=300)
    with raises("vocabulary-mismatch") as error:
        choose_tokens(one, "text", encoder)
    assert f"{one} --bpe hf:{models['bert']}`" in str(error.value)


def test_tokenizers_with_the_same_symbols_are_distinguished(
    models: dict[str, Path], tmp_path: Path
) -> None:
    """One of them folds case: the same symbols, and other tokens."""
    folded = Path(shutil.copytree(models["bert"], tmp_path / "folded"))
    file = folded / "tokenizer.json"
    text = file.read_text()
    assert '"normalizer": null' in text
    file.write_text(text.replace('"normalizer": null', '"normalizer": {"type": "Lowercase"}'))
    data = write_texts(tmp_path / "data")
    for model in (models["bert"], folded):
        tokenize_with_hf(data, model)
    by_name = {name: vocabulary_of(data / "text" / name) for name in ("bert", "folded")}
    assert by_name["bert"].digest == by_name["folded"].digest
    for name, vocabulary in by_name.items():
        gone = replace(vocabulary, source="/gone/text/symbols.json")
        assert chosen(data, "text", SCRATCH, trained=gone) == name
        old = replace(vocabulary, tokenizer="")
        assert chosen(data, "text", SCRATCH, trained=old) == name, "by its name"
        assert chosen(data, "text", SCRATCH, name, replace(gone, tokenizer="")) == name
        with raises("tokens-ambiguous"):
            choose_tokens(data, "text", SCRATCH, trained=replace(gone, tokenizer=""))
    encoder = pretrained.describe("text", f"hf:{folded}")
    assert chosen(data, "text", encoder) == "folded", "its namesake"
    moved = replace(encoder, spec="hf:elsewhere/model")
    with raises("tokens-ambiguous"):
        choose_tokens(data, "text", moved)


def test_damaged_tokens_do_not_stop_those_of_others(
    data: Path, models: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = Path(shutil.copytree(data, tmp_path / "data"))
    (own / "text" / "roberta" / "symbols.json").write_text("[]")
    assert chosen(own, "text", pretrained.describe("text", f"hf:{models['bert']}")) == "bert"
    assert "its tokens are not considered" in caplog.text


# -- through the task ------------------------------------------------------------------------------


def test_the_task_resumes_and_scores_with_its_own_tokens(
    toy_corpus: Path, models: dict[str, Path], tmp_path: Path, make_task: Any
) -> None:
    data = tmp_path / "toy"
    shutil.copytree(toy_corpus, data)
    saved = make_task(data, modality="text").state_dict()
    tokenize_with_hf(data, models["bert"])
    scoring = make_task(data, from_checkpoint=True, modality="text")
    scoring.load_state_dict(saved)
    scoring.load_dataset("test")
    assert scoring.data.token_folder("text").name == "sentencepiece-400"
    bert = make_task(data, modality="text", text_encoder=f"hf:{models['bert']}")
    assert bert.data.token_folder("text").name == "bert"
    named = make_task(data, modality="text", text_tokens="bert")
    assert named.data.token_folder("text").name == "bert"
    assert named.task_state.vocabularies["text"].size == bert.task_state.vocabularies["text"].size
    with raises("option-idle"):
        make_task(data, modality="speech", speech_input="log_mel", speech_tokens="kmeans-8")

    processor = InputProcessor.from_data_dir(scoring.task_state, data)
    assert processor.tokenizers == {"text": data / "text" / "sentencepiece-400"}
    shutil.rmtree(data / "text" / "sentencepiece-400")
    scoring = make_task(data, from_checkpoint=True, modality="text")
    scoring.load_state_dict(saved)
    with raises("vocabulary-other"):
        scoring.load_dataset("test")


def test_a_fold_takes_note_of_a_tokenizer_from_elsewhere(
    data: Path, one: Path, tmp_path: Path
) -> None:
    other = write_texts(tmp_path / "other")
    copy = tokenize_with_folder(other, one / "text" / "sentencepiece-290").folder
    assert tokenizer_provenance(copy, other).unknown
    assert not tokenizer_provenance(data / "text" / "bert", data).unknown
    (fitted,) = tokenizer_provenance(one / "text" / "sentencepiece-290", one).seen
    assert fitted.split == "train"


def test_a_tokenizer_of_a_fold_has_seen_its_train_set_alone(one: Path) -> None:
    assert make_folds([str(one), "--protocol", "k_fold", "--n-folds", "3"]) == 0
    folds = read_folds(one / "folds" / "k_fold.json")
    folder = tokenize_with_sentencepiece(one, vocab_size=290, fold="k_fold/2").folder
    assert folder.name == "sentencepiece-290-k_fold-2"
    with raises("folds-missing"):  # as of a shell variable that is not set
        tokenize_with_sentencepiece(one, vocab_size=290, fold="")
    (seen,) = tokenizer_provenance(folder, one).seen
    assert (seen.fold, len(seen.hashes)) == ("k_fold/2", len(folds.folds["2"]["train"]))
    assert choose_tokens(one, "text", SCRATCH, fold="k_fold/2").name == folder.name
    for fold in ("k_fold/1", None):
        assert choose_tokens(one, "text", SCRATCH, fold=fold).name == "sentencepiece-290"
    shutil.rmtree(one / "text" / "sentencepiece-290")
    for fold, option in (("k_fold/1", " --fold k_fold/1"), (None, "")):
        with raises("tokens-missing") as error:
            choose_tokens(one, "text", SCRATCH, fold=fold)
        assert f"`python -m data_prep.tokenize_text {one}{option}`" in str(error.value)
    assert make_folds([str(one), "--protocol", "k_fold", "--n-folds", "4", "--force"]) == 0
    with raises("tokenizer-outdated"):
        tokenizer_provenance(folder, one)
    tokenize_again(one, folder.name)
    (seen,) = tokenizer_provenance(folder, one).seen
    assert len(seen.hashes) == len(read_folds(one / "folds" / "k_fold.json").folds["2"]["train"])
