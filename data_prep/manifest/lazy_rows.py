"""Sequences whose rows are made when they are read, since all of them may not fit in memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

T = TypeVar("T")


class LazyRows(Sequence[T]):
    """N rows; a subclass makes the row of a number.

    >>> class Squares(LazyRows[int]):
    ...     def __len__(self) -> int:
    ...         return 5
    ...     def row(self, number: int) -> int:
    ...         return number**2
    >>> Squares()[-1], Squares()[1:3]
    (16, [1, 4])
    """

    @abstractmethod
    def row(self, number: int) -> T:
        """Return the row of a number from 0 to N - 1."""

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        numbers = range(len(self))[index]  # IndexError beyond the ends
        if isinstance(numbers, range):
            return [self.row(number) for number in numbers]
        return self.row(numbers)
