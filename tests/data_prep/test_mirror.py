"""Data dirs at a URL: what is fetched, what is written back, and what other writers change."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from data_prep.errors import CodedError, Fault, ManifestError
from data_prep.files import remote
from data_prep.files.mirror import mirrored, origin_of, with_origin
from data_prep.manifest.audio_root import audio_root

fsspec = pytest.importorskip("fsspec")

URL = "memory://bucket/corpus"
TEXT = "text/bpe"


class Store:
    """Files in the memory of this process, as an object store has them."""

    def __init__(self) -> None:
        self.system = fsspec.filesystem("memory")

    def __setitem__(self, name: str, content: str) -> None:
        self.system.pipe_file(f"/bucket/corpus/{name}", content.encode())

    def __getitem__(self, name: str) -> str:
        content: bytes = self.system.cat_file(f"/bucket/corpus/{name}")
        return content.decode()

    def __delitem__(self, name: str) -> None:
        self.system.rm_file(f"/bucket/corpus/{name}")

    def names(self) -> set[str]:
        return {str(n).removeprefix("/bucket/corpus/") for n in self.system.find("/bucket/corpus")}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("EMO_FAIRSEQ_CACHE", str(tmp_path / "cache"))
    made = Store()
    made["train.tsv"] = "rows"
    made["corpus.yaml"] = "name: noise\n"
    made["audio/1.wav"] = "sound"
    made[f"{TEXT}/train.bin"] = "tokens"
    made[f"{TEXT}/tokenizer.yaml"] = "card"
    yield made
    made.system.rm("/bucket", recursive=True)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read from the store."""
    read: list[str] = []
    download = remote.RemotePath.download

    def recorded(path: remote.RemotePath, file: Path) -> None:
        read.append(path.name)
        download(path, file)

    monkeypatch.setattr(remote.RemotePath, "download", recorded)
    return read


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are written to the store."""
    written: list[str] = []
    upload = remote.RemotePath.upload

    def recorded(path: remote.RemotePath, file: Path) -> None:
        written.append(path.name)
        upload(path, file)

    monkeypatch.setattr(remote.RemotePath, "upload", recorded)
    return written


def test_files_are_fetched_once_and_changes_are_written_back(
    store: Store, downloads: list[str], uploads: list[str]
) -> None:
    with mirrored(URL, writes=["text"]) as folder:
        assert sorted(downloads) == ["corpus.yaml", "tokenizer.yaml", "train.bin", "train.tsv"]
        (folder / TEXT / "tokenizer.yaml").write_text("card of three")
        (folder / TEXT / "train.bin").write_text("other tokens")
        (folder / TEXT / "valid.bin").write_text("new")
        (folder / TEXT / ".lock").touch()
    assert uploads == ["train.bin", "valid.bin", "tokenizer.yaml"], "the card last"
    assert (store[f"{TEXT}/train.bin"], store[f"{TEXT}/valid.bin"]) == ("other tokens", "new")
    assert f"{TEXT}/.lock" not in store.names()
    downloads.clear()
    with mirrored(URL, reads=["text"]) as again:
        assert (again, downloads) == (folder, [])
        (again / TEXT / "valid.bin").unlink()
    assert f"{TEXT}/valid.bin" in store.names(), "it is read only"
    with mirrored(URL, writes=["text"]) as again:
        assert downloads == ["valid.bin"]
        (again / TEXT / "valid.bin").unlink()
    assert f"{TEXT}/valid.bin" not in store.names()
    assert len(uploads) == 3


def test_a_file_that_is_new_at_the_url_is_fetched(store: Store, downloads: list[str]) -> None:
    with mirrored(URL, writes=["text"]) as folder:
        (folder / "train.tsv").write_text("edited in the mirror")
    assert store["train.tsv"] == "rows"
    downloads.clear()
    store["corpus.yaml"] = "name: other\n"
    del store[f"{TEXT}/train.bin"]
    with mirrored(URL, writes=["text"]) as folder:
        assert sorted(downloads) == ["corpus.yaml", "train.tsv"]
        assert (folder / "train.tsv").read_text() == "rows"
        assert not (folder / TEXT / "train.bin").exists()


def interrupt(**contents: str) -> None:
    """Write token files in the mirror, and end as by Ctrl-C."""
    with mirrored(URL, writes=["text"]) as folder:
        for split, content in contents.items():
            (folder / TEXT / f"{split}.bin").write_text(content)
        raise KeyboardInterrupt


def test_an_interrupted_command_continues_and_then_uploads(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupt(train="finished", valid="finished, too")
    assert store[f"{TEXT}/train.bin"] == "tokens"
    with mirrored(URL, writes=["text"]) as folder:
        assert (folder / TEXT / "train.bin").read_text() == "finished"
    assert (store[f"{TEXT}/train.bin"], store[f"{TEXT}/valid.bin"]) == ("finished", "finished, too")


def test_what_others_wrote_replaces_what_was_not_uploaded(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupt(train="finished")
    store[f"{TEXT}/train.bin"] = "of another machine"
    with mirrored(URL, writes=["text"]) as folder:
        assert (folder / TEXT / "train.bin").read_text() == "of another machine"


@pytest.mark.parametrize("change", ["write", "remove", "create"])
def test_a_change_meanwhile_is_not_overwritten(store: Store, change: str) -> None:
    name = f"{TEXT}/{'valid' if change == 'create' else 'train'}.bin"

    def run() -> None:
        with mirrored(URL, writes=["text"]) as folder:
            (folder / name).write_text("ours")
            if change == "remove":
                del store[name]
            else:
                store[name] = "theirs"

    message = f"^{URL}/{name}: was changed while this command ran; run it again$"
    with pytest.raises(CodedError, match=message) as error:
        run()
    assert error.value.code == "file-changed"
    assert name not in store.names() or store[name] == "theirs"
    with mirrored(URL, writes=["text"]):
        pass  # the next command takes it as it is now
    assert store[name] == ("ours" if change == "remove" else "theirs")


def test_errors_name_the_url_and_what_is_finished_is_kept(store: Store) -> None:
    def run() -> None:
        with mirrored(URL, writes=["text"]) as folder:
            (folder / TEXT / "valid.bin").write_text("finished")
            fault = Fault(str(folder / "train.tsv"), 3, "is odd", f"see {folder}", "row-odd")
            raise ManifestError(fault)

    message = f"^{URL}/train.tsv: row 3: is odd; see {URL}$"
    with pytest.raises(ManifestError, match=message) as error:
        run()
    assert error.value.code == "row-odd"
    assert store[f"{TEXT}/valid.bin"] == "finished"


def test_recordings_stay_at_the_url(store: Store) -> None:
    with mirrored(URL) as folder:
        assert not (folder / "audio").exists()
        assert audio_root(folder) == origin_of(folder) == remote.as_path(URL)
        assert with_origin(f"{folder}/a.wav", folder) == f"{URL}/a.wav"
        (folder / "corpus.yaml").write_text("name: noise\ndata_raw: audio\n")
        assert audio_root(folder) == remote.as_path(f"{URL}/audio")


def test_a_data_dir_of_this_machine_is_itself(tmp_path: Path) -> None:
    with mirrored(tmp_path, writes=["text"]) as folder:
        assert folder == tmp_path == origin_of(folder)


def test_a_url_without_a_folder_is_named(store: Store) -> None:
    url = "memory://bucket/none"
    with pytest.raises(ManifestError, match=f"^{url}: not a folder; name the folder"):
        mirrored(url).__enter__()


def test_a_name_that_leaves_the_folder_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "/bucket/corpus/text/../../../other"
    info = {"name": name, "type": "file", "size": 1}
    with monkeypatch.context() as patch:
        patch.setattr(type(store.system), "find", lambda *_, **__: {name: info})
        with pytest.raises(CodedError, match="which is no path of a file") as error:
            mirrored(URL, reads=["text"]).__enter__()
    assert error.value.code == "object-name-invalid"
