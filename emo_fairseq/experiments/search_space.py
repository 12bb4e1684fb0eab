"""From Hydra's overrides with choices, ranges and intervals to the dimensions of a search."""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException
from optuna.trial import BaseTrial

from emo_fairseq.errors import UsageError


@dataclass(frozen=True)
class Dimension:
    """One option that is searched.

    Attributes:
        key: of the override.
        choices: the values of a category; empty for numbers.
        low: the smallest number.
        high: the largest one.
        step: between numbers; None = any.
        is_whole: whether numbers are whole.
        is_log: whether numbers are drawn on a logarithmic scale.
        is_list: whether the option is a list of one number, such as ``optimization.lr``.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    is_whole: bool = False
    is_log: bool = False
    is_list: bool = False

    def suggest(self, trial: BaseTrial) -> str:
        """Return the override of a trial."""
        value = self._value(trial)
        return f"{self.key}=[{value}]" if self.is_list else f"{self.key}={value}"

    def _value(self, trial: BaseTrial) -> str:
        if self.choices:
            return str(trial.suggest_categorical(self.key, self.choices))
        if self.is_whole:
            step = int(self.step or 1)
            number = trial.suggest_int(self.key, int(self.low), int(self.high), step, self.is_log)
            return str(number)
        return repr(
            trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.is_log)
        )


def split_overrides(words: Sequence[str]) -> tuple[list[str], list[Override]]:
    """Return the overrides with one value, as they are, and those that are searched.

    Raises:
        UsageError: an override that Hydra cannot parse, or none that is searched.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(words))
    except HydraException as error:
        raise UsageError(" ".join(str(error).split()), "override-refused") from error
    fixed = [str(x.input_line) for x in parsed if not x.is_sweep_override()]
    searched = [x for x in parsed if x.is_sweep_override()]
    if not searched:
        raise UsageError(
            "no option is searched; give one several values, such as model.dropout=0.1,0.3 or "
            "'optimization.lr=tag(log, interval(1e-4, 1e-2))'",
            "search-space-empty",
        )
    return fixed, searched


def dimension(override: Override, is_list: bool) -> Dimension:
    """Return the dimension of an override that is searched.

    >>> (parsed,) = OverridesParser.create().parse_overrides(["a=tag(log, interval(1e-4, 1e-2))"])
    >>> dimension(parsed, is_list=False)
    Dimension(key='a', choices=(), low=0.0001, high=0.01, step=None, is_whole=False, is_log=True, \
is_list=False)

    Raises:
        UsageError: an empty range.
    """
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        assert low is not None  # the grammar requires both ends
        assert high is not None
        whole = isinstance(low, int) and isinstance(high, int)
        result = Dimension(key, (), low, high, None, whole, "log" in value.tags, is_list)
    elif isinstance(value, RangeSweep):
        numbers = sorted(value.range()) or [1, 0]  # of an empty one the ends are refused below
        whole = all(isinstance(number, int) for number in (*numbers, value.step))
        low, high = numbers[0], numbers[-1]
        result = Dimension(key, (), low, high, abs(value.step), whole, False, is_list)
    else:
        return Dimension(key, tuple(override.sweep_string_iterator()))
    if not result.low <= result.high:
        raise UsageError(
            f"{override.input_line}: holds no value; write the smaller end first", "range-empty"
        )
    return result
