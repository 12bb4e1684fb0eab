"""From which folders recordings are read where another data dir is scored than that of training."""

import argparse
import itertools
from pathlib import Path

import pytest
from codes import raises
from fairseq import checkpoint_utils
from omegaconf import OmegaConf

from data_prep.schema import Corpus, Utterance, write_corpus
from emo_fairseq.cli.evaluate.fairseq_command import command
from emo_fairseq.cli.evaluate.training_record import Training
from emo_fairseq.errors import UsageError
from emo_fairseq.targets import TARGETS, LabeledTarget
from emo_fairseq.tasks.teachers import teacher_from_checkpoint

FOLDERS = ("--data-raw", "--video-raw", "--packed-audio-dir")


@pytest.fixture
def filmed(tmp_path: Path) -> Path:
    """A data dir whose videos are beside it."""
    corpus = Corpus("filmed", labels={"emotion": ("glad", "sad")}, video_raw="../clips")
    row = Utterance("a", text="so", emotion="sad", video="a.mp4")
    write_corpus(tmp_path / "data", corpus, {"test": [row]})
    return tmp_path / "data"


def folders_of(data: Path, trained_on: Path, data_raw: Path | None = None) -> dict[str, str]:
    """The options of fairseq-validate that name folders of recordings."""
    options = argparse.Namespace(
        data=data,
        data_raw=data_raw,
        split="test",
        batch_size=8,
        save_predictions=None,
        cpu=True,
        further=[],
    )
    words = command(options, Path("checkpoint.pt"), Training(None, trained_on, None))
    pairs = itertools.pairwise(words)
    return {name: value for name, value in pairs if name in FOLDERS}


def test_videos_of_another_data_dir_are_its_own(filmed: Path) -> None:
    """Those of the training may have the same names."""
    assert folders_of(filmed, filmed) == {}
    own = {
        "--video-raw": str(filmed / "../clips"),
        "--packed-audio-dir": str(filmed / "packed_audio"),
    }
    other = filmed.parent / "other"
    assert folders_of(filmed, other) == {"--data-raw": str(filmed), **own}
    assert folders_of(filmed, other, filmed.parent) == {"--data-raw": str(filmed.parent), **own}


@pytest.mark.parametrize("is_own", [True, False])
def test_a_teacher_reads_the_recordings_of_its_data_dir(
    is_own: bool, filmed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained_on = filmed if is_own else filmed.parent / "other"
    saved = {"cfg": OmegaConf.create({"task": {"data": str(trained_on)}})}
    given: dict[str, str | None] = {}

    def load(paths: list[str], overrides: dict[str, str | None]) -> None:
        given.update(overrides)
        raise UsageError("enough", "stop-here")

    monkeypatch.setattr(checkpoint_utils, "load_checkpoint_to_cpu", lambda *_: saved)
    monkeypatch.setattr(checkpoint_utils, "load_model_ensemble_and_task", load)
    student = LabeledTarget(TARGETS["emotion"], ["glad", "sad"])
    with raises("stop-here"):
        teacher_from_checkpoint("t.pt", {"data": str(filmed)}, student, lambda *_: None, None)
    of_training = {} if is_own else {"data_raw": None, "video_raw": None, "packed_audio_dir": None}
    assert given == {"data": str(filmed), **of_training}
