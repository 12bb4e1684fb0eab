"""What the readers of recorded corpora share: bad recordings, missing texts, repeated runs."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from codes import raises
from recorded_corpora import (
    IMPROV_TEXTS,
    WriteSound,
    change,
    iemocap_words,
    write_iemocap,
    write_msp_improv,
    write_msp_podcast,
)

from data_prep.audio.decoding import Reader
from data_prep.audio.opening import open_audio
from data_prep.commands.validate import validate
from data_prep.corpora.iemocap import prepare_iemocap
from data_prep.corpora.msp_improv import prepare_msp_improv
from data_prep.corpora.msp_podcast import prepare_msp_podcast
from data_prep.corpora.recordings import LENGTHS_FILE
from data_prep.schema import Corpus, Utterance, read_manifest


@dataclass(frozen=True)
class Recorded:
    """A corpus, three of its rows, and how to empty the text of one."""

    write: Callable[[Path, WriteSound], Path]
    prepare: Callable[..., Corpus]
    ids: tuple[str, str, str]
    empty_text: Callable[[Path, str], None]


def empty_iemocap(root: Path, name: str) -> None:
    change(iemocap_words(root), f"Say {name[-4:]}.", "")


def empty_improv(root: Path, name: str) -> None:
    (root / IMPROV_TEXTS / f"{name}.txt").write_text(" \n")


def empty_podcast(root: Path, name: str) -> None:
    (root / "Transcripts" / f"{name}.txt").write_text("\n")


RECORDED = {
    "iemocap": Recorded(
        write_iemocap,
        prepare_iemocap,
        ("Ses01F_impro01_F000", "Ses01F_impro01_M000", "Ses01F_impro01_F001"),
        empty_iemocap,
    ),
    "msp_improv": Recorded(
        write_msp_improv,
        prepare_msp_improv,
        (
            "MSP-IMPROV-S01A-F01-S-FM01",
            "MSP-IMPROV-S02N-F02-R-FF01",
            "MSP-IMPROV-S02N-M02-R-MM01",
        ),
        empty_improv,
    ),
    "msp_podcast": Recorded(
        write_msp_podcast,
        prepare_msp_podcast,
        ("MSP-PODCAST_0001_0008", "MSP-PODCAST_0001_0009", "MSP-PODCAST_0002_0001_0001"),
        empty_podcast,
    ),
}


@pytest.fixture(params=RECORDED)
def recorded(request: pytest.FixtureRequest) -> Recorded:
    return RECORDED[request.param]


@pytest.fixture
def corpus_dir(recorded: Recorded, tmp_path: Path, write_sound: WriteSound) -> Path:
    return recorded.write(tmp_path / "corpus", write_sound)


def wav(corpus_dir: Path, name: str) -> Path:
    return next(corpus_dir.rglob(f"{name}.wav"))


def rows_of(out_dir: Path, corpus: Corpus) -> dict[str, Utterance]:
    return {
        row.id: row for split in corpus.splits for row in read_manifest(out_dir / f"{split}.tsv")
    }


def files_of(out_dir: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in out_dir.rglob("*") if path.is_file()}


def test_bad_recordings_are_listed_and_their_rows_kept(
    recorded: Recorded, corpus_dir: Path, tmp_path: Path, cut: Callable[[Path], Path]
) -> None:
    missing, truncated, empty = recorded.ids
    wav(corpus_dir, missing).rename(wav(corpus_dir, missing).with_name(f"._{missing}.wav"))
    cut(wav(corpus_dir, truncated))
    wav(corpus_dir, empty).unlink()
    recorded.empty_text(corpus_dir, empty)
    corpus = recorded.prepare(corpus_dir, tmp_path / "out")
    reasons = {(d.id, d.what): d.reason for d in corpus.dropped if d.id in recorded.ids}
    assert reasons.pop((truncated, "audio")).startswith("audio: truncated")
    assert reasons == {
        (missing, "audio"): "audio: there is no such file",
        (empty, "text"): "the transcript is blank",
        (empty, "row"): "audio: there is no such file, and no text",
    }
    rows = rows_of(tmp_path / "out", corpus)
    assert empty not in rows
    for name in (missing, truncated):
        assert rows[name].audio is None
        assert rows[name].text is not None
    assert validate(tmp_path / "out", corpus_dir) == []


def test_without_any_recording_text_only_is_needed(
    recorded: Recorded, corpus_dir: Path, tmp_path: Path
) -> None:
    for path in corpus_dir.rglob("*.wav"):
        path.unlink()
    out = tmp_path / "out"
    with raises("recordings-missing"):
        recorded.prepare(corpus_dir, out)
    assert not (out / "corpus.yaml").exists()
    corpus = recorded.prepare(corpus_dir, out, text_only=True)
    assert not any(counts["with_audio"] for counts in corpus.splits.values())
    assert validate(out) == []


def test_recordings_none_of_which_can_be_read_are_refused(
    recorded: Recorded, corpus_dir: Path, tmp_path: Path
) -> None:
    for path in corpus_dir.rglob("*.wav"):
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with raises("recordings-missing") as error:
        recorded.prepare(corpus_dir, tmp_path / "out")
    assert "like all of " in str(error.value)
    assert "`git lfs pull`" in str(error.value)
    assert not (tmp_path / "out" / "corpus.yaml").exists()


def test_without_any_text_text_only_is_refused(
    recorded: Recorded, corpus_dir: Path, tmp_path: Path
) -> None:
    for path in [*corpus_dir.rglob("transcriptions/*.txt"), *corpus_dir.rglob("*ran*/**/*.txt")]:
        path.unlink(missing_ok=True)
    with raises("text-missing"):
        recorded.prepare(corpus_dir, tmp_path / "out", text_only=True)


def test_a_second_run_writes_the_same_bytes_and_decodes_changed_files_alone(
    recorded: Recorded,
    corpus_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_sound: WriteSound,
) -> None:
    out = tmp_path / "out"
    recorded.prepare(corpus_dir, out)
    written = files_of(out)
    recorded.prepare(corpus_dir, out)
    assert files_of(out) == written
    changed = write_sound(wav(corpus_dir, recorded.ids[0]), 2000)
    lengths = out / LENGTHS_FILE
    lengths.write_text(lengths.read_text() + "Audios/MSP-PODC")  # cut short in writing
    decoded = []

    def count(path: Path, *rest: object, **limits: Any) -> AbstractContextManager[Reader]:
        decoded.append(path)
        return open_audio(path, **limits)

    monkeypatch.setattr("data_prep.audio.loading.open_audio", count)
    corpus = recorded.prepare(corpus_dir, out)
    assert decoded == [changed]
    assert rows_of(out, corpus)[recorded.ids[0]].n_samples == 2000
    recorded.prepare(corpus_dir, out)
    assert decoded == [changed]
