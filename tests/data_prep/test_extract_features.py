"""Log-mel frames on disk: equal to those computed, row by row, and never stale or half-written."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import hf_folders
import numpy as np
import pytest
import soundfile
import three_tones
import torch
import transformers
from codes import raises
from pretrained import tiny_checkpoints

from data_prep.audio.loading import load_audio
from data_prep.audio.segment import AudioRows
from data_prep.commands import pack_audio
from data_prep.commands.extract_features import main
from data_prep.commands.tokenize_text import tokenize_with_hf
from data_prep.commands.validate import validate
from data_prep.errors import Fault
from data_prep.features.extraction import are_of_audio
from data_prep.features.frame_files import StoredFeatures
from data_prep.features.log_mel import N_MELS, frames_of
from data_prep.features.stored import open_features, read_card
from data_prep.schema import Corpus, Utterance, read_manifest, write_corpus, write_manifest
from emo_fairseq import pretrained
from emo_fairseq.models.modality_encoder import ModalityEncoder

LENGTHS = {"long": 16_000, "short": 400, "middle": 5_000}
NO_PACKED = ("--packed-audio", "off")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A corpus of one split: three sounds, one of a single frame, and a row without audio."""
    noise = np.random.default_rng(0)
    rows = [Utterance(id="silent", text="no audio")]
    for name, length in LENGTHS.items():
        soundfile.write(tmp_path / f"{name}.wav", noise.uniform(-0.5, 0.5, length), 16_000)
        rows.append(Utterance(id=name, audio=f"{name}.wav", n_samples=length))
    write_corpus(tmp_path, Corpus("noise"), {"train": rows})
    return tmp_path


def extract_log_mel(data_dir: Path, *options: str) -> Path:
    """Run the command without an encoder; returns the folder of the frames."""
    assert main([str(data_dir), "--workers", "1", *options]) == 0
    return data_dir / "features" / "log_mel"


def test_stored_frames_are_the_computed_ones(data_dir: Path) -> None:
    folder = extract_log_mel(data_dir)
    rows = read_manifest(data_dir / "train.tsv")
    stored = open_features(folder, "train", rows)
    assert stored is not None
    assert isinstance(stored.frames, np.memmap)
    assert len(stored) == len(rows)
    for position, row in enumerate(rows):
        expected = np.zeros((0, N_MELS))
        if row.audio is not None:
            expected = frames_of(load_audio(data_dir / row.audio))
        assert stored[position].shape == expected.shape
        np.testing.assert_allclose(stored[position], expected, atol=0.01)
    assert [len(stored[position]) for position in range(4)] == [0, 98, 1, 29]


def test_the_number_of_workers_changes_nothing(data_dir: Path) -> None:
    alone = (extract_log_mel(data_dir) / "train.npy").read_bytes()
    shutil.rmtree(data_dir / "features")
    assert (extract_log_mel(data_dir, "--workers", "2") / "train.npy").read_bytes() == alone


