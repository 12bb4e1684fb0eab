"""What PyYAML reports of a file, as one sentence; for files that Hydra reads and we do not."""

from __future__ import annotations

import yaml


def yaml_sentence(error: yaml.YAMLError) -> str:
    """Return a sentence that names the file, the line and what is wrong there.

    >>> try:
    ...     yaml.safe_load("a: [")
    ... except yaml.YAMLError as error:
    ...     yaml_sentence(error)
    "<unicode string>: line 1, column 5: is not YAML (expected the node content, but found \
'<stream end>'); correct it"
    """
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "context", None) or str(error)
    where = "" if mark is None else f"{mark.name}: line {mark.line + 1}, column {mark.column + 1}: "
    what = " ".join(str(problem).split())
    return f"{where}is not YAML ({what}); correct it"
