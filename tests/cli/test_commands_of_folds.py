"""The commands that `data_prep.folds` prints run as they are."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from codes import raises

from data_prep.folds.__main__ import main as make_folds
from data_prep.schema import SPLITS, Corpus, Utterance, write_corpus
from emo_fairseq.cli.checkpoints import find_checkpoint
from emo_fairseq.experiments.sweep import main as sweep

Lines = dict[str, list[str]]


@pytest.fixture
def printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Lines]:
    """Make three folds of rows by speaker, in one split or in three; return the printed words."""

    def make(n_splits: int = 3, **values: object) -> Lines:
        monkeypatch.chdir(tmp_path)
        rows = [
            Utterance(f"r{n:02d}", speaker=f"s{n % 6}", **values)  # type: ignore[arg-type]
            for n in range(24)
        ]
        names = SPLITS if n_splits == 3 else ("all",)
        splits = {name: rows[number :: len(names)] for number, name in enumerate(names)}
        folder = tmp_path / "my data"
        write_corpus(folder, Corpus("mine", labels={"emotion": ("sad",)}), splits)
        capsys.readouterr()
        assert make_folds(["my data", "--protocol", "k_fold", "--n-folds", "3"]) == 0
        lines = [line.split(" with: ") for line in capsys.readouterr().out.splitlines()]
        return {line[0]: shlex.split(line[1]) for line in lines if len(line) == 2}

    return make


@pytest.mark.parametrize("n_splits", [1, 3])
@pytest.mark.parametrize(
    ("values", "target"), [({"emotion": "sad"}, "emotion"), ({"arousal": 0.5}, "vad")]
)
def test_training_and_a_sweep_take_what_is_printed(
    printed: Callable[..., Lines],
    command: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
    n_splits: int,
    values: dict[str, object],
    target: str,
) -> None:
    lines = printed(n_splits, audio="a.wav", n_samples=16_000, **values)
    assert list(lines) == ["train all", "train one", "score it", "sweep"]
    name, *words = lines["train one"]
    assert name == "emotion-recognize"
    shown = command(*words, "--dry-run")
    assert "--fold k_fold/1" in shown
    assert f"--target {target}" in shown
    python, module, name, *words = lines["sweep"]
    assert [python, module, name] == ["python", "-m", "emo_fairseq.experiments.sweep"]
    assert sweep([*words, "--dry-run"]) == 0
    runs = capsys.readouterr().out.splitlines()
    assert [f"++task.fold=k_fold/{n}" in run for n, run in enumerate(runs, start=1)] == [True] * 3


def test_validation_takes_the_folder_of_the_training_that_is_printed(
    printed: Callable[..., Lines], command: Callable[..., str]
) -> None:
    lines = printed(emotion="sad", audio="a.wav", n_samples=16_000)
    output = Path(lines["train one"][lines["train one"].index("--output") + 1])
    assert lines["score it"] == ["emotion-recognize", "evaluate", str(output), "my data"]
    for number, model in enumerate(("A--ET(base)", "A--ET(other)")):
        checkpoint = output / model / "checkpoint_best.pt"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.touch()
        if number == 0:
            assert find_checkpoint(output) == checkpoint
    with raises("checkpoint-missing") as error:
        find_checkpoint(output)
    assert "2 trainings (A--ET(base), A--ET(other))" in str(error.value)


def test_text_alone_has_no_sweep(printed: Callable[..., Lines]) -> None:
    lines = printed(emotion="sad", text="well")
    assert list(lines) == ["train all", "train one", "score it"]
    assert lines["train all"][-2:] == ["--target", "emotion"]
