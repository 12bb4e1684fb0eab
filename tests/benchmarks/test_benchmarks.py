"""All benchmarks by one command: rows run, ratios are saved, and a regression is reported."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.registry import INPUTS, ROWS, Row, by_name
from benchmarks.results import Ratio

ROOT = Path(__file__).parents[2]
AGAINST = "the faster of pytorch-metric-learning and a masked log-sum-exp"
FAST = Row("contrastive", ("contrastive",), quick=("--rows", "8", "--rounds", "1", "--memory-rows"))


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Row("text", ("text_throughput", "{minilm}", "{meld}"))
    monkeypatch.setattr(benchmarks, "ROWS", (text, FAST))


def test_a_run_prints_saves_and_compares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    earlier, file = tmp_path / "earlier.json", tmp_path / "ratios.json"
    ratio = Ratio("contrastive loss, 8 rows", 0.1, "ms", AGAINST, 1000.0)
    command = benchmarks.command_of(FAST, full=False)
    benchmarks.save(earlier, [benchmarks.Measured("contrastive", command, ratio)])
    assert benchmarks.main(["--save", str(file), "--compare", str(earlier)]) == 1
    printed = capsys.readouterr().out
    assert "text: not run, since it needs --input minilm meld" in printed
    (row,) = json.loads(file.read_text())["ratios"]
    assert (row["of"], row["command"]) == (ratio.of, command)
    assert 0 < row["ratio"] < ratio.ratio
    assert f"| {row['of']} | {row['measured']:.4g} ms | {row['ratio']:.2f} |" in printed
    assert f"regression: {ratio.name}: {row['ratio']:.2f}, which was 1000.00" in printed


def test_a_row_that_fails_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(benchmarks, "ROWS", (Row("none", ("no_such_benchmark",)),))
    assert benchmarks.main([]) == 1
    assert "No module named" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["--input", "minilm=no/such/folder"], ["--input", "other=."]], ids=str
)
def test_wrong_inputs_are_refused(words: Sequence[str]) -> None:
    with pytest.raises(SystemExit):
        benchmarks.main(words)


def test_every_row_is_a_benchmark_with_known_inputs() -> None:
    assert len(by_name()) == len(ROWS)
    for row in ROWS:
        file = ROOT / "benchmarks" / f"{row.command[0]}.py"
        assert "add_json_option" in file.read_text(), row.name
        assert set(row.inputs) <= INPUTS.keys()


def test_a_ratio_is_compared_with_that_of_the_same_command_alone() -> None:
    now = [benchmarks.Measured("text", "quick", Ratio("text", 9.0, "rows/s", "a loop", 1.0))]
    assert not benchmarks.find_regressions(now, {("full", "text / a loop"): 2.0})
    assert benchmarks.find_regressions(now, {("quick", "text / a loop"): 2.0})
