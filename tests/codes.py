"""Tests compare the codes of errors, and leave their sentences free to change."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from data_prep.errors import CodedError


@contextmanager
def raises(
    code: str, kind: type[CodedError] = CodedError
) -> Iterator["pytest.ExceptionInfo[CodedError]"]:
    """Expect an error with this code; a test may look at names in its message afterwards.

    >>> with raises("file-missing") as error:
    ...     raise CodedError("a.tsv: no such file; check the path", "file-missing")
    >>> "a.tsv" in str(error.value)
    True
    """
    with pytest.raises(kind) as info:
        yield info
    assert info.value.code == code, f"[{info.value.code}] {info.value}"
