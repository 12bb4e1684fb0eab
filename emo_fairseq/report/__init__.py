"""From a predictions file to figures for people. Nothing in the package imports this.

    predictions.tsv ──scored_split──▶ one split ──tables, plots──▶ page ──folder──▶ report.html

:mod:`.output` prints metrics and writes metrics.json, :mod:`.runs` puts several files side by side;
:mod:`.annotations` reads what the data dir has on it, :mod:`.dialogue_tables` and
:mod:`.recordings` are further parts of the page.
"""
