"""Recordings, audio roots and outputs at s3:// of a local server give what files give."""

import shutil
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from data_prep.commands import (
    extract_features,
    pack_audio,
    tokenize_speech,
    tokenize_text,
    validate,
)
from data_prep.files.remote import RemotePath, as_path
from data_prep.schema import Corpus, Utterance, write_corpus
from emo_fairseq.cli.__main__ import main

moto_server = pytest.importorskip("moto.server")
fsspec = pytest.importorskip("fsspec")

BUCKET = "s3://recordings"


@pytest.fixture(scope="module")
def store() -> Iterator[Any]:
    """A server on 127.0.0.1 with one bucket, and fsspec configured for it."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    port = server._server.port
    given = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        forkserver._forkserver._stop()  # that of another test has the environment of before
        files = fsspec.filesystem("s3")
        files.mkdir("recordings")
        yield files
    server.stop()


@pytest.fixture(scope="module")
def corpus(store: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data dir without audio, whose audio is in `audio/` beside it and in the bucket."""
    root = tmp_path_factory.mktemp("corpus")
    (root / "audio").mkdir()
    random = np.random.default_rng(0)
    rows = []
    for number in range(12):
        n_samples = int(random.integers(8_000, 24_000))
        soundfile.write(root / f"audio/{number}.flac", random.normal(0, 0.1, n_samples), 16_000)
        text = f"clip number {number} is {('a sad', 'a glad', 'no')[number % 3]} one"
        rows.append(Utterance(f"u{number}", audio=f"{number}.flac", n_samples=n_samples, text=text))
    write_corpus(root / "data", Corpus(name="noise"), {"train": rows})
    store.put(str(root / "audio"), "recordings/audio", recursive=True)
    return root


def content_of(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_remote_path_is_a_path(corpus: Path) -> None:
    root = as_path(f"{BUCKET}/audio")
    file = as_path(Path(f"{BUCKET}/audio/3.flac"))
    assert isinstance(file, RemotePath)
    assert (file, str(file)) == (root / "3.flac", "s3://recordings/audio/3.flac")
    assert (file.name, file.suffix, file.parent) == ("3.flac", ".flac", root)
    assert (file.is_file(), file.is_dir(), root.is_dir()) == (True, False, True)
    assert not (root / "none.flac").exists()
    local = corpus / "audio/3.flac"
    assert file.stat().st_size == local.stat().st_size
    assert file.open("rb").read() == local.read_bytes()
    names = {path.name for path in (corpus / "audio").iterdir()}
    assert {path.name for path in root.rglob("*")} == names
    assert {path.parent for path in root.rglob("*")} == {root}


def test_features_and_tokens_of_audio_in_a_bucket(corpus: Path) -> None:
    found = {}
    for name, root in {"files": str(corpus / "audio"), "bucket": f"{BUCKET}/audio"}.items():
        data = Path(shutil.copytree(corpus / "data", corpus / name))
        words = [str(data), "--data-raw", root]
        assert validate.main(words) == 0
        assert extract_features.main(words) == 0
        assert tokenize_speech.main([*words, "--n-clusters", "4", "--workers", "1"]) == 0
        found[name] = content_of(data)
        digests = found[name].pop("features/.digests.json", b"").decode()
        assert ("s3://recordings/audio/0.flac" in digests) == (name == "bucket")
    assert found["bucket"] == found["files"]
    assert "features/log_mel/train.npy" in found["bucket"]


def test_a_data_dir_in_a_bucket(
    store: Any, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = Path(shutil.copytree(corpus / "data", tmp_path / "dir"))
    shutil.copytree(corpus / "audio", local, dirs_exist_ok=True)
    store.put(str(local), "recordings/dir", recursive=True)
    url = f"{BUCKET}/dir"
    commands: list[tuple[Callable[[list[str]], int], list[str]]] = [
        (extract_features.main, ["--workers", "1"]),
        (tokenize_speech.main, ["--n-clusters", "4", "--workers", "1"]),
        (tokenize_text.main, []),
        (pack_audio.main, ["--workers", "1"]),
        (validate.main, []),
    ]
    printed = {}
    for place in (str(local), url):
        capsys.readouterr()
        for command, words in commands:
            assert command([place, *words]) == 0
        printed[place] = capsys.readouterr().out
    assert printed[url] == printed[str(local)].replace(str(local), url)
    stored = {n.removeprefix("recordings/dir/"): store.cat_file(n) for n in files_in(store, "dir")}
    expected = {n: c for n, c in content_of(local).items() if not Path(n).name.startswith(".")}
    assert stored.keys() == expected.keys()
    of_sources = {"packed_audio/train.files.npy", "packed_audio/packed_audio.yaml"}  # their times
    assert {n for n in stored if stored[n] != expected[n]} == of_sources
    assert {"features/log_mel/train.npy", "packed_audio/train.s16le"} < stored.keys()
    assert len([name for name in stored if name.startswith(("text/", "speech/"))]) > 6

    store.pipe_file("recordings/dir/train.tsv", stored["train.tsv"].replace(b"u3\t", b"u4\t"))
    assert validate.main([url]) == 1
    shown = capsys.readouterr()
    assert f"{url}/train.tsv: row 6: id 'u4' was used in row 5; " in shown.out
    assert f"error: {url}: " in shown.err


def test_other_paths_of_these_commands_are_on_this_machine(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(corpus / "data")
    for command, words in (
        (pack_audio.main, ["--out-dir", f"{BUCKET}/packed"]),
        (tokenize_speech.main, ["--tokenizer", f"{BUCKET}/dir/speech/kmeans"]),
        (tokenize_text.main, ["--tokenizer", f"{BUCKET}/dir/text/bpe"]),
    ):
        assert command([data, *words]) == 2
        error = capsys.readouterr().err
        assert f"error: {words[0]} {words[1]}: is no folder or file of this machine; " in error
        assert error.endswith("[path-not-local]\n")
    assert validate.main([f"{BUCKET}/none"]) == 1
    assert f"{BUCKET}/none" in capsys.readouterr().err


def files_in(store: Any, folder: str) -> list[str]:
    store.invalidate_cache()
    return list(store.find(f"recordings/{folder}"))


def test_a_missing_object_is_named(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(corpus / "data"), "--data-raw", f"{BUCKET}/elsewhere"]
    assert extract_features.main(words) == 1
    error = capsys.readouterr().err
    assert "s3://recordings/elsewhere/0.flac: cannot be read" in error


def test_predict_reads_and_writes_a_bucket(
    store: Any, corpus: Path, trained_models: Any, tmp_path: Path
) -> None:
    model = trained_models.folder("--modality speech --speech-input log_mel")
    local, remote = tmp_path / "local.csv", f"{BUCKET}/out/predictions.csv"
    assert main(["predict", str(model), str(corpus / "audio"), "--output", str(local)]) == 0
    assert main(["predict", str(model), f"{BUCKET}/audio", "--output", remote]) == 0
    written = store.cat_file("recordings/out/predictions.csv").decode()
    assert written.replace(f"{BUCKET}/audio", str(corpus / "audio")) == local.read_text()
    table = tmp_path / "table.csv"
    table.write_text(f"audio\n{BUCKET}/audio/0.flac\n")
    assert main(["predict", str(model), str(table), "--output", str(tmp_path / "one.csv")]) == 0
    row, expected = ((tmp_path / "one.csv").read_text().splitlines()[1], local.read_text())
    assert row.split(",")[2:6] == expected.splitlines()[1].split(",")[1:5]
