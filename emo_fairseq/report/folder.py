"""The report's folder: a page, its figures, and the metrics as data.

report.html         the page: one file, opens without a network
figures/            every figure as PNG and SVG
metrics.json        every metric by split, with its intervals
training_log.csv    by epoch, if there is a log
not_drawn.txt       what is missing, and why
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from data_prep.files.replacing import replacing, write_atomically
from data_prep.messages import first_few
from emo_fairseq.evaluation.bootstrap import NOT_SEEDS
from emo_fairseq.evaluation.dialogues import ABOUT_REFERENCES, DialogueScores
from emo_fairseq.evaluation.statistics import LabelPredictions
from emo_fairseq.evaluation.tables import NONE, Table, format_count, format_number, without_nan
from emo_fairseq.evaluation.training_log import Epoch, cases, csv_text
from emo_fairseq.report import dialogue_tables, page, runs, tables
from emo_fairseq.report.page import Section
from emo_fairseq.report.plots import DIALOGUES, MAPS, SECTIONS, training_curves
from emo_fairseq.report.plots.drawing import MaybePlot, NotDrawn, matplotlib, render
from emo_fairseq.report.recordings import Recordings
from emo_fairseq.report.scored_split import UTTERANCES, BaselineModel, ScoredSplit

FIGURES, LOG, PAGE = "figures", "training_log.csv", "report.html"


@dataclass
class _FigureWriter:
    """Draws figures into a folder, and collects what could not be drawn."""

    folder: Path
    not_drawn: list[NotDrawn] = field(default_factory=list)
    written: set[str] = field(default_factory=set)

    def write(self, plots: Iterable[MaybePlot], prefix: str = "") -> str:
        """Draw, save, and return the figures as one element; empty if there are none."""
        drawn = []
        for plot in plots:
            if isinstance(plot, NotDrawn):
                self.not_drawn.append(plot)
                continue
            name = prefix + plot.name
            for suffix, content in (files := render(plot.draw, plot.size)).items():
                file = self.folder / FIGURES / f"{name}.{suffix}"
                with replacing(file) as partial:
                    partial.write_bytes(content)
                self.written.add(file.name)
            drawn.append(page.figure(plot, files["svg"].decode(), name))
        return f'<div class="figures">{"".join(drawn)}</div>' if drawn else ""


def write_folder(
    folder: Path,
    splits: Sequence[ScoredSplit],
    epochs: Sequence[Epoch],
    title: str,
    date: str = "",
    recordings: Recordings | None = None,
) -> None:
    """Write a report; what an earlier one left under the same names is replaced.

    Args:
        folder: made if it is not there.
        splits: what was measured, at least one.
        epochs: of the training; empty if there is no log.
        title: heading of the page.
        date: written below it, if given: nothing else in the folder depends on the day.
        recordings: opens those of the worst errors; None for a page without.

    Raises:
        UsageError: matplotlib is not installed.
    """
    matplotlib()
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    writer = _FigureWriter(folder)
    names = _prefixes(splits)
    recordings = recordings or Recordings(refusal="no --data: no audio")
    sections = _run_sections(splits)
    for scored, name in zip(splits, names, strict=True):
        sections.append(_split_section(scored, writer, splits, name, recordings))
    sections += [_training_section(epochs, writer), _not_drawn_section(writer)]
    _remove_stale(folder, writer.written)
    if epochs:
        log = csv_text(epochs, isinstance(splits[0].predictions, LabelPredictions))
        write_atomically(folder / LOG, log)
    lines = [f"{figure}: {why}\n" for figure, why in dict.fromkeys(writer.not_drawn)]
    write_atomically(folder / "not_drawn.txt", "".join(lines))
    text = json.dumps(_metrics(splits), indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(folder / "metrics.json", text + "\n")
    lead = [", ".join(filter(None, (_subtitle(splits), date))), *_about_recordings(recordings)]
    write_atomically(folder / PAGE, page.document(title, lead, sections))


def _prefixes(splits: Sequence[ScoredSplit]) -> list[str]:
    """Return what the names of each split's figures begin with; of a single split nothing."""
    if len(splits) == 1:
        return [""]
    slugs: list[str] = []
    for scored in splits:
        slugs.append(page.slug(scored.title, slugs))
    return [f"{slug}_" for slug in slugs]


