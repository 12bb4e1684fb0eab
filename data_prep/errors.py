"""Errors for users, with a message of one sentence and a short stable code.

All derive from :class:`CodedError`, also those of ``emo_fairseq``. Commands print the message and
the code in brackets, without a traceback; tests and callers compare the code.

    >>> try:
    ...     raise ManifestError(Fault("train.tsv", 3, "the id is empty", "fill it in", "id-empty"))
    ... except CodedError as error:
    ...     print(error, error.code)
    train.tsv: row 3: the id is empty; fill it in id-empty
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SHOWN = 20  # lines in one message
_ALIKE = 4  # so many faults of one file that are alike share a line
_NAMED = 3  # rows of such a line
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class CodedError(ValueError):
    """Bad input. The message names the file or option, the problem and the remedy.

    Attributes:
        code: the problem in kebab case, such as ``column-missing``; may be empty.
    """

    def __init__(self, message: object = "", code: str = "") -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:  # keeps the code when pickled
        return type(self), (*self.args, self.code)


@dataclass(frozen=True, slots=True)
class Fault:
    """One problem of a data dir: file, row, problem, remedy and code.

    `reason` is the part of `what` that rows with the same fault share; empty: all of it.
    """

    file: str
    row: int | None  # line number in the file; the header is line 1
    what: str
    remedy: str
    code: str = ""
    reason: str = ""

    def __str__(self) -> str:
        where = self.file if self.row is None else f"{self.file}: row {self.row}"
        return f"{where}: {self.what}; {self.remedy}"


class ManifestError(CodedError):
    """Bad data: ``<file>: row N: <problem>; <remedy>``.

    Args:
        fault: a fault, whose code is that of the error, or a message.
        code: code of a message, or of a fault without one.
    """

    def __init__(self, fault: Fault | str, code: str = "") -> None:
        own = fault.code if isinstance(fault, Fault) else ""
        super().__init__(str(fault), own or code)
        self.fault = fault

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.fault, self.code)

    def as_fault(self, file: object) -> Fault:
        """Return the fault; a plain message is converted to a fault of `file`."""
        if isinstance(self.fault, Fault):
            return self.fault
        return Fault(str(file), None, str(self), "correct it", self.code)


def raise_faults(faults: Sequence[Fault]) -> None:
    """Raise a `ManifestError` that lists the faults by `group_lines`; return if there are none.

    At most twenty lines are listed. The code of several faults is the one they share, or
    ``several-faults``.
    """
    if len(faults) == 1:
        raise ManifestError(faults[0])
    if faults:
        groups = group_lines(faults)
        lines = [line for line, _ in groups[:_SHOWN]]
        if n_more := sum(len(group) for _, group in groups[_SHOWN:]):
            lines.append(f"... and {n_more} more")
        codes = {fault.code for fault in faults}
        code = codes.pop() if len(codes) == 1 else "several-faults"
        raise ManifestError("\n".join([*lines, f"{len(faults)} faults"]), code)


def group_lines(faults: Iterable[Fault]) -> list[tuple[str, list[Fault]]]:
    """Return the lines that list faults: one for each, or for many of a file that are alike.

    Faults are alike if their code and remedy, and their reasons but for numbers, are the same.

    >>> faults = [Fault("a.tsv", row, f"turn is -{row}", "correct it", "cell-invalid")
    ...           for row in range(2, 9)]
    >>> for line, of_line in group_lines(faults):
    ...     print(line, len(of_line))
    a.tsv: 7 rows (2, 3, 4, ...) such as row 2: turn is -2; correct it 7

    Returns:
        Each line, with its faults, in the order of the first of them.
    """
    alike: dict[tuple[str, ...], list[Fault]] = {}
    for fault in faults:
        reason = _NUMBER.sub("N", fault.reason or fault.what)
        alike.setdefault((fault.file, fault.code, fault.remedy, reason), []).append(fault)
    lines: list[tuple[str, list[Fault]]] = []
    for group in alike.values():
        if len(group) < _ALIKE:
            lines += [(str(fault), [fault]) for fault in group]
        else:
            lines.append((_line_of(group), group))
    return lines


def _line_of(group: Sequence[Fault]) -> str:
    first = group[0]
    if first.row is None:
        return f"{first.file}: {len(group)} faults such as: {first.what}; {first.remedy}"
    rows = ", ".join(str(fault.row) for fault in group[:_NAMED])
    is_same = all(fault.what == first.what for fault in group)
    example = "" if is_same else f" such as row {first.row}"
    return f"{first.file}: {len(group)} rows ({rows}, ...){example}: {first.what}; {first.remedy}"
