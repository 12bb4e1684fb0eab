"""The page of all metrics, from their registry and the docstrings of the functions of two lists."""

import inspect
import math
import re

from emo_fairseq.evaluation import functional, recordings, speaker_errors, word_errors
from emo_fairseq.evaluation.names import METRICS, Metric
from reference_pages.docstrings import to_markdown
from reference_pages.markdown import GENERATED, joined, table

_INTRODUCTION = """# Metrics

A metric has the same name everywhere: in the log of a training, in `--best-checkpoint-metric`, in
`metrics.json`, in `--metric` of `experiments.collect`, and as a function of two lists:

```python
from emo_fairseq import evaluation

evaluation.uar(["sad", "happy"], ["sad", "sad"])  # truth, then prediction
```

The metric of one label or axis ends in its name: `recall_happy`, `ccc_valence`. A metric without
an axis is the mean over the axes. Metrics derive from sums over the whole split, never from means
over batches. [Intervals and tests](../explanation/statistics.md) are described elsewhere; the
[glossary](glossary.md) explains the abbreviations.
"""
_DIRECTIONS = {True: "larger", False: "smaller", None: "neither"}
_OF_RECORDINGS = {
    "Whole recordings": recordings,
    "`der`: diarization error rate": speaker_errors,
    "`wer`: word error rate": word_errors,
}
_ARGUMENTS = re.compile(r"^Args:\n(?:    .*\n?|\n)*", re.MULTILINE)


def pages() -> dict[str, str]:
    """Return the page."""
    overview = table(
        ["key", "name in tables", "range", "better"], [_row(metric) for metric in METRICS.values()]
    )
    parts = [_INTRODUCTION, GENERATED, overview]
    for key, metric in METRICS.items():
        if function := getattr(functional, key, None):
            parts.append(f"## `{key}`: {metric.name}\n\n{_described(function)}")
    for heading, module in _OF_RECORDINGS.items():
        parts.append(f"## {heading}\n\n{to_markdown(inspect.getdoc(module) or '')}")
    return {"reference/metrics.md": joined(parts)}


def _row(metric: Metric) -> list[str]:
    better = _DIRECTIONS[metric.larger_is_better]
    return [f"`{metric.key}`", metric.name, f"{_end(metric.low)} to {_end(metric.high)}", better]


def _end(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:g}"


def _described(function: object) -> str:
    """Return the docstring as Markdown, without the part on arguments."""
    text = (inspect.getdoc(function) or "").replace("Return the ", "The ", 1)
    return to_markdown(_ARGUMENTS.sub("", text))