def _subtitle(splits: Sequence[ScoredSplit]) -> str:
    corpora = [scored.annotations.corpus for scored in splits]
    names = sorted({corpus.name for corpus in corpora if corpus is not None})
    of_splits = dict.fromkeys(scored.split for scored in splits)
    return f"{', '.join(names) or 'corpus not named'}; {', '.join(of_splits)}"


def _split_section(
    scored: ScoredSplit,
    writer: _FigureWriter,
    splits: Sequence[ScoredSplit],
    prefix: str,
    recordings: Recordings,
) -> Section:
    section = Section(f"Result: {scored.title}")
    section.content = [
        page.cards(tables.card_lines(scored)),
        page.fact_list(tables.facts_of(scored)),
    ]
    section.content += [page.paragraph(note, "soft") for note in tables.notes_of(scored)]
    section.add("All metrics", page.table(tables.metric_table(scored), "Metrics and baseline"))
    if isinstance(scored.predictions, LabelPredictions):
        ends = scored.intervals[UTTERANCES]
        of_labels = tables.class_table(scored.predictions, scored.metrics, ends)
        section.add("All metrics", page.table(of_labels, "Each label; intervals over utterances"))
    for fold, sets in scored.annotations.folds.items():
        caption = f"Composition of {fold}, whose {scored.split} has these utterances"
        section.add("Folds", page.table(tables.composition_table(sets), caption))
    if by_case := tables.case_table(scored):
        section.add("Missing modalities", page.table(by_case, "By modalities of utterances"))
    if scored.dialogues is not None:
        for caption, table in dialogue_tables.tables(scored.dialogues):
            section.add(DIALOGUES, page.table(table, caption))
    has_labels = isinstance(scored.predictions, LabelPredictions)
    first = next(x for x in splits if _have_same_maps(x, scored))
    for heading, kinds in SECTIONS.items():
        plots: Iterable[MaybePlot] = chain.from_iterable(of_kind(scored) for of_kind in kinds)
        if heading == MAPS and first is not scored and has_labels:
            plots = [NotDrawn(f"maps of {scored.title}", f"the same as those of {first.title}")]
        section.add(heading, writer.write(plots, prefix))
    section.add("Worst errors", *_worst_errors(scored, writer, recordings))
    return section


def _have_same_maps(one: ScoredSplit, other: ScoredSplit) -> bool:
    """Return whether maps of labels, which show annotations, are of the same utterances."""
    ours, theirs = one.predictions, other.predictions
    return type(ours) is type(theirs) and (one.split, ours.ids) == (other.split, theirs.ids)


def _worst_errors(
    scored: ScoredSplit, writer: _FigureWriter, recordings: Recordings
) -> Iterator[str]:
    """Yield the table of the worst errors, which plays their recordings."""
    if not any(scored.annotations.column("text")):
        why = "no text in the manifest" if scored.annotations.is_given else "no --data: no texts"
        writer.not_drawn.append(NotDrawn("texts of the worst errors", why))
    rows, worst = tables.worst_errors(scored)
    if not rows:
        return
    caption = (
        "Wrong ones, those first whose truth was given the least probability"
        if isinstance(scored.predictions, LabelPredictions)
        else "By the distance between truth and prediction; each axis: truth → prediction"
    )
    of_rows = [scored.annotations.rows[row] for row in rows]
    refusal = recordings.refusal
    if not refusal and all(row is None or row.audio is None for row in of_rows):
        refusal = "no audio in the manifest"
    if refusal:
        writer.not_drawn.append(NotDrawn("recordings of the worst errors", refusal))
        yield page.table(worst, caption)
        return
    players = []
    missing: dict[str, list[str]] = {}  # by the reason
    names = [cells[0] for cells in worst.rows]
    for name, clip in zip(names, recordings.clips(of_rows), strict=True):
        if isinstance(clip, str):
            missing.setdefault(clip, []).append(name)
        players.append(NONE if isinstance(clip, str) else page.player(clip, name))
    writer.not_drawn += [
        NotDrawn(f"recording of {first_few(of_reason)}", why) for why, of_reason in missing.items()
    ]
    yield page.table(worst, caption, players)
    if n_missing := players.count(NONE):
        counted = f"{n_missing} of {format_count(len(players), 'recording')}"
        yield page.paragraph(f"{counted} cannot be played: see Not drawn.", "soft")


