import time
from pathlib import Path

import pytest

from data_prep.commands.inspect_corpus import inspect
from data_prep.commands.summary import main
from data_prep.errors import ManifestError
from data_prep.manifest.summary import (
    NO_LABEL,
    TOTAL,
    group_dropped,
    print_summary,
    render_summary,
    summarize,
)
from data_prep.schema import (
    Corpus,
    DroppedRow,
    Utterance,
    write_corpus,
)

LABELS = {"emotion": ("glad", "sad"), "sentiment": ("good",)}
TRAIN = [
    Utterance("a", text="Hi", speaker="ann", emotion="glad", sentiment="good", dialogue="d1"),
    Utterance("b", audio="b.wav", n_samples=16_000 * 3600, speaker="ann", emotion="sad"),
    Utterance("c", text="Ho", valence=0.1, arousal=0.2, dominance=0.3),
]
TEST = [
    Utterance("d", text="Hm", audio="d.wav", n_samples=16_000 * 900, speaker="ann", emotion="sad"),
    Utterance("e", text="Oh", speaker="bob", valence=0.5, sentiment_score=-1.5),
]
TABLE = """\
small: official

split  rows  hours  text  audio  VAD  score  speakers  dialogues
train     3  1.000     2      1    1      0         1          1
test      2  0.250     2      1    0      1         2          0
total     5  1.250     4      2    1      1         2          1

emotion     train      test     total
glad     1  33.3%  0   0.0%  1  20.0%
sad      1  33.3%  1  50.0%  2  40.0%
(none)   1  33.3%  1  50.0%  2  40.0%

sentiment     train      test     total
good       1  33.3%  0   0.0%  1  20.0%
(none)     2  66.7%  2 100.0%  4  80.0%

dropped: 2 x audio: there is no such file (x, y)
dropped: 1 x row: no text (z)
note: mind the gap
warning: emotion: in train, and not in test, where its recall is undefined: 'glad' (1 row)
warning: emotion: fewer than 5 rows in train: 'glad' (1 row), 'sad' (1 row)
warning: sentiment: 'good' (1 row) is the only class there is: there is nothing to classify, and \
a training refuses it
"""


def small_corpus() -> Corpus:
    gone = "there is no such file"
    return Corpus(
        "small",
        labels=dict(LABELS),
        protocol="official",
        notes=["mind the gap"],
        dropped=[
            DroppedRow("test", "z", "no text"),
            DroppedRow("train", "x", gone, "audio"),
            DroppedRow("test", "y", gone, "audio"),
        ],
    )


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    write_corpus(tmp_path / "small", small_corpus(), {"train": TRAIN, "test": TEST})
    return tmp_path / "small"


def test_the_whole_summary(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    print_summary(data_dir)
    assert capsys.readouterr().out == TABLE
    assert main([str(data_dir)]) == 0
    assert capsys.readouterr().out == TABLE


def test_counts_are_of_the_rows_given() -> None:
    summary = summarize(small_corpus(), {"train": TRAIN, "test": TEST})
    assert summary.counts[TOTAL]["speakers"] == 2  # ann is in both splits
    assert summary.labels["emotion"]["train"] == {"glad": 1, "sad": 1, NO_LABEL: 1}
    assert summary.labels["sentiment"][TOTAL] == {"good": 1, NO_LABEL: 4}


def test_an_empty_data_dir_has_a_summary_too() -> None:
    text = render_summary(summarize(Corpus("none", labels=dict(LABELS)), {"train": []}))
    assert "train     0  0.000" in text
    assert "glad     0   0.0%  0   0.0%\n" in text
    assert "score" not in text


def test_scores_are_shown_only_where_there_are_any(data_dir: Path) -> None:
    text = render_summary(summarize(small_corpus(), {"train": TRAIN}))
    assert "score" not in text


def test_rows_of_several_corpora_are_counted_by_corpus() -> None:
    rows = [Utterance("a/1", text="x", corpus="a"), Utterance("b/1", text="y", corpus="b")]
    text = render_summary(summarize(Corpus("a+b"), {"train": rows, "test": rows[1:]}))
    assert "corpus     train      test     total\na       1  50.0%  0   0.0%  1  33.3%\n" in text


def test_reasons_that_differ_in_numbers_are_one_group() -> None:
    rows = [DroppedRow("train", f"r{i}", f"truncated: {i} of 99 bytes") for i in range(7)]
    rows.append(DroppedRow("train", "s", "3 labels"))
    (many, one) = group_dropped(rows)
    assert (many.reason, many.count) == ("truncated: N of N bytes", 7)
    assert many.first_ids == ("r0", "r1", "r2", "r3", "r4")
    assert (one.reason, one.count) == ("3 labels", 1)


def test_many_reasons_are_cut_short_and_counted() -> None:
    corpus = Corpus("x", dropped=[DroppedRow("", f"r{i}", "no " + "x" * i) for i in range(25)])
    text = render_summary(summarize(corpus, {"train": TRAIN}))
    assert text.count("dropped: 1 x row: no ") == 20
    assert "dropped: 5 more for 5 further reasons; corpus.yaml lists each" in text


def test_a_stale_count_is_said(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (data_dir / "test.tsv").read_text().splitlines(keepends=True)
    (data_dir / "test.tsv").write_text("".join(lines[:-1]))
    capsys.readouterr()
    print_summary(data_dir)
    said = "note: corpus.yaml counts 2 rows in test, where the manifest has 1"
    assert said in capsys.readouterr().out


def test_no_data_dir_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 1
    assert "error: " in capsys.readouterr().err
    with pytest.raises(ManifestError, match=r"no corpus\.yaml"):
        print_summary(tmp_path)


def test_twenty_thousand_rows_take_a_second(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = Corpus("big", labels={"emotion": ("a", "b")}, disjoint=("speaker", "dialogue"))
    splits = {
        split: [
            Utterance(
                f"{split}{i}",
                text=f"{split} says {i}",
                speaker=f"{split}{i % 99}",
                dialogue=f"{split}{i // 9}",
                emotion="ab"[i % 2],
                valence=0.5,
            )
            for i in range(n)
        ]
        for split, n in (("train", 16_000), ("valid", 2_000), ("test", 2_000))
    }
    write_corpus(tmp_path, corpus, splits)
    start = time.process_time()
    inspect(tmp_path)
    assert time.process_time() - start < 12  # 0.8 s; each row beside each would be minutes
    assert "total  20000" in capsys.readouterr().out


def test_nothing_is_written(data_dir: Path) -> None:
    before = {path: path.read_bytes() for path in data_dir.iterdir()}
    print_summary(data_dir)
    assert {path: path.read_bytes() for path in data_dir.iterdir()} == before
