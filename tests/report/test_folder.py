"""The folder of a report: its page, figures and data, from labels, numbers and several runs."""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import audmetric
import numpy as np
import pytest
from codes import raises
from PIL import Image
from report_cases import LABELS, LOGGED, label_rows, number_rows, write_data, write_predictions
from sklearn.metrics import balanced_accuracy_score, f1_score

from data_prep.manifest.provenance import (
    Provenance,
    write_beside,
)
from data_prep.schema import read_manifest, write_manifest
from emo_fairseq.evaluation import predictions
from emo_fairseq.report import __main__ as command
from emo_fairseq.report.page import slug

AXES = ["valence", "arousal", "dominance"]
VOID = {"meta", "br", "hr", "img", "input", "link"}


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["report", *map(str, words), "--resamples", "20"])
    command.main()


def write_log(file: Path) -> Path:
    lines = []
    for number, pair in enumerate(LOGGED, start=1):
        for split, stats in zip(("train", "valid"), pair, strict=True):
            named = {f"{split}_{key}": str(x) for key, x in (stats | {"num_updates": 9}).items()}
            lines.append(json.dumps({"epoch": number, **named}))
    file.write_text("\n".join(lines))
    return file


def write_embeddings(file: Path) -> Path:
    ids = [f"u{number:03d}" for number in range(50)]  # of 60
    values = np.random.default_rng(0).normal(size=(50, 8))
    np.savez(file, ids=ids, embeddings=values)
    return file


@dataclass
class Given:
    """What the reports of this file are made from."""

    root: Path
    data: Path
    labels: Path
    numbers: Path
    log: Path
    embeddings: Path

    def options(self) -> list[str | Path]:
        return ["--data", self.data, "--log", self.log, "--embeddings", self.embeddings]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    root = tmp_path_factory.mktemp("report")
    return Given(
        root,
        write_data(root / "data"),
        write_predictions(root / "labels.tsv", label_rows()),
        write_predictions(root / "numbers.tsv", number_rows(AXES)),
        write_log(root / "log"),
        write_embeddings(root / "e.npz"),
    )


@pytest.fixture(scope="module")
def without_umap() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "umap", None)
        yield patch


@pytest.fixture(scope="module")
def of_labels(given: Given, without_umap: pytest.MonkeyPatch) -> Path:
    folder = given.root / "of_labels"
    run(without_umap, given.labels, *given.options(), "--output", folder, "--title", "A & <b>")
    return folder


@pytest.fixture(scope="module")
def of_numbers(given: Given, without_umap: pytest.MonkeyPatch) -> Path:
    folder = given.root / "of_numbers"
    run(without_umap, given.numbers, "--data", given.data, "--log", given.log, "--output", folder)
    return folder