def _about_recordings(recordings: Recordings) -> Iterator[str]:
    """Yield a sentence on the recordings inside of the page, if there are any."""
    if recordings.n_clips:
        counted = format_count(recordings.n_clips, "recording")
        yield (
            f"This page contains {counted} of the corpus ({recordings.n_bytes / 1e6:.1f} MB, mono, "
            "16 kHz); whoever receives it needs the corpus's license (--audio link or none leaves "
            "them out)."
        )


def _run_sections(splits: Sequence[ScoredSplit]) -> list[Section]:
    """Return a section of runs of one split and target, side by side."""
    by_scored = runs.groups([_as_run(scored) for scored in splits])
    section = Section("Runs")
    for alike in by_scored.values():
        if len(alike) > 1:
            first = alike[0]
            content = runs.table(alike, list(runs.metric_keys(first.predictions, first.metrics)))
            section.content.append(page.table(content, content.title))
    if not section.content and len({scored.run for scored in splits}) < 2:
        return []
    if note := runs.apart(by_scored):
        section.content.append(page.paragraph(f"{note}.", "soft"))
    return [section]


def _as_run(scored: ScoredSplit) -> runs.Run:
    name = runs.marked_name(scored.run, scored.leaks, scored.transductive)
    return runs.Run(name, scored.split, scored.predictions, scored.metrics)


def _training_section(epochs: Sequence[Epoch], writer: _FigureWriter) -> Section:
    section = Section("Training")
    section.content = [writer.write(training_curves.plots(epochs))]
    if not epochs:
        section.content = [page.paragraph("No log was given (--log).")]
        return section
    by_case = cases(epochs[-1])
    keys = list(dict.fromkeys(key for metrics in by_case.values() for key in metrics))
    if by_case:
        rows = [
            [case] + [format_number(metrics.get(key, float("nan"))) for key in keys]
            for case, metrics in by_case.items()
        ]
        text = f"Last validation (epoch {epochs[-1].number}) by modalities or auxiliary target"
        section.add("Cases", page.table(Table(["case", *keys], rows), text))
    return section


def _not_drawn_section(writer: _FigureWriter) -> Section:
    section = Section("Not drawn")
    rows = [list(figure) for figure in dict.fromkeys(writer.not_drawn)]
    section.content = [
        page.table(Table(["figure", "why"], rows), "What is missing, and why")
        if rows
        else page.paragraph("Nothing is missing.")
    ]
    return section


def _metrics(splits: Sequence[ScoredSplit]) -> dict[str, Any]:
    """Return split -> metrics; of several predictions files run -> split -> metrics."""
    content: dict[str, Any] = {}
    for scored in splits:
        of_run = content.setdefault(scored.run, {}) if scored.run else content
        of_run[scored.split] = {
            "n": len(scored.predictions.ids),
            **({"leak_allowed": list(scored.leaks)} if scored.leaks else {}),
            **({"transductive": list(scored.transductive)} if scored.transductive else {}),
            **({"folds": dict(folds)} if (folds := scored.annotations.folds) else {}),
            **without_nan(scored.metrics),
            "about_intervals": f"{NOT_SEEDS}; {scored.speakers.refusal}".removesuffix("; "),
            "intervals": {
                unit: {key: list(without_nan(x._asdict()).values()) for key, x in ends.items()}
                for unit, ends in scored.intervals.items()
            },
            **({"baseline_model": _of_model(scored.baseline)} if scored.baseline else {}),
            **({"dialogues": _of_dialogues(scored.dialogues)} if scored.dialogues else {}),
        }
    return content


def _of_model(model: BaselineModel) -> dict[str, Any]:
    ends = {key: list(without_nan(x._asdict()).values()) for key, x in model.intervals.items()}
    return {"n": model.n_utterances, **without_nan(model.metrics), "intervals": {UTTERANCES: ends}}


def _of_dialogues(scores: DialogueScores) -> dict[str, Any]:
    metrics = {key: without_nan(x._asdict()) for key, x in scores.estimates.items()}
    shares = without_nan({"shift_share": scores.shift_share})
    return {
        "n": scores.n_dialogues,
        **shares,
        "turns": dict(scores.counts),
        "about_references": ABOUT_REFERENCES,
        "metrics": metrics,
    }


def _remove_stale(folder: Path, written: set[str]) -> None:
    """Remove what an earlier report left in the same folder, and this one has not written."""
    if (folder / PAGE).is_file():
        (folder / LOG).unlink(missing_ok=True)
        for file in (folder / FIGURES).iterdir():
            if file.suffix in (".png", ".svg") and file.name not in written:
                file.unlink()
