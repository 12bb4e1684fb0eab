"""Several tokenizers in one data dir: a folder for each, shared by whoever has the same one."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import hf_folders
import numpy as np
import pytest
from codes import raises

from data_prep.commands import tokenize_speech, tokenize_text
from data_prep.commands.tokenize_text import tokenize_with_hf, tokenize_with_sentencepiece
from data_prep.commands.validate import validate
from data_prep.corpora.toy import write_sentence
from data_prep.schema import Corpus, Utterance, write_corpus
from data_prep.tokens.checking import check_tokens
from data_prep.tokens.folder import read_card
from data_prep.tokens.kmeans_corpus import tokenize_with_kmeans
from data_prep.tokens.token_sets import token_sets

TEXTS = [write_sentence([True, False, None][n % 3], np.random.default_rng(n)) for n in range(60)]


def write_texts(folder: Path, texts: Sequence[str] = TEXTS) -> Path:
    rows = {
        "train": [Utterance(f"train{n}", text=text) for n, text in enumerate(texts)],
        "test": [Utterance(f"test{n}", text=text) for n, text in enumerate(TEXTS[:3])],
    }
    write_corpus(folder, Corpus(name="texts"), rows)
    return folder


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "data")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: hf_folders.build(folder / name, name) for name in ("bert", "roberta")}


def names_of(data_dir: Path, modality: str = "text") -> list[str]:
    return [tokens.name for tokens in token_sets(data_dir, modality)]


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != ".lock"}


def test_each_tokenizer_has_a_folder_named_after_it(
    data_dir: Path, models: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tokenize_text.main([str(data_dir), "--vocab-size", "300"]) == 0
    assert tokenize_text.main([str(data_dir), "--model-type", "bpe", "--lowercase"]) == 0
    for model in models.values():
        assert tokenize_text.main([str(data_dir), "--bpe", f"hf:{model}"]) == 0
        assert f"{data_dir / 'text' / model.name}: " in capsys.readouterr().out
    own = ["sentencepiece-300", "sentencepiece-bpe-2000-lowercase"]
    assert names_of(data_dir) == sorted([*own, *models])
    assert validate(data_dir) == []


def test_the_same_tokenizer_shares_its_folder(
    data_dir: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    twin = Path(shutil.copytree(models["bert"], tmp_path / "twin"))
    first = tokenize_with_hf(data_dir, models["bert"]).folder
    before = content(first)
    assert tokenize_with_hf(data_dir, twin).folder == first
    assert names_of(data_dir) == ["bert"]
    assert content(first) == before
    tokenize_with_hf(data_dir, twin, name="own")
    assert names_of(data_dir) == ["bert", "own"], "a name that is given is taken"


def test_another_tokenizer_does_not_get_the_name(
    data_dir: Path, models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tokenize_with_hf(data_dir, models["bert"]).folder
    before = content(folder)
    other = Path(shutil.copytree(models["roberta"], tmp_path / "other" / "bert"))
    assert tokenize_text.main([str(data_dir), "--bpe", f"hf:{other}"]) == 1
    assert "[tokens-name-taken]" in capsys.readouterr().err
    with raises("tokens-name-taken"):
        tokenize_with_sentencepiece(data_dir, vocab_size=300, name="bert")
    assert content(folder) == before
    assert names_of(data_dir) == ["bert"]


def test_tokens_of_another_tool_are_not_overwritten(data_dir: Path) -> None:
    folder = data_dir / "text" / "theirs"
    folder.mkdir(parents=True)
    (folder / "train.idx").write_bytes(b"of fairseq-preprocess")
    with raises("tokens-name-taken"):
        tokenize_with_sentencepiece(data_dir, vocab_size=300, name="theirs")


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "text", "speech"])
def test_a_name_is_that_of_a_folder(name: str, data_dir: Path) -> None:
    with raises("tokens-name-invalid"):
        tokenize_with_sentencepiece(data_dir, vocab_size=300, name=name)
    assert not (data_dir / "text").exists()


def test_a_changed_train_split_is_fitted_again_in_its_folder(data_dir: Path) -> None:
    folder = tokenize_with_sentencepiece(data_dir, vocab_size=300).folder
    before = content(folder)
    rows = write_texts(data_dir, [*TEXTS[5:], "zebra zebra quagga"])
    assert tokenize_with_sentencepiece(rows, vocab_size=300).folder == folder
    assert content(folder)["sentencepiece.model"] != before["sentencepiece.model"]


def test_the_tokens_of_older_versions_go_on_where_they_are(data_dir: Path) -> None:
    tokenize_with_sentencepiece(data_dir, vocab_size=300, name=".")
    assert (data_dir / "text" / "train.idx").is_file()
    assert tokenize_with_sentencepiece(data_dir, vocab_size=300).folder == data_dir / "text"
    assert names_of(data_dir) == ["."]
    tokenize_with_sentencepiece(data_dir, vocab_size=320)
    assert names_of(data_dir) == [".", "sentencepiece-320"]
    assert validate(data_dir) == []


@pytest.mark.parametrize("bpe", ["sentencepiece", "bert"])
def test_a_name_alone_tokenizes_again(bpe: str, data_dir: Path, models: dict[str, Path]) -> None:
    """The command that outdated tokens name runs as it is."""
    if bpe == "bert":
        folder = tokenize_with_hf(data_dir, models["bert"]).folder
    else:
        folder = tokenize_with_sentencepiece(data_dir, vocab_size=300).folder
    write_texts(data_dir, [*TEXTS[5:], "zebra zebra quagga"])
    rows = [Utterance(f"train{n}", text=text) for n, text in enumerate(TEXTS)]
    with raises("tokens-mismatch") as error:
        check_tokens(folder, "train", rows[:5])
    command = f"python -m data_prep.tokenize_text {data_dir} --name {folder.name}"
    assert command in str(error.value)
    assert tokenize_text.main([str(data_dir), "--name", folder.name]) == 0
    assert validate(data_dir) == []


def test_a_tokenizer_is_taken_from_another_data_dir(data_dir: Path, tmp_path: Path) -> None:
    source = tokenize_with_sentencepiece(data_dir, vocab_size=300).folder
    other = write_texts(tmp_path / "other", ["Nothing of the kind.", "Other words."])
    arguments = [str(other), "--tokenizer", str(source)]
    assert tokenize_text.main(arguments) == 0
    copy = other / "text" / "sentencepiece-300"
    assert content(copy)["sentencepiece.model"] == content(source)["sentencepiece.model"]
    assert content(copy)["test.bin"] == content(source)["test.bin"], "the same texts"
    settings = read_card(copy)["settings"]
    assert "fitted_on" not in settings
    assert settings["fitted_elsewhere"] == read_card(source)["settings"]["fitted_on"]
    write_texts(other, ["Nothing of the kind.", "Still other words."])
    assert tokenize_text.main([str(other), "--name", "sentencepiece-300"]) == 0
    assert content(copy)["sentencepiece.model"] == content(source)["sentencepiece.model"]


def test_options_that_do_not_act_are_refused(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags, message in (
        (["--tokenizer", "t", "--vocab-size", "9"], "--tokenizer takes no --vocab-size"),
        (["--tokenizer", "t", "--bpe", "gpt2"], "--tokenizer takes no --bpe"),
        (["--bpe", "hf:m", "--lowercase"], "--bpe hf takes no --lowercase"),
    ):
        with pytest.raises(SystemExit) as stopped:
            tokenize_text.main([str(data_dir), *flags])
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("source", ["/nope", "models/nope/deeper", "../nope", "brt", "data/x.txt"])
def test_a_wrong_model_folder_is_one_sentence(
    source: str, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "bert").mkdir()
    (tmp_path / "data" / "x.txt").write_text("x")
    with raises("hub-unreachable" if source == "brt" else "encoder-missing") as error:
        tokenize_with_hf(data_dir, source)
    message = str(error.value)
    assert message.startswith(f"hf:{source}: ")
    assert "Repo id" not in message
    assert ("the folder bert" in message) == (source == "brt")
    assert not (data_dir / "text").exists()


def test_quantizers_have_folders_too(toy_corpus: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(toy_corpus, data, ignore=shutil.ignore_patterns("text", "speech"))
    first = tokenize_with_kmeans(data, n_clusters=6, max_train_frames=500).folder
    second = tokenize_with_kmeans(data, n_clusters=7, max_train_frames=500).folder
    assert names_of(data, "speech") == ["kmeans-6", "kmeans-7"]
    with raises("tokens-name-taken"):
        tokenize_with_kmeans(data, n_clusters=8, name="kmeans-7")
    other = tmp_path / "other"
    shutil.copytree(data, other, ignore=shutil.ignore_patterns("speech"))
    source = ["--tokenizer", str(first), "--workers", "1"]
    assert tokenize_speech.main([str(other), *source, "--name", "theirs"]) == 0
    assert content(other / "speech" / "theirs")["test.bin"] == content(first)["test.bin"]
    again = ["--name", "theirs", "--workers", "1"]
    assert tokenize_speech.main([str(other), *again]) == 0
    before = content(second)
    assert tokenize_speech.main([str(data), "--name", "kmeans-7", "--workers", "1"]) == 0
    assert content(second) == before
