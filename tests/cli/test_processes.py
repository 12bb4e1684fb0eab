"""Commands that another one runs as its steps."""

from pathlib import Path

from data_prep.commands import table
from emo_fairseq.cli import processes


def test_a_step_prints_no_next_command(tmp_path: Path, capsys) -> None:
    """Else a training prints in its middle how to train."""
    labels = tmp_path / "labels.csv"
    lines = [f"u{n},word {n},{'glad' if n % 2 else 'sad'}\n" for n in range(20)]
    labels.write_text("".join(["id,text,emotion\n", *lines]))
    assert table.main([str(labels), str(tmp_path / "alone")]) == 0
    assert "train with: emotion-recognize train" in capsys.readouterr().out
    log = tmp_path / "log"
    with processes.logged_to(log):
        assert processes.run(processes.module("data_prep.table", labels, tmp_path / "step")) == 0
    assert "emotion, train: " in log.read_text()
    assert "train with" not in log.read_text()