@pytest.fixture
def without_drawing(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """For tests of texts and metrics: every picture is empty, which takes no time."""
    empty = {"png": b"", "svg": b"<svg></svg>"}
    monkeypatch.setattr("emo_fairseq.report.folder.render", lambda draw, size: empty)
    monkeypatch.setattr(
        "emo_fairseq.report.plots.maps.METHODS", {"t-SNE": lambda values: values[:, :2]}
    )
    return monkeypatch


class Page(HTMLParser):
    """What is checked of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.without_words: list[str] = []
        self.figures = self.with_words = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [x or "" for name, x in attrs if name in ("href", "src", "srcset", "data")]
        if tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            self.headings.append(int(tag[1]))
        self.figures += tag == "figure"
        if tag in ("img", "svg"):
            words = given.get("alt") or given.get("aria-label") or ""
            self.with_words += len(words) > 20
            if not words:
                self.without_words.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"


@pytest.mark.parametrize("which", ["of_labels", "of_numbers"])
def test_the_page_is_whole_and_loads_nothing(which: str, request: pytest.FixtureRequest) -> None:
    text = (request.getfixturevalue(which) / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert "<script" not in text
    assert page.links
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert {x[1:] for x in page.links if x.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    steps = zip(page.headings, page.headings[1:], strict=False)
    assert all(later <= earlier + 1 for earlier, later in steps)
    assert page.without_words == []
    assert page.figures == page.with_words > 5
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text


def test_what_people_wrote_stays_text(of_labels: Path) -> None:
    text = (of_labels / "report.html").read_text()
    assert "<h1>A &amp; &lt;b&gt;</h1>" in text
    assert "Utterance &lt;" in text


def test_every_figure_is_there_twice_and_opens(of_labels: Path, of_numbers: Path) -> None:
    names = {file.stem for file in (of_labels / "figures").iterdir()}
    assert names == {
        "confusion_counts",
        "confusion_shares",
        "classes",
        "reliability",
        "difficulty",
        "training_loss",
        "training_uar",
        "training_wa",
        "training_weighted_f1",
        *(f"tsne_{what}_{by}" for what in ("vad", "embeddings") for by in ("emotion", "speaker")),
    }
    numbered = {file.stem for file in (of_numbers / "figures").iterdir()}
    assert {f"scatter_{axis}" for axis in AXES} < numbered
    assert {"distribution_valence", "distribution_valence_arousal"} < numbered
    assert {"difficulty", "tsne_vad_emotion", "training_loss"} < numbered
    for folder in (of_labels, of_numbers):
        page = (folder / "report.html").read_text()
        for name in {file.stem for file in (folder / "figures").iterdir()}:
            with Image.open(folder / "figures" / f"{name}.png") as image:
                image.load()
                assert min(image.size) > 300
            Page((folder / "figures" / f"{name}.svg").read_text().split("?>", 1)[1])
            assert f'id="figure-{name}"' in page


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_metrics_of_labels_are_those_of_scikit_learn(given: Given, of_labels: Path) -> None:
    rows = predictions.read(given.labels)
    truth, prediction = ([row[key] for row in rows] for key in ("truth", "prediction"))
    found = json.loads((of_labels / "metrics.json").read_text())["test"]
    assert found["n"] == 60
    assert found["uar"] == pytest.approx(balanced_accuracy_score(truth, prediction))
    of_each = f1_score(truth, prediction, average=None, labels=LABELS)
    assert [found[f"f1_{label}"] for label in LABELS] == pytest.approx(of_each)
    assert found["recall_neutral"] is None
    low, high = found["intervals"]["utterances"]["uar"]
    assert low <= found["uar"] <= high
    assert found["intervals"]["speakers"]["uar"] != [low, high]


def test_what_intervals_do_not_contain_is_stated(of_labels: Path) -> None:
    statement = "do not contain the variance over seeds"
    found = json.loads((of_labels / "metrics.json").read_text())["test"]
    assert found["about_intervals"].endswith(statement)
    page = (of_labels / "report.html").read_text()
    assert statement in page
    assert "Over speakers: Student&#x27;s t over speakers" in page


def test_too_few_speakers_have_no_interval(
    given: Given, tmp_path: Path, without_drawing: pytest.MonkeyPatch
) -> None:
    data = write_data(tmp_path / "data")
    rows = read_manifest(data / "test.tsv")
    alike = [replace(row, speaker=f"s{n % 2}") for n, row in enumerate(rows)]
    write_manifest(data / "test.tsv", alike)
    run(without_drawing, given.labels, "--data", data, "--output", tmp_path / "out")
    reason = "2 speakers < 3: no interval over speakers"
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["test"]
    assert set(found["intervals"]) == {"utterances"}
    assert reason in found["about_intervals"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert reason.replace("<", "&lt;") in page
    assert "95 % over 2 speakers" not in page


def test_metrics_of_numbers_are_those_of_audmetric(given: Given, of_numbers: Path) -> None:
    found = json.loads((of_numbers / "metrics.json").read_text())["test"]
    rows = [row for row in predictions.read(given.numbers) if row["truth_dominance"]]
    truth, prediction = (
        [float(row[f"{key}_dominance"]) for row in rows] for key in ("truth", "prediction")
    )
    assert len(rows) == 59
    assert found["ccc_dominance"] == pytest.approx(audmetric.concordance_cc(truth, prediction))
    expected = audmetric.mean_absolute_error(truth, prediction)
    assert found["mae_dominance"] == pytest.approx(expected)
    assert found["ccc_constant"] is None
    assert set(found["intervals"]) == {"utterances", "speakers"}


def test_undefined_metrics_are_marked(of_labels: Path, of_numbers: Path) -> None:
    for folder in (of_labels, of_numbers):
        assert '<td class="undefined">undefined</td>' in (folder / "report.html").read_text()


def test_the_log_as_a_table(of_labels: Path, of_numbers: Path) -> None:
    with (of_labels / "training_log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["val_uar"] for row in rows] == ["0.25", "0.5"]
    assert rows[0]["train_loss"] == "2"
    header = (of_numbers / "training_log.csv").read_text().splitlines()[0]
    assert header == "epoch,train_loss,val_loss,val_mse,val_rmse,val_mae"


def test_what_is_not_drawn_is_listed(of_labels: Path, of_numbers: Path) -> None:
    text = (of_labels / "not_drawn.txt").read_text()
    assert "UMAP of VAD values: umap-learn is not installed; `pip install umap-learn`\n" in text
    assert "maps colored by corpus: no utterance names one in the manifest\n" in text
    text = (of_numbers / "not_drawn.txt").read_text()
    assert "confusion matrix: numbers were predicted, not labels\n" in text


def test_missing_modalities_have_metrics_of_their_own(of_labels: Path) -> None:
    text = (of_labels / "report.html").read_text()
    assert '<th scope="row">text</th><td>45</td>' in text
    assert '<th scope="row">text+speech</th><td>15</td>' in text


def test_the_same_inputs_give_the_same_bytes(
    given: Given, of_labels: Path, without_umap: pytest.MonkeyPatch
) -> None:
    again = given.root / "again"
    (again / "figures").mkdir(parents=True)
    (again / "report.html").touch()
    (again / "figures" / "stale.png").touch()  # of an earlier report
    run(without_umap, given.labels, *given.options(), "--output", again, "--title", "A & <b>")

    def content(folder: Path) -> dict[str, bytes]:
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    assert content(again) == content(of_labels)


def test_several_runs_are_compared(given: Given, without_drawing: pytest.MonkeyPatch) -> None:
    files = [
        write_predictions(given.root / f"seed{seed}" / "p.tsv", label_rows(12, seed))
        for seed in (1, 2)
    ]
    folder = given.root / "runs"
    run(without_drawing, *files, "--output", folder, "--date", "1 May")
    found = json.loads((folder / "metrics.json").read_text())
    assert list(found) == ["seed1", "seed2"]
    text = (folder / "report.html").read_text()
    mean = (found["seed1"]["test"]["wa"] + found["seed2"]["test"]["wa"]) / 2
    assert f'<th scope="row">WA</th><td>{mean:.3f} ± ' in text
    assert "test, 1 May" in text
    assert not (folder / "training_log.csv").exists()
    assert "loss and metric curves: no --log\n" in (folder / "not_drawn.txt").read_text()


def test_a_simpler_model_is_shown_beside(given: Given, without_drawing: pytest.MonkeyPatch) -> None:
    """As ``train`` shows a linear baseline."""
    simpler = label_rows(n_rows=50, seed=3)
    file = write_predictions(given.root / "simpler.tsv", simpler)
    folder = given.root / "beside"
    run(without_drawing, given.labels, "--baseline", file, "--output", folder)
    of_model = json.loads((folder / "metrics.json").read_text())["test"]["baseline_model"]
    columns = ([row[name] for row in simpler] for name in ("truth", "prediction"))
    uar = balanced_accuracy_score(*columns)
    assert of_model["uar"] == pytest.approx(uar)
    low, high = of_model["intervals"]["utterances"]["uar"]
    text = (folder / "report.html").read_text()
    assert f"baseline model {uar:.3f}" in text
    assert f"<td>{uar:.3f}</td><td>{low:.3f} to {high:.3f}</td>" in text
    assert "Baseline model: that of --baseline, on 50 utterances." in text


def test_one_utterance_and_a_constant_answer_are_drawn(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = number_rows(["valence", "arousal"], n_rows=5)
    for row in rows:
        row["prediction_valence"] = 0.5
    for name, odd in {"one": label_rows(1), "constant": rows}.items():
        file = write_predictions(given.root / f"{name}.tsv", odd)
        run(monkeypatch, file, "--output", given.root / name)
        assert (given.root / name / "report.html").is_file()
    found = json.loads((given.root / "constant" / "metrics.json").read_text())["test"]
    assert found["ccc_valence"] is None
    page = (given.root / "constant" / "report.html").read_text()
    assert "<td>– → " in page, "the last utterance has no arousal"
    assert "nan" not in page
    text = (given.root / "one" / "not_drawn.txt").read_text()
    assert "texts of the worst errors: no --data: no texts\n" in text
    assert "difficulty against accuracy: no --data: no prototypes\n" in text
    assert "t-SNE of VAD values: labels were predicted, and there is no --data with VAD\n" in text


@pytest.mark.parametrize("kind", ["labels", "axes"])
def test_truths_of_before_labels_changed_are_stated(
    given: Given, without_drawing: pytest.MonkeyPatch, kind: str
) -> None:
    rows, axes = label_rows(6), ["valence", "dominance"]
    if kind == "axes":
        rows = number_rows(["intensity", *axes], 6)  # of which the manifest has none
        known = {row.id: row for row in read_manifest(given.data / "test.tsv")}
        for row in rows[:5]:  # the last has no dominance
            row |= {f"truth_{axis}": getattr(known[str(row["id"])], axis) for axis in axes}
        rows[5]["truth_valence"] = known["u005"].valence
    folder = given.root / f"changed {kind}"
    for n_other, sentence in ((0, None), (2, "The truth of 2 utterances is not that of --data")):
        for row in rows[:n_other]:
            row |= {"truth": "neutral"} if kind == "labels" else {"truth_valence": 0.123}
        file = write_predictions(given.root / f"{kind}.tsv", rows)
        run(without_drawing, file, "--data", given.data, "--audio", "none", "--output", folder)
        page = (folder / "report.html").read_text()
        assert ("is not that of --data" in page) == bool(n_other)
        assert sentence is None or f"{sentence} (u000, u001)" in page


def test_maps_are_left_out_where_those_of_the_same_utterances_are_there(
    given: Given, without_drawing: pytest.MonkeyPatch
) -> None:
    """Splits may have the same ids, and maps of numbers show what was predicted."""
    rows = label_rows(4)
    both = rows + [{**row, "split": "valid"} for row in rows]
    of_each = {"vad": number_rows(["valence", "arousal"], 4), "both": both, "again": rows}
    files = [write_predictions(given.root / f"{k}.tsv", of_file) for k, of_file in of_each.items()]
    run(without_drawing, *files, "--output", given.root / "maps")
    lines = (given.root / "maps" / "not_drawn.txt").read_text().splitlines()
    same = [line for line in lines if line.startswith("maps of ")]
    assert same == ["maps of again, test: the same as those of both, test"]


def test_votes_without_any_majority_have_no_reliability_of_labels(
    given: Given, without_drawing: pytest.MonkeyPatch
) -> None:
    shares = {f"votes_{label}": float(number < 2) / 2 for number, label in enumerate(LABELS)}
    rows = [{**row, "truth": "", **shares} for row in label_rows(5)]
    file, folder = write_predictions(given.root / "tied.tsv", rows), given.root / "tied"
    run(without_drawing, file, "--output", folder)
    not_drawn = (folder / "not_drawn.txt").read_text()
    assert "reliability diagram: no utterance has a majority label\n" in not_drawn
    page = (folder / "report.html").read_text()
    assert 'id="figure-reliability_votes"' in page
    assert " nan" not in page


def test_matplotlib_missing_is_refused(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with raises("matplotlib-missing"):
        run(monkeypatch, given.labels, "--output", given.root / "none")


def bad_calls(given: Given) -> dict[str, list[str | Path]]:
    pickled = given.root / "pickled.npz"
    np.savez(pickled, ids=np.array([{"a": 1}], dtype=object), embeddings=np.zeros((1, 2)))
    misfit = given.root / "misfit.npz"
    np.savez(misfit, ids=["u000"], embeddings=np.zeros((2, 2)))
    foreign = given.root / "foreign.npz"
    np.savez(foreign, ids=["x"], embeddings=np.zeros((1, 2)))
    twice, infinite = given.root / "twice.npz", given.root / "infinite.npz"
    np.savez(twice, ids=["u000", "u000"], embeddings=np.zeros((2, 2)))
    np.savez(infinite, ids=["u000", "u001"], embeddings=[[0.0, 1.0], [0.0, np.inf]])
    output = ["--output", given.root / "bad"]
    other = write_predictions(
        given.root / "other.tsv", [{**row, "id": f"x{row['id']}"} for row in label_rows(6)]
    )
    embeddings = {
        "embeddings-invalid": pickled,
        "embeddings-shape": misfit,
        "embeddings-id-twice": twice,
        "embeddings-not-finite": infinite,
        "embeddings-other-ids": foreign,
    }
    return {
        "output-missing": [given.labels, *given.options()[:4]],
        "data-missing": [given.labels, *output, "--data", given.root / "nowhere"],
        "data-other-ids": [other, *output, "--data", given.data],
        "predictions-twice": [given.labels, given.labels, *output],
        "baseline-other": [given.labels, *output, "--baseline", given.numbers],
        "log-no-epoch": [given.labels, *output, "--log", given.labels],
        **{
            code: [given.labels, *output, "--embeddings", file] for code, file in embeddings.items()
        },
    }


def test_wrong_inputs_are_refused(
    given: Given, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for code, words in bad_calls(given).items():
        with raises(code):
            run(monkeypatch, *words)
    with raises("embeddings-invalid"):
        run(monkeypatch, given.labels, "--output", given.root / "bad", "--embeddings", given.log)
    words = ["report", str(given.labels), "--output", str(given.root), "--resamples", "0"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert "--resamples" in capsys.readouterr().err


def test_names_of_anchors_and_files() -> None:
    assert slug("Result: seed 1/α, test") == "result-seed-1-test"


def test_an_allowed_leak_is_on_the_page_in_the_table_and_in_the_metrics(
    tmp_path: Path, without_drawing: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / name / "predictions.tsv" for name in ("leaky", "honest")]
    for file in files:
        write_predictions(file, label_rows())
    leak = "--init-from other.pt: was trained on 2 of the 60 rows of test"
    write_beside(files[0], Provenance(allowed=(leak,)))
    run(without_drawing, *files, "--output", tmp_path / "report")
    assert f"leak allowed: {leak}" in capsys.readouterr().out
    page = (tmp_path / "report" / "report.html").read_text()
    assert f"Leak allowed: {leak}." in page
    assert "leaky (leak allowed)" in page
    assert "honest (leak allowed)" not in page
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["leaky"]["test"]["leak_allowed"] == [leak]
    assert "leak_allowed" not in metrics["honest"]["test"]
    run(without_drawing, files[0])
    metrics = json.loads((tmp_path / "leaky" / "metrics.json").read_text())
    assert metrics["test"]["leak_allowed"] == [leak]
