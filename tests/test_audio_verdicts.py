"""Every command gives the same verdict on the same audio."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from audio_kinds import KINDS, VOICE, holed, stereo

from data_prep.audio.decoding import AudioError
from data_prep.audio.loading import load_audio, load_with_warnings, measure_all, measure_audio
from data_prep.audio.segment import as_segment
from data_prep.commands.validate import validate
from data_prep.errors import Fault
from data_prep.files.listing import (
    AUDIO_SUFFIXES,
    suffix_of,
)
from data_prep.schema import (
    Corpus,
    Utterance,
    write_corpus,
)
from data_prep.tables.prepare import prepare_table
from data_prep.tables.recipe import TableRecipe
from emo_fairseq.data.audio import WaveformDataset
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.inputs import ItemReader
from emo_fairseq.serving.audio_uploads import decode_upload
from emo_fairseq.serving.http_errors import HttpError
from emo_fairseq.serving.limits import Limits

Verdict = tuple[int | str, tuple[str, ...]]  # samples or reason, kinds of warnings
Log = pytest.LogCaptureFixture


def kinds(warnings: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(warning.partition(":")[0] for warning in warnings)


def by_loading(path: Path, log: Log) -> Verdict:
    samples, warnings = load_with_warnings(path)
    assert len(samples) == len(load_audio(path))
    return len(samples), kinds(warnings)


def by_loading_bytes(path: Path, log: Log) -> Verdict:
    samples, warnings = load_with_warnings(path.read_bytes())
    np.testing.assert_array_equal(samples, load_audio(path))
    return len(samples), kinds(warnings)


def by_loading_an_open_file(path: Path, log: Log) -> Verdict:
    with path.open("rb") as file:
        samples, warnings = load_with_warnings(file)
    np.testing.assert_array_equal(samples, load_audio(path))
    return len(samples), kinds(warnings)


def by_measuring(path: Path, log: Log) -> Verdict:
    (measured,) = measure_all([path], 16_000)
    if isinstance(measured, AudioError):
        raise measured
    assert measured.n_samples == measure_audio(path, 16_000)
    return measured.n_samples, kinds(measured.warnings)


def by_table(path: Path, log: Log) -> Verdict:
    table = path.with_suffix(".csv")
    table.write_text(f"id,audio,part\na,{path.name},train\n")
    columns = {"id": "id", "audio": "audio"}
    recipe = TableRecipe("mine", columns, data_raw=path.parent, split_column="part")
    corpus = prepare_table({"": table}, path.parent / "out", recipe)
    (row,) = (path.parent / "out" / "train.tsv").read_text().splitlines()[1:]
    notes = [note.partition(",")[0] for note in corpus.notes if ", 1 rows: a" in note]
    return int(row.split("\t")[2]), tuple(notes)


def length_in_manifest(path: Path) -> int:
    try:
        return measure_audio(path, 16_000)
    except AudioError:
        return 8000


def by_validate(path: Path, log: Log) -> Verdict:
    n_samples = length_in_manifest(path)
    row = Utterance("a", audio=path.name, n_samples=n_samples)
    write_corpus(path.parent / "data", Corpus("mine"), {"train": [row]})
    odd: list[Fault] = []
    faults = validate(path.parent / "data", path.parent, warnings=odd)
    if faults:
        raise ValueError(str(faults[0]))
    return n_samples, kinds([fault.what.partition(f"{path.name}: ")[2] for fault in odd])


def by_training(path: Path, log: Log) -> Verdict:
    lengths = np.array([length_in_manifest(path)])
    log.clear()
    leaf = WaveformDataset([path], lengths, 20 * 16_000, ["train.tsv: a"])
    samples, present = leaf[0]
    assert present
    return len(samples), kinds([line.partition(f"{path}: ")[2] for line in log.messages])


def by_tokenizing(path: Path, log: Log) -> Verdict:
    log.clear()
    samples = as_segment(path).load()
    return len(samples), kinds([line.partition(f"{path}: ")[2] for line in log.messages])


def by_predict(path: Path, log: Log) -> Verdict:
    item = ItemReader(["speech"], True).read("item 1", path, None)
    assert item.samples is not None
    return len(item.samples), kinds(item.warnings)


def by_serve(path: Path, log: Log) -> Verdict:
    try:
        sound = decode_upload(path.read_bytes(), Limits().audio_seconds)
    except HttpError as refused:
        raise ValueError(refused.message) from refused
    return len(sound.samples), kinds(sound.warnings)


COMMANDS: tuple[Callable[[Path, Log], Verdict], ...] = (
    by_loading,
    by_loading_bytes,
    by_loading_an_open_file,
    by_measuring,
    by_table,
    by_validate,
    by_tokenizing,
    by_training,
    by_predict,
    by_serve,
)


def verdict_of(command: Callable[[Path, Log], Verdict], path: Path, log: Log) -> Verdict:
    try:
        return command(path, log)
    except (ValueError, UsageError) as error:
        return str(error), ()


@pytest.mark.parametrize("name", KINDS)
def test_one_verdict(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kind = KINDS[name]
    path = tmp_path / "a.bin"  # formats are recognized by their content
    path.write_bytes(kind.make())
    caplog.set_level(logging.WARNING)
    verdicts = {command.__name__: verdict_of(command, path, caplog) for command in COMMANDS}
    length = verdicts["by_loading"][0]
    for command_name, (found, warnings) in verdicts.items():
        if isinstance(kind.verdict, str):
            assert isinstance(found, str), command_name
            assert kind.verdict in found, command_name
            assert "\n" not in found
        else:
            assert found == length, command_name
            assert found == pytest.approx(kind.verdict, abs=kind.tolerance), command_name
            assert warnings == kind.warnings, command_name


@pytest.mark.parametrize(
    ("samples", "verdict", "warnings"),
    [
        (VOICE, 8000, ()),
        ((VOICE * 32768).astype(np.int16), 8000, ()),
        (stereo(VOICE, VOICE), 8000, ()),
        (VOICE * 32768, KINDS["float at the scale of int16"].verdict, ()),
        (holed(np.nan), KINDS["NaN"].verdict, ()),
        (VOICE[:399], KINDS["399 samples"].verdict, ()),
        (VOICE[:0], KINDS["no samples"].verdict, ()),
        (0 * VOICE, 8000, KINDS["digital silence"].warnings),
        (stereo(VOICE, -VOICE), 8000, KINDS["antiphase"].warnings),
    ],
)
def test_an_array_gets_the_verdict_of_a_file(
    samples: np.ndarray, verdict: int | str, warnings: tuple[str, ...]
) -> None:
    def read(source: Any) -> Verdict:
        try:
            item = ItemReader(["speech"], True).read("item 1", source, None, 16_000)
        except UsageError as error:
            return str(error), ()
        assert item.samples is not None
        return len(item.samples), kinds(item.warnings)

    for source in (samples, torch.from_numpy(samples)):
        found, odd = read(source)
        assert odd == warnings
        assert found == verdict if isinstance(verdict, int) else verdict in str(found)


def test_a_sound_that_a_table_holds_is_stored_by_its_content() -> None:
    suffixes = {
        **{name: ".wav" for name in KINDS if name.startswith(("WAV", "RF64"))},
        "AIFF float": ".aiff",
        "AU float": ".au",
        "CAF float": ".caf",
        "W64 float": ".w64",
        "FLAC": ".flac",
        "Ogg Vorbis": ".ogg",
        "MP3": ".mp3",
        "NIST SPHERE": ".sph",
        "m4a": ".m4a",
        "mp4": ".m4a",
        "webm": ".webm",
    }
    for name, suffix in suffixes.items():
        assert suffix_of(KINDS[name].make()) == suffix, name
        assert suffix in AUDIO_SUFFIXES
    with pytest.raises(ValueError, match=r"begins with b'<htm', which is none of .*\.wav"):
        suffix_of(KINDS["text"].make())