@pytest.mark.parametrize("workers", ["1", "2"])
def test_packed_audio_gives_the_same_frames_and_needs_no_files(
    data_dir: Path, workers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    decoded = (extract_log_mel(data_dir, *NO_PACKED) / "train.npy").read_bytes()
    shutil.rmtree(data_dir / "features")
    assert pack_audio.main([str(data_dir)]) == 0
    for name in LENGTHS:
        (data_dir / f"{name}.wav").unlink()
    folder = extract_log_mel(data_dir, "--workers", workers)
    assert (folder / "train.npy").read_bytes() == decoded
    shutil.rmtree(data_dir / "features")
    assert main([str(data_dir), *NO_PACKED]) == 1
    assert "[file-unreadable]" in capsys.readouterr().err


def test_damaged_packed_audio_is_refused(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack_audio.main([str(data_dir)])
    samples = data_dir / "packed_audio" / "train.s16le"
    content = bytearray(samples.read_bytes())
    content[100] ^= 1
    samples.write_bytes(content)
    assert main([str(data_dir)]) == 1
    assert "[packed-audio-damaged]" in capsys.readouterr().err


def test_what_is_finished_is_not_done_again(data_dir: Path) -> None:
    array = extract_log_mel(data_dir) / "train.npy"
    before = array.stat().st_mtime_ns
    extract_log_mel(data_dir)
    assert array.stat().st_mtime_ns == before


def test_frames_of_another_manifest_are_refused_and_then_redone(data_dir: Path) -> None:
    folder = extract_log_mel(data_dir)
    rows = read_manifest(data_dir / "train.tsv")
    edited = [*rows[:-1], replace(rows[-1], n_samples=4_999)]
    with raises("features-outdated"):
        open_features(folder, "train", edited)
    write_manifest(data_dir / "train.tsv", rows[:2])
    extract_log_mel(data_dir)
    stored = open_features(folder, "train", rows[:2])
    assert stored is not None
    assert len(stored) == 2


def test_a_bad_file_leaves_no_half_written_split(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data_dir / "middle.wav").write_bytes(b"")
    assert main([str(data_dir)]) == 1
    assert "[audio-empty]" in capsys.readouterr().err
    folder = data_dir / "features" / "log_mel"
    assert not [path for path in folder.iterdir() if path.name != ".lock"]
    assert "train" not in read_card(folder).get("splits", {})


def test_a_folder_without_the_split_has_no_frames(data_dir: Path) -> None:
    assert open_features(data_dir / "features" / "log_mel", "train", []) is None


def test_other_sound_under_the_same_name_is_extracted_again(data_dir: Path) -> None:
    folder = extract_log_mel(data_dir)
    rows = read_manifest(data_dir / "train.tsv")
    soundfile.write(data_dir / "long.wav", np.zeros(LENGTHS["long"]), 16_000)
    extract_log_mel(data_dir)
    stored = open_features(folder, "train", rows)
    assert stored is not None
    assert np.ptp(stored[1]) == 0  # digital silence


# -- other encoders --------------------------------------------------------------------------------


def rows_of(data_dir: Path) -> list[Utterance]:
    return read_manifest(data_dir / "train.tsv")


def extract(data_dir: Path, *options: object) -> StoredFeatures:
    """Run the command; returns the train split of the newest folder."""
    assert main([str(data_dir), *map(str, options)]) == 0
    cards = (data_dir / "features").glob("*/features.yaml")
    newest = max(cards, key=lambda card: card.stat().st_mtime_ns).parent
    stored = open_features(newest, "train", rows_of(data_dir))
    assert stored is not None
    return stored


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny wav2vec 2.0 in fairseq's own file."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("fairseq") / "tiny.pt"
    return tiny_checkpoints.wav2vec2().save(file)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hf_folders.build(tmp_path_factory.mktemp("hf") / "tiny-bert")


def speech_encoder(checkpoint: Path, layer: str = "last") -> ModalityEncoder:
    card = pretrained.describe("speech", f"fairseq:{checkpoint}")
    backbone = pretrained.build(card)
    pretrained.load(backbone, card)
    return ModalityEncoder(backbone, layer).eval()


def test_packed_speech_of_a_pretrained_encoder(data_dir: Path, wav2vec2: Path) -> None:
    words = [str(data_dir), "--encoder", f"fairseq:{wav2vec2}", "--name", "own"]
    assert main(words) == 0
    decoded = (data_dir / "features" / "own" / "train.npy").read_bytes()
    shutil.rmtree(data_dir / "features")
    assert pack_audio.main([str(data_dir)]) == 0
    for name in LENGTHS:
        (data_dir / f"{name}.wav").unlink()
    assert main(words) == 0
    assert (data_dir / "features" / "own" / "train.npy").read_bytes() == decoded


@pytest.mark.parametrize("layer", ["last", "1", "mean"])
def test_speech_of_a_pretrained_encoder(data_dir: Path, wav2vec2: Path, layer: str) -> None:
    options = ("--encoder", f"fairseq:{wav2vec2}", "--layer", layer, "--max-seconds", "0.5")
    stored = extract(data_dir, *options)
    assert stored.frames.dtype == np.float16
    encoder = speech_encoder(wav2vec2, layer)
    for position, row in enumerate(rows_of(data_dir)):
        if row.audio is None:
            assert stored[position].shape == (0, 16)
            continue
        waveform = torch.from_numpy(load_audio(data_dir / row.audio)[None, :8000])
        mask = torch.zeros_like(waveform, dtype=torch.bool)
        if waveform.size(1) < 400:
            waveform = torch.nn.functional.pad(waveform, (0, 400 - waveform.size(1)))
            mask = torch.zeros_like(waveform, dtype=torch.bool)
        with torch.no_grad():
            expected, _ = encoder.encode(waveform=waveform, padding_mask=mask)
        np.testing.assert_allclose(
            stored[position], expected[0, :, 0].numpy(), rtol=2e-3, atol=2e-3
        )


@pytest.mark.parametrize("pool", ["none", "mean_std"])
def test_all_layers_side_by_side(data_dir: Path, wav2vec2: Path, pool: str) -> None:
    options = ("--encoder", f"fairseq:{wav2vec2}", "--dtype", "float32", "--pool", pool)
    every = extract(data_dir, *options, "--layer", "all", "--name", "every")
    n_layers = read_card(data_dir / "features" / "every")["settings"]["layers"]
    assert n_layers == speech_encoder(wav2vec2).backbone.n_layers + 1
    frames = every.frames.reshape(len(every.frames), n_layers, -1)
    for number in range(n_layers):
        alone = extract(data_dir, *options, "--layer", str(number))
        np.testing.assert_allclose(frames[:, number], alone.frames, atol=1e-6)


def test_segments_of_a_pretrained_encoder(tmp_path: Path, wav2vec2: Path) -> None:
    three_tones.write_recording(tmp_path / "long.wav", rate=16_000)
    whole = load_audio(tmp_path / "long.wav")
    clips = []
    for number, row in enumerate(three_tones.rows()):
        part = whole[number * three_tones.FRAMES :][: three_tones.FRAMES]
        soundfile.write(tmp_path / f"{number}.wav", part, 16_000, "FLOAT")
        clips.append(replace(row, audio=f"{number}.wav", start=None, end=None))
    options = ("--encoder", f"fairseq:{wav2vec2}", "--dtype", "float32")
    found = {}
    for name, rows in (("parts", three_tones.rows()), ("clips", clips)):
        corpus = Corpus("tones", labels={"emotion": ("sad", "glad")})
        write_corpus(tmp_path / name, corpus, {"train": rows})
        found[name] = extract(tmp_path / name, *options, "--data-raw", str(tmp_path))
    for number in range(3):
        np.testing.assert_allclose(found["parts"][number], found["clips"][number], atol=1e-6)
    assert np.abs(found["parts"][0] - found["parts"][1]).max() > 0.01


@pytest.mark.parametrize(("pool", "width"), [("mean", 16), ("mean_std", 32)])
def test_a_vector_an_utterance(data_dir: Path, wav2vec2: Path, pool: str, width: int) -> None:
    spec = f"fairseq:{wav2vec2}"
    frames = extract(data_dir, "--encoder", spec, "--dtype", "float32")
    vectors = extract(data_dir, "--encoder", spec, "--pool", pool)
    assert {path.name for path in (data_dir / "features").glob("tiny*")} == {"tiny", f"tiny-{pool}"}
    assert vectors.frames.dtype == np.float32
    assert vectors.frames.shape == (3, width)
    assert len(vectors[0]) == 0  # no audio
    np.testing.assert_allclose(vectors[1][0, :16], frames[1].mean(axis=0), rtol=1e-5, atol=1e-6)
    if pool == "mean_std":
        np.testing.assert_allclose(vectors[1][0, 16:], frames[1].std(axis=0), rtol=1e-4, atol=1e-5)


def test_other_settings_begin_again(data_dir: Path, wav2vec2: Path, tmp_path: Path) -> None:
    """And the same encoder elsewhere does not."""
    name = ("--name", "mine")
    array = data_dir / "features" / "mine" / "train.npy"
    extract(data_dir, "--encoder", f"fairseq:{wav2vec2}", *name)

    def changes(*options: object) -> bool:
        before = array.stat().st_mtime_ns
        extract(data_dir, *options, *name)
        return array.stat().st_mtime_ns != before

    copied = shutil.copy(wav2vec2, tmp_path / "copied.pt")
    assert not changes("--encoder", f"fairseq:{copied}")
    assert changes("--encoder", f"fairseq:{copied}", "--layer", "2")
    assert changes("--encoder", f"fairseq:{copied}", "--layer", "2", "--dtype", "float32")
    assert changes("--encoder", f"fairseq:{copied}", "--max-seconds", "0.2")
    torch.manual_seed(5)
    tiny_checkpoints.wav2vec2().save(tmp_path / "copied.pt")
    assert changes("--encoder", f"fairseq:{copied}", "--max-seconds", "0.2")


@pytest.mark.parametrize("encoder", ["log_mel", "wav2vec2"])
def test_features_of_recordings_that_have_changed(
    encoder: str, data_dir: Path, request: pytest.FixtureRequest
) -> None:
    if encoder == "log_mel":
        folder = extract_log_mel(data_dir)
    else:
        spec = f"fairseq:{request.getfixturevalue(encoder)}"
        extract(data_dir, "--encoder", spec, "--name", "mine", "--max-seconds", "0.5")
        folder = data_dir / "features" / "mine"
    rows = read_manifest(data_dir / "train.tsv")
    assert are_of_audio(folder, "train", rows, AudioRows(rows, data_dir))
    recording = data_dir / "long.wav"
    soundfile.write(recording, np.zeros(8_000), 16_000)
    assert not are_of_audio(folder, "train", rows, AudioRows(rows, data_dir))
    warnings: list[Fault] = []
    faults = validate(data_dir, warnings=warnings)
    assert [fault.code for fault in faults] == ["length-mismatch"]
    assert "features-outdated" in [warning.code for warning in warnings]
    recording.unlink()  # features need no recordings
    assert are_of_audio(folder, "train", rows, AudioRows(rows, data_dir))


def test_text_of_a_pretrained_encoder(tmp_path: Path, bert: Path) -> None:
    texts = ["i am so happy for you", None, "no no no"]
    rows = [Utterance(id=f"t{number}", text=text) for number, text in enumerate(texts)]
    write_corpus(tmp_path, Corpus("text"), {"train": rows})
    tokenize_with_hf(tmp_path, bert)
    options = ("--modality", "text", "--encoder", f"hf:{bert}", "--dtype", "float32")
    stored = extract(tmp_path, *options)
    assert (tmp_path / "features" / "tiny-bert").is_dir()
    model = transformers.AutoModel.from_pretrained(bert)
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    for position, text in enumerate(texts):
        if text is None:
            assert stored[position].shape == (0, 16)
            continue
        with torch.no_grad():
            expected = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        np.testing.assert_allclose(stored[position], expected.numpy(), atol=1e-5)
    before = (tmp_path / "features" / "tiny-bert" / "train.npy").stat().st_mtime_ns
    extract(tmp_path, *options)
    assert (tmp_path / "features" / "tiny-bert" / "train.npy").stat().st_mtime_ns == before
    edited = [replace(rows[0], text="i am so sad for you"), *rows[1:]]
    write_manifest(tmp_path / "train.tsv", edited)
    with raises("features-outdated"):
        open_features(tmp_path / "features" / "tiny-bert", "train", edited)
    tokenize_with_hf(tmp_path, bert)
    assert not np.array_equal(extract(tmp_path, *options)[0], stored[0])


def test_tokens_of_another_tokenizer_are_refused(
    toy_corpus: Path, tmp_path: Path, bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "toy"
    shutil.copytree(toy_corpus, data)
    assert main([str(data), "--modality", "text", "--encoder", f"hf:{bert}"]) == 1
    error = capsys.readouterr().err
    assert f"tokenize_text DATA --bpe hf:{bert}" in error
    shutil.rmtree(data / "text")
    assert main([str(data), "--modality", "text", "--encoder", f"hf:{bert}"]) == 1
    assert "holds no tokens; run `python -m data_prep.tokenize_text" in capsys.readouterr().err


def test_egemaps(data_dir: Path) -> None:
    opensmile = pytest.importorskip("opensmile")
    stored = extract(data_dir, "--encoder", "egemaps", "--workers", "1")
    assert stored.frames.shape == (3, 88)
    assert stored.frames.dtype == np.float32
    assert [len(stored[position]) for position in range(4)] == [0, 1, 1, 1]
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    waveform = load_audio(data_dir / "long.wav")
    expected = smile.process_signal(waveform, 16_000).to_numpy()
    np.testing.assert_allclose(stored[1], expected, rtol=1e-5)


def test_egemaps_without_opensmile(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "opensmile", None)
    assert main([str(data_dir), "--encoder", "egemaps"]) == 2
    assert "--encoder egemaps: needs openSMILE; `pip install opensmile`" in capsys.readouterr().err


def test_features_that_others_made_are_not_overwritten(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = data_dir / "features" / "theirs"
    folder.mkdir(parents=True)
    np.save(folder / "train.npy", np.zeros((4, 3)))
    assert main([str(data_dir), "--name", "theirs"]) == 1
    assert "train.npy: was not made by this command" in capsys.readouterr().err
    assert np.load(folder / "train.npy").shape == (4, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--encoder", "wavlm"], "'wavlm' is none of log_mel, egemaps, hf:FOLDER"),
        (["--encoder", "hf:"], "'hf:' is none of"),
        (["--layer", "3"], "--encoder log_mel reads speech, and has no layers"),
        (["--encoder", "egemaps", "--modality", "text"], "--encoder egemaps reads speech"),
        (
            ["--encoder", "hf:x", "--layer", "first"],
            "'first' is none of last, mean, all, or a number",
        ),
        (["--encoder", "hf:x", "--name", "log_mel"], "--name log_mel is that of log-mel frames"),
        (["--workers", "2", "--max-seconds", "9"], "--encoder log_mel takes no --max-seconds"),
        (["--encoder", "egemaps", "--max-seconds", "9"], "egemaps takes no --max-seconds"),
        (
            [
                "--encoder",
                "hf:x",
                "--modality",
                "text",
                "--max-seconds",
                "9",
                "--data-raw",
                "x",
            ],
            "--encoder hf:x --modality text takes no --data-raw, --max-seconds",
        ),
        (["--encoder", "hf:x", "--max-seconds", "0"], "--max-seconds: 0 is not above 0"),
    ],
)
def test_options_that_cannot_be(
    tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), *options])
    assert message in capsys.readouterr().err
