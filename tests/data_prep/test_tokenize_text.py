"""Text tokens: fairseq's own ids, fitted on train alone, the same bytes every time."""

import csv
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codes import raises
from token_folders import tokens_of

from data_prep.commands.tokenize_text import (
    main,
    tokenize_with_gpt2,
    tokenize_with_sentencepiece,
)
from data_prep.corpora.toy import write_sentence
from data_prep.schema import Corpus, Utterance, read_manifest, write_corpus
from data_prep.tokens import token_files
from data_prep.tokens.folder import EOS, UNK, load_dictionary, read_card
from data_prep.tokens.text_tokenizers import load_text_tokenizer

RealData = Callable[[str], Path]
SIZES = {"train": 300, "valid": 20, "test": 20}


def sentences(split: str, n: int) -> list[str]:
    rng = np.random.default_rng(len(split))
    return [write_sentence([True, False, None][i % 3], rng) for i in range(n)]


def write_texts(folder: Path, texts: dict[str, Sequence[str | None]]) -> Path:
    rows = {
        split: [Utterance(f"{split}{i}", text=text) for i, text in enumerate(these)]
        for split, these in texts.items()
    }
    write_corpus(folder, Corpus(name="texts"), rows)
    return folder


@pytest.fixture
def texts() -> dict[str, Sequence[str | None]]:
    return {split: sentences(split, n) for split, n in SIZES.items()}


@pytest.fixture
def data_dir(tmp_path: Path, texts: dict[str, Sequence[str | None]]) -> Path:
    return write_texts(tmp_path / "data", texts)


def stored(folder: Path, split: str) -> list[list[int]]:
    from fairseq.data.indexed_dataset import MMapIndexedDataset  # worker processes need it not

    dataset = MMapIndexedDataset(str(folder / split))
    return [dataset[i].tolist() for i in range(len(dataset))]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name != ".lock"}


# --- sentencepiece --------------------------------------------------------------------------------


def test_rows_are_the_manifests_and_read_back(data_dir: Path, texts: dict[str, Any]) -> None:
    tokenize_with_sentencepiece(data_dir)
    tokenizer = load_text_tokenizer(tokens_of(data_dir))
    for split, these in texts.items():
        rows = stored(tokens_of(data_dir), split)
        assert [tokenizer.decode(row) for row in rows] == these
        assert all(row.index(EOS) == len(row) - 1 for row in rows)
        assert [tokenizer.encode(text).tolist() for text in these] == rows
    assert tokenizer.encode("So good.").dtype == np.int64


