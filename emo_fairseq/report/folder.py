"""A folder of all that can be said of a run: a page, its figures, and the numbers as data.

report.html         the page: one file, opens without a network
figures/            every figure as PNG and SVG
metrics.json        every figure by split, with its intervals
training_log.csv    by epoch, if there is a log
not_drawn.txt       what is missing, and why
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from data_prep.files.replacing import replacing
from data_prep.schema import write_atomically
from emo_fairseq.evaluation.bootstrap import NOT_SEEDS
from emo_fairseq.evaluation.statistics import LabelPredictions
from emo_fairseq.evaluation.tables import Table, format_number, without_nan
from emo_fairseq.report import headline, page
from emo_fairseq.report.drawing import matplotlib, render
from emo_fairseq.report.page import Section
from emo_fairseq.report.part import Part
from emo_fairseq.report.plots import MAPS, SECTIONS, training_curves
from emo_fairseq.report.plots.plot import Found, NotDrawn
from emo_fairseq.report.training_log import Epoch, cases, csv_text
from emo_fairseq.report.worst import worst_table

FIGURES, LOG, PAGE = "figures", "training_log.csv", "report.html"
_NOT_DRAWN = "Not drawn"


@dataclass
class _Writer:
    """Draws figures into a folder, and remembers what it could not draw."""

    folder: Path
    not_drawn: list[NotDrawn] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    written: set[str] = field(default_factory=set)

    def figures(self, found: Iterable[Found], prefix: str) -> str:
        """Draw, save, and return the figures as one element; empty if there are none."""
        drawn = []
        for plot in found:
            if isinstance(plot, NotDrawn):
                self.not_drawn.append(plot)
                continue
            name = prefix + plot.name
            for suffix, content in (files := render(plot.draw, plot.size)).items():
                file = self.folder / FIGURES / f"{name}.{suffix}"
                with replacing(file) as part:
                    part.write_bytes(content)
                self.written.add(file.name)
            drawn.append(page.figure(plot, files["svg"].decode(), name))
        return f'<div class="figures">{"".join(drawn)}</div>' if drawn else ""


def write_folder(
    folder: Path, parts: Sequence[Part], epochs: Sequence[Epoch], title: str, date: str = ""
) -> None:
    """Write a report; what an earlier one left under the same names is replaced.

    Args:
        folder: made if it is not there.
        parts: what was measured, at least one.
        epochs: of the training; empty if there is no log.
        title: heading of the page.
        date: written below it, if given: nothing else in the folder depends on the day.

    Raises:
        UsageError: matplotlib is not installed.
    """
    matplotlib()
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    writer = _Writer(folder)
    sections = [_part_section(part, writer, parts) for part in parts]
    sections[:0] = _run_sections(parts)
    sections.append(_training_section(epochs, writer))
    sections.append(_not_drawn_section(writer))
    lead = [", ".join(filter(None, (_said(parts), date)))]
    _remove_stale(folder, writer.written)
    if epochs:
        log = csv_text(epochs, isinstance(parts[0].system, LabelPredictions))
        write_atomically(folder / LOG, log)
    lines = [f"{what}: {why}\n" for what, why in dict.fromkeys(writer.not_drawn)]
    write_atomically(folder / "not_drawn.txt", "".join(lines))
    text = json.dumps(_metrics(parts), indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(folder / "metrics.json", text + "\n")
    write_atomically(folder / PAGE, page.document(title, lead, [s for s in sections if s]))


def _said(parts: Sequence[Part]) -> str:
    names = {part.facts.corpus.name for part in parts if part.facts.corpus is not None}
    splits = dict.fromkeys(part.split for part in parts)
    return f"{', '.join(sorted(names)) or 'corpus not named'}; {', '.join(splits)}"


def _part_section(part: Part, writer: _Writer, parts: Sequence[Part]) -> Section:
    section = Section(f"Result: {part.title}")
    section.content = [
        page.cards(headline.card_lines(part)),
        page.fact_list(headline.facts_of(part)),
        *(page.paragraph(note, "soft") for note in headline.notes_of(part)),
    ]
    section.add("All figures", page.table(headline.figure_table(part), "Figures and baseline"))
    by_case = headline.case_table(part)
    if by_case is not None:
        section.add("Missing modalities", page.table(by_case, "By what utterances have"))
    writer.prefixes.append(page.slug(part.title, writer.prefixes) if len(parts) > 1 else "")
    prefix = f"{writer.prefixes[-1]}_".lstrip("_")
    first = next(other for other in parts if other.system.ids == part.system.ids)
    for heading, kinds in SECTIONS.items():
        found: Iterable[Found] = chain.from_iterable(plots(part) for plots in kinds)
        if heading == MAPS and first is not part and isinstance(part.system, LabelPredictions):
            found = [NotDrawn(f"maps of {part.title}", f"the same as those of {first.title}")]
        section.add(heading, writer.figures(found, prefix))
    worst = Table(*worst_table(part.system, part.facts))
    section.add("Worst errors", page.table(worst, _worst_caption(part)) if worst.rows else "")
    if not any(part.facts.column("text")):
        why = "no text in the manifest" if part.facts.is_given else "no --data: no texts"
        writer.not_drawn.append(NotDrawn("texts of the worst errors", why))
    return section


def _worst_caption(part: Part) -> str:
    if isinstance(part.system, LabelPredictions):
        return "Wrong ones, those first whose truth was given the least probability"
    return "By the distance between truth and prediction; each axis: truth → prediction"


def _run_sections(parts: Sequence[Part]) -> list[Section]:
    """Runs that scored the same utterances, side by side."""
    alike = defaultdict(list)
    for part in parts:
        alike[(part.split, part.system.ids, part.system.names)].append(part)
    section = Section("Runs")
    for (split, *_), runs in alike.items():
        if len(runs) > 1:
            rows = headline.run_table(runs)
            section.content.append(page.table(rows, f"{len(runs)} runs on {split}"))
    return [section] if section.content else []


def _training_section(epochs: Sequence[Epoch], writer: _Writer) -> Section:
    section = Section("Training")
    section.content = [writer.figures(training_curves.plots(epochs), "")]
    if not epochs:
        section.content = [page.paragraph("No log was given (--log).")]
        return section
    found = cases(epochs[-1])
    names = list(dict.fromkeys(name for figures in found.values() for name in figures))
    rows = [[c, *(format_number(x.get(n, float("nan"))) for n in names)] for c, x in found.items()]
    if rows:
        text = f"Last validation (epoch {epochs[-1].number}) by modalities or auxiliary target"
        section.add("Cases", page.table(Table(["case", *names], rows), text))
    return section


def _not_drawn_section(writer: _Writer) -> Section:
    section = Section(_NOT_DRAWN)
    rows = [list(found) for found in dict.fromkeys(writer.not_drawn)]
    section.content = [
        page.table(Table(["figure", "why"], rows), "What is missing, and why")
        if rows
        else page.paragraph("Nothing is missing.")
    ]
    return section


def _metrics(parts: Sequence[Part]) -> dict[str, Any]:
    """Split -> figures; of several predictions files run -> split -> figures."""
    content: dict[str, Any] = {}
    for part in parts:
        place = content.setdefault(part.run, {}) if part.run else content
        place[part.split] = {
            "n": len(part.system.ids),
            **({"leak_allowed": list(part.leaks)} if part.leaks else {}),
            **without_nan(part.figures),
            "about_intervals": f"{NOT_SEEDS}; {part.speakers.refusal}".removesuffix("; "),
            "intervals": {
                unit: {name: list(without_nan(x._asdict()).values()) for name, x in drawn.items()}
                for unit, drawn in part.intervals.items()
            },
        }
    return content


def _remove_stale(folder: Path, written: set[str]) -> None:
    """What an earlier report left in the same folder, and this one has not."""
    if (folder / PAGE).is_file():
        (folder / LOG).unlink(missing_ok=True)
        for file in (folder / FIGURES).iterdir():
            if file.suffix in (".png", ".svg") and file.name not in written:
                file.unlink()
