"""Figures as a table in the terminal."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

_HEADLINES = {"uar": "UAR", "wa": "WA", "weighted_f1": "weighted F1", "macro_f1": "macro F1"}
_RECALL = "recall_"


def print_table(figures: Mapping[str, float], title: str, n_utterances: int) -> None:
    """Print figures of one system; label figures beside the majority baseline.

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
        for name, headline in _HEADLINES.items():
            table.add_row(headline, _cell(figures[name]), _cell(figures[f"{name}_majority"]))
        for name in figures:
            if name.startswith(_RECALL):
                table.add_row(f"recall {name.removeprefix(_RECALL)}", _cell(figures[name]), "")
    else:
        for name, value in figures.items():
            table.add_row(name.replace("_", " "), _cell(value))
    Console().print(table)


def _cell(value: float) -> str:
    return f"{value:.4f}"