def test_piece_ids_are_the_dictionarys(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sentencepiece

    monkeypatch.setattr("data_prep.tokens.text_tokenizers._COUNTED_AT_ONCE", 64)  # of 300
    folder = tokenize_with_sentencepiece(data_dir)
    dictionary = load_text_tokenizer(tokens_of(data_dir)).dictionary
    pieces = sentencepiece.SentencePieceProcessor(
        model_file=str(tokens_of(data_dir) / "sentencepiece.model")
    )
    assert dictionary.symbols[:4] == ["<s>", "<pad>", "</s>", "<unk>"]
    assert dictionary.symbols == [pieces.id_to_piece(i) for i in range(len(pieces))]
    assert len(dictionary) == folder.vocab_size == read_card(tokens_of(data_dir))["vocab_size"]
    counts = np.bincount(np.concatenate(stored(tokens_of(data_dir), "train")), minlength=300)
    assert dictionary.count[4:] == counts[4 : len(dictionary)].tolist()


def test_a_row_without_text_is_eos_alone_and_counted(tmp_path: Path) -> None:
    texts = {"train": [*sentences("train", 50), None, None], "valid": [None, "Well."]}
    data_dir = write_texts(tmp_path, texts)
    tokenize_with_sentencepiece(data_dir)
    assert stored(tokens_of(data_dir), "train")[50:] == [[EOS], [EOS]]
    assert stored(tokens_of(data_dir), "valid")[0] == [EOS]
    splits = read_card(tokens_of(data_dir))["splits"]
    assert [counts["missing"] for counts in splits.values()] == [2, 1]


def test_the_model_is_fitted_on_train_only(tmp_path: Path, texts: dict[str, Any]) -> None:
    folders = []
    for i, other in enumerate([sentences("test", 20), ["zebra zebra quagga"] * 20]):
        data_dir = write_texts(tmp_path / str(i), {**texts, "test": other})
        folders.append(tokenize_with_sentencepiece(data_dir).folder)
    first, second = map(snapshot, folders)
    for name in ("sentencepiece.model", "dict.txt", "train.bin", "train.idx", "valid.bin"):
        assert first[name] == second[name], name
    assert first["test.bin"] != second["test.bin"]


def test_unknown_characters_are_bytes_or_unknown_tokens(data_dir: Path) -> None:
    tokenize_with_sentencepiece(data_dir)
    tokenizer = load_text_tokenizer(tokens_of(data_dir))
    strange = "The 日本 party was 😀."
    assert UNK not in tokenizer.encode(strange)
    assert tokenizer.decode(tokenizer.encode(strange)) == strange
    folder = tokenize_with_sentencepiece(data_dir, byte_fallback=False, name="no-bytes").folder
    tokens = load_text_tokenizer(folder).encode(strange)
    assert (tokens == UNK).sum() == 2


def test_unknown_tokens_are_counted_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {"train": sentences("train", 100), "test": ["日", "今日"]}
    data_dir = write_texts(tmp_path, texts)
    assert main([str(data_dir), "--no-byte-fallback"]) == 0
    rows = stored(tokens_of(data_dir), "test")
    unknown = sum(row.count(UNK) for row in rows)
    assert unknown == 2
    assert read_card(tokens_of(data_dir))["splits"]["test"]["unknown"] == unknown
    assert f"{unknown / sum(map(len, rows)):.3%}" in capsys.readouterr().out


def test_control_symbols_in_the_text_are_text(tmp_path: Path) -> None:
    texts = {"train": [*sentences("train", 100), *["say <s> </s> <pad> <unk>"] * 50]}
    tokenize_with_sentencepiece(write_texts(tmp_path, texts))
    tokenizer = load_text_tokenizer(tokens_of(tmp_path))
    tokens = tokenizer.encode("<s> </s> <pad> <unk>")
    assert (tokens[:-1] > UNK).all()
    assert tokenizer.decode(tokens) == "<s> </s> <pad> <unk>"


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_a_small_text_shrinks_the_vocabulary_and_says_so(
    model_type: str, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tokenize_with_sentencepiece(data_dir, vocab_size=5000, model_type=model_type)
    assert 260 < folder.vocab_size < 5000
    assert f"yields {folder.vocab_size} pieces, not the 5000" in caplog.text


def test_too_small_a_vocabulary_is_refused_and_changes_nothing(data_dir: Path) -> None:
    tokenize_with_sentencepiece(data_dir)
    before = snapshot(tokens_of(data_dir))
    with raises("vocabulary-size"):
        tokenize_with_sentencepiece(data_dir, vocab_size=100)
    assert snapshot(tokens_of(data_dir)) == before


def test_a_train_split_without_text_is_refused(tmp_path: Path) -> None:
    data_dir = write_texts(tmp_path, {"train": [None], "test": ["hello"]})
    with raises("text-missing"):
        tokenize_with_sentencepiece(data_dir)


def test_lowercase_folds_case(data_dir: Path) -> None:
    folder = tokenize_with_sentencepiece(data_dir, lowercase=True).folder
    encode = load_text_tokenizer(folder).encode
    assert encode("The PARTY").tolist() == encode("the party").tolist()
    folder = tokenize_with_sentencepiece(data_dir, lowercase=False).folder
    encode = load_text_tokenizer(folder).encode
    assert encode("The PARTY").tolist() != encode("the party").tolist()


# --- the same every time, and never twice ---------------------------------------------------------


def test_one_worker_and_two_write_the_same_bytes(tmp_path: Path, texts: dict[str, Any]) -> None:
    one, two = (write_texts(tmp_path / name, texts) for name in ("one", "two"))
    tokenize_with_sentencepiece(one, workers=1)
    tokenize_with_sentencepiece(two, workers=2)
    assert snapshot(tokens_of(one)) == snapshot(tokens_of(two))


def test_a_rerun_skips_what_is_there_and_redoes_what_changed(
    data_dir: Path, texts: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    tokenize_with_sentencepiece(data_dir)
    before = {f.name: f.stat().st_mtime_ns for f in tokens_of(data_dir).iterdir()}
    caplog.clear()
    tokenize_with_sentencepiece(data_dir)
    assert caplog.text.count("is up to date, skipped") == 3
    after = {f.name: f.stat().st_mtime_ns for f in tokens_of(data_dir).iterdir()}
    del before[".lock"], after[".lock"]
    assert after == before

    caplog.clear()
    write_texts(data_dir, {**texts, "test": ["Something new.", *texts["test"][1:]]})
    tokenize_with_sentencepiece(data_dir)
    assert caplog.text.count("skipped") == 2
    tokenizer = load_text_tokenizer(tokens_of(data_dir))
    assert tokenizer.decode(stored(tokens_of(data_dir), "test")[0]) == "Something new."

    caplog.clear()
    write_texts(data_dir, {**texts, "train": texts["train"][:-1]})
    tokenize_with_sentencepiece(data_dir)
    assert "starting again" in caplog.text
    assert "skipped" not in caplog.text


def test_stopped_midway_it_leaves_no_half_and_the_rerun_equals_an_unbroken_run(
    tmp_path: Path, texts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, whole = (write_texts(tmp_path / name, texts) for name in ("broken", "whole"))
    write = token_files.write_token_files
    left = SIZES["train"] + 5

    def fail_in_the_second_split(*files: Path, rows: Any, n_symbols: int) -> None:
        def until_it_fails() -> Iterator[np.ndarray]:
            nonlocal left
            for row in rows:
                if not left:
                    raise KeyboardInterrupt
                left -= 1
                yield row

        write(*files, rows=until_it_fails(), n_symbols=n_symbols)

    with monkeypatch.context() as patch:
        patch.setattr("data_prep.tokens.folder.write_token_files", fail_in_the_second_split)
        with pytest.raises(KeyboardInterrupt):
            tokenize_with_sentencepiece(broken)
    assert sorted(snapshot(tokens_of(broken))) == [
        "dict.txt",
        "sentencepiece.model",
        "tokenizer.yaml",
        "train.bin",
        "train.idx",
    ]
    assert set(read_card(tokens_of(broken))["splits"]) == {"train"}
    tokenize_with_sentencepiece(broken)
    tokenize_with_sentencepiece(whole)
    assert snapshot(tokens_of(broken)) == snapshot(tokens_of(whole))


# --- GPT-2 ----------------------------------------------------------------------------------------


def gpt2_files(real_data: RealData) -> dict[str, Path]:
    folder = real_data("gpt2_bpe")
    return {
        "encoder_json": folder / "encoder.json",
        "vocab_bpe": folder / "vocab.bpe",
        "dictionary": folder / "dict.txt",
    }


@pytest.mark.realdata
def test_gpt2_ids_are_fairseqs_own(real_data: RealData, tmp_path: Path) -> None:
    from fairseq.data import Dictionary
    from fairseq.data.encoders.gpt2_bpe import GPT2BPE, GPT2BPEConfig

    with (real_data("meld") / "test_sent_emo.csv").open(encoding="utf-8", newline="") as file:
        texts = [line["Utterance"] for line in csv.DictReader(file)][:500]
    texts += ["  two  spaces ", "naïve 😀 日本", "don't we'll", "<s> <mask>", "a\u00a0b", "\u2019s"]
    files = gpt2_files(real_data)
    data_dir = write_texts(tmp_path, {"train": texts, "test": [None, *texts[:3]]})
    tokenize_with_gpt2(data_dir, **files)

    texts = [str(row.text) for row in read_manifest(data_dir / "train.tsv")]
    assert len(texts) > 500
    config = GPT2BPEConfig(
        gpt2_encoder_json=str(files["encoder_json"]), gpt2_vocab_bpe=str(files["vocab_bpe"])
    )
    bpe = GPT2BPE(config)
    dictionary = Dictionary.load(str(files["dictionary"]))
    own = [
        dictionary.encode_line(bpe.encode(text), append_eos=True, add_if_not_exist=False).tolist()
        for text in texts
    ]
    assert stored(tokens_of(data_dir), "train") == own
    assert stored(tokens_of(data_dir), "test") == [[EOS], *own[:3]]
    tokenizer = load_text_tokenizer(tokens_of(data_dir))
    assert [tokenizer.encode(text).tolist() for text in texts] == own
    assert [tokenizer.decode(ids) for ids in own] == texts
    assert len(tokenizer.dictionary) == read_card(tokens_of(data_dir))["vocab_size"] == 50_264
    # RoBERTa's published ids of its own example, behind the <s> that the task puts in front.
    assert tokenizer.encode("Hello world!").tolist() == [31414, 232, 328, 2]


@pytest.mark.realdata
def test_gpt2_folder_keeps_its_files_and_is_skipped_next_time(
    real_data: RealData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = gpt2_files(real_data)
    data_dir = write_texts(tmp_path, {"train": ["Hello world!"]})
    arguments = [str(data_dir), "--bpe", "gpt2", "--encoder-json", str(files["encoder_json"])]
    arguments += ["--vocab-bpe", str(files["vocab_bpe"]), "--dict", str(files["dictionary"])]
    assert main(arguments) == 0
    for name, path in zip(("encoder.json", "vocab.bpe", "dict.txt"), files.values(), strict=True):
        assert (tokens_of(data_dir) / name).read_bytes() == path.read_bytes()
    caplog.set_level("INFO")
    assert main(arguments) == 0
    assert "train is up to date, skipped" in caplog.text
    assert tokens_of(data_dir) == data_dir / "text" / "gpt2"


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        (["--bpe", "gpt2"], "needs --encoder-json, --vocab-bpe, --dict"),
        (["--dict", "d"], "takes no --dict"),
        (["--workers", "0"], "0 is not 1 or more"),
        (["--bpe", "wordpiece"], "'wordpiece' is none of sentencepiece, gpt2, hf:FOLDER"),
        (["--bpe", "hf:"], "'hf:' is none of"),
        (["--bpe", "gpt2:large"], "'gpt2:large' is none of"),
    ],
)
def test_a_wrong_command_line_is_explained(
    flags: list[str], what: str, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([str(data_dir), *flags])
    assert stopped.value.code == 2
    assert what in capsys.readouterr().err
    assert not (data_dir / "text").exists()


def test_bad_input_is_one_sentence_and_status_1(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gpt2 = ["--bpe", "gpt2", "--encoder-json", "e", "--vocab-bpe", "v", "--dict", "d"]
    for arguments, what in [
        ([str(tmp_path / "nowhere")], "not a folder"),
        ([str(data_dir), *gpt2], "e: cannot be read"),
    ]:
        assert main(arguments) == 1
        error = capsys.readouterr().err
        assert what in error
        assert "Traceback" not in error


def test_a_folder_of_another_kind_is_not_loaded(tmp_path: Path) -> None:
    with raises("document-invalid"):
        load_text_tokenizer(tmp_path)
    (tmp_path / "tokenizer.yaml").write_text("settings: {quantizer: kmeans}\nfiles: {}\nsplits: {}")
    with raises("tokenizer-missing"):
        load_text_tokenizer(tmp_path)


def test_a_damaged_tokenizer_is_told(copy_toy: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "text"
    shutil.copytree(tokens_of(copy_toy()), folder)
    (folder / "sentencepiece.model").write_bytes(b"no model")
    with raises("file-damaged"):
        load_text_tokenizer(folder)
    (folder / "dict.txt").write_bytes(b"\xff 1\n")
    with raises("dictionary-invalid"):
        load_dictionary(folder / "dict.txt")
