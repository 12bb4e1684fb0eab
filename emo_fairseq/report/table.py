"""Figures as a table in the terminal."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from emo_fairseq.report.figures import OF_CONSTANT, OF_LABELS, OF_MAJORITY
from emo_fairseq.report.numbers import number

_RECALL = "recall_"


def print_table(figures: Mapping[str, float], title: str, n_utterances: int) -> None:
    """Print figures of one system beside those of the constant system.

    Args:
        figures: from :func:`emo_fairseq.report.figures.figures_of`.
        title: names corpus, split and system.
        n_utterances: on how many they were measured.
    """
    table = Table(title=f"{title}, {n_utterances} utterances", title_justify="left")
    table.add_column("figure")
    table.add_column("model", justify="right")
    if "uar" in figures:
        table.add_column("majority", justify="right")
        for name, headline in OF_LABELS.items():
            table.add_row(headline, _cell(figures[name]), _cell(figures[name + OF_MAJORITY]))
        for name in figures:
            if name.startswith(_RECALL):
                table.add_row(f"recall {name.removeprefix(_RECALL)}", _cell(figures[name]), "")
    else:
        table.add_column("constant", justify="right")
        for name, value in figures.items():
            if not name.endswith(OF_CONSTANT):
                table.add_row(
                    name.replace("_", " "), _cell(value), _cell(figures[name + OF_CONSTANT])
                )
    Console().print(table)


def _cell(value: float) -> str:
    return number(value, 4)
