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

from collections.abc import Sequence
from dataclasses import dataclass

_SHOWN = 20  # faults in one message


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
    """One problem of a data dir: file, row, problem, remedy and code."""

    file: str
    row: int | None  # line number in the file; the header is line 1
    what: str
    remedy: str
    code: str = ""

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
    """Raise a `ManifestError` that lists the first twenty faults; return if there are none.

    The code of several faults is the one they share, or ``several-faults``.
    """
    if len(faults) == 1:
        raise ManifestError(faults[0])
    if faults:
        lines = [str(fault) for fault in faults[:_SHOWN]]
        if len(faults) > _SHOWN:
            lines.append(f"... and {len(faults) - _SHOWN} more")
        codes = {fault.code for fault in faults}
        code = codes.pop() if len(codes) == 1 else "several-faults"
        raise ManifestError("\n".join([*lines, f"{len(faults)} faults"]), code)
