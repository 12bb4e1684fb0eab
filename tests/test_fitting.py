"""``emo_fairseq.fit``: options as words of ``train``, and a model from a table in memory."""

import subprocess
import sys

import pytest
from codes import raises

import emo_fairseq
from emo_fairseq import fitting
from emo_fairseq.cli import processes
from emo_fairseq.cli.train.options import add_options


def test_an_index_with_a_name_is_a_column(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    table = pandas.DataFrame({"text": ["no", "yes"]})
    assert fitting._file_of(table).read_text() == "text\nno\nyes\n"
    table.index = pandas.Index(["b1", "b2"], name="id")
    assert fitting._file_of(table).read_text() == "id,text\nb1,no\nb2,yes\n"


@pytest.fixture
def words():
    """The words of an option, as ``fit`` writes them."""
    parser = fitting._Parser("fit", add_help=False)
    add_options(parser)
    return lambda name, value: list(fitting._words(parser, name, value))


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("epochs", 3, ["--epochs", "3"]),
        ("freeze", True, ["--freeze"]),
        ("freeze", False, []),
        ("target", None, []),
        ("label_order", ["calm", "angry"], ["--label-order", "calm,angry"]),
        ("column", {"emotion": "label", "id": "utt"}, "--column emotion=label --column id=utt"),
        ("drop_label", ["x", "y"], "--drop-label x --drop-label y"),
        ("vad_scale", (1, 5), ["--vad-scale", "1", "5"]),
    ],
)
def test_options_are_those_of_train(name, value, wanted, words):
    assert words(name, value) == (wanted.split() if isinstance(wanted, str) else wanted)


@pytest.mark.parametrize("name", ["epoch", "dropout", "dry_run", "help"])
def test_other_options_are_refused(name, words):
    with raises("option-unknown"):
        words(name, 1)


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """A folder for temporary files; returns what lists the logs in it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return lambda: list(folder.glob("*.log"))


def test_a_malformed_option_is_one_sentence(toy_corpus, logs):
    with raises("option-malformed"):
        emo_fairseq.fit(toy_corpus, modality="A", epochs=0)
    with raises("fusion-unknown"):
        emo_fairseq.fit(toy_corpus, modality="A", fusion="sum")
    with raises("fold-incomplete"):
        emo_fairseq.fit(toy_corpus, modality="A", fold="k_fold")
    assert logs() == []


def test_a_failed_step_is_its_sentence(toy_corpus, tmp_path, monkeypatch, logs):
    monkeypatch.chdir(tmp_path)
    failing = "import sys; sys.exit('error: disk full')"
    monkeypatch.setattr(processes, "tool", lambda name: sys.executable)
    monkeypatch.setattr(
        "emo_fairseq.cli.train.fairseq_command._base_words",
        lambda *_: [sys.executable, "-c", failing],
    )
    with raises("fit-failed") as error:
        emo_fairseq.fit(toy_corpus, modality="T", output="out")
    (log,) = logs()
    assert str(error.value) == f"disk full (its log is {log})"


def test_importing_the_package_does_not_load_it():
    program = "import emo_fairseq, sys; assert 'emo_fairseq.fitting' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert emo_fairseq.fit is fitting.fit
    with pytest.raises(AttributeError):
        emo_fairseq.train  # noqa: B018
