"""TextGrid files of Praat, long and short.

As Praat reads them: numbers, quoted texts and ``<exists>`` between blanks are read in
their order, and all else is a comment. An interval tier is a speaker, its intervals with a text are
turns. The tiers of labels that :func:`write` adds are not read as speakers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from data_prep.errors import CodedError
from data_prep.segmentation.lanes import Lane, label_tier, lanes_of
from data_prep.segmentation.request import Request, without_zero
from data_prep.segmentation.turn import Segmentation, Turn, parse_decimal, plain_decimal

NO_TEXT = "<turn>"  # of a turn without a text: an empty interval is a pause
_TOKEN = re.compile(
    r'[^"!<0-9.+-]*+(?:'  # what begins no value is skipped at once
    r'"(?P<text>[^"]*+(?:""[^"]*+)*+)"|(?P<open>")|![^\n]*|(?P<flag><(?:exists|absent)>)'
    r"|(?<!\S)(?P<number>[-+]?\.?\d[\d.eE+-]*+)(?!\S)|[<0-9.+-]|\Z)"
)
_INTERVALS, _POINTS = "IntervalTier", "TextTier"


@dataclass
class _Tier:
    name: str
    intervals: list[Turn] = field(default_factory=list)
    n_points: int = 0
    is_interval: bool = True


def read(request: Request) -> Segmentation:
    """Read the intervals of the tiers as turns."""
    parser = _Parser(request)
    tiers = list(parser.tiers())
    names = [tier.name for tier in tiers if tier.is_interval]
    speakers = [name for name in names if not _is_label_tier(name, names)]
    chosen = set(request.choose_tiers(names, speakers))
    skipped: Counter[str] = Counter()
    turns = []
    for tier, labels in zip(tiers, _labels_of(tiers), strict=True):
        skipped["points of point tiers"] += tier.n_points
        if tier.is_interval and tier.name not in chosen:
            skipped[f"intervals of tier {tier.name!r}"] += len(tier.intervals)
            continue
        spoken = [turn for turn in tier.intervals if turn.text is not None]
        skipped["empty intervals"] += len(tier.intervals) - len(spoken)
        turns += [_without_mark(turn, labels.get((turn.start, turn.end))) for turn in spoken]
    notes = [f"tiers {', '.join(repr(name) for name in dict.fromkeys(names) if name in chosen)}"]
    if parser.start:
        begin = plain_decimal(parser.start)
        notes.append(f"its times begin at {begin} s, not at 0 s: it is of a part of a recording")
    return Segmentation(request.path, turns, without_zero(skipped), notes)


def _is_label_tier(name: str, names: Sequence[str]) -> bool:
    return any(name == label_tier(other) for other in names)


def _labels_of(tiers: Sequence[_Tier]) -> Iterator[dict[tuple[Decimal, Decimal], str | None]]:
    """Yield the labels of each tier by times: those of the next tier, or of another by its name."""
    for number, tier in enumerate(tiers):
        name = label_tier(tier.name)
        named = [other for other in tiers if other.name == name]
        if tiers[number + 1 : number + 2] and tiers[number + 1].name == name:
            named = [tiers[number + 1]]
        elif any(other.name == tier.name for other in tiers if other is not tier):
            named = []  # which of several tiers they are of is not known
        yield {(part.start, part.end): part.text for of in named for part in of.intervals}


def _without_mark(turn: Turn, label: str | None) -> Turn:
    return replace(turn, text=None if turn.text == NO_TEXT else turn.text, label=label)


class _Parser:
    """Reads one value after the other; errors have the line of the last one.

    Attributes:
        start: of the times, once tiers are read.
    """

    def __init__(self, request: Request) -> None:
        self.start = Decimal(0)
        self._path = request.path
        self._content = request.text()
        self._tokens = _TOKEN.finditer(self._content)
        self._line = 1
        self._position = 0

    def tiers(self) -> Iterator[_Tier]:
        """Yield the tiers."""
        if (kind := self._text("the type of file")) != "ooTextFile" or (
            kind := self._text("the class")
        ) != "TextGrid":
            raise self._error(f"{kind[:40]!r} is no TextGrid", "save it as a TextGrid text file")
        self.start = self._time()
        self._time()
        if self._next("flag", "<exists>") != "<exists>":
            return
        for _ in range(self._count()):
            yield self._tier()

    def _tier(self) -> _Tier:
        kind, tier = self._text("the class of a tier"), _Tier(self._text("the name of a tier"))
        if kind not in (_INTERVALS, _POINTS):
            raise self._error(f"{kind[:40]!r} is no class of tiers", "save it again in Praat")
        tier.is_interval = kind == _INTERVALS
        self._time()
        self._time()
        speaker = tier.name.strip() or None
        for number in range(1, self._count() + 1):
            if not tier.is_interval:
                self._time()
                self._text("a mark")
                tier.n_points += 1
                continue
            start, end = self._time(), self._time()
            text = " ".join(self._text("the text of an interval").split()) or None
            where = f"line {self._line} (tier {tier.name!r}, interval {number})"
            tier.intervals.append(Turn(start, end, speaker, text, where))
        return tier

    def _next(self, kind: str, description: str) -> str:
        for token in self._tokens:
            if token.lastgroup is None:
                continue  # a comment
            start = token.start(token.lastgroup)
            self._line += self._content.count("\n", self._position, start)
            self._position = start
            if token.lastgroup == "open":
                raise self._error("a quote is never closed", "close it, or save it again in Praat")
            if token.lastgroup != kind:
                raise self._error(f"{token[0][:40]} is not {description}", "save it again in Praat")
            return token[kind]
        raise self._error(f"ends before {description}", "save it again in Praat")

    def _text(self, description: str) -> str:
        return self._next("text", description).replace('""', '"')

    def _time(self) -> Decimal:
        try:
            return parse_decimal(self._next("number", "a time").removeprefix("+"))
        except CodedError:
            raise
        except ValueError as error:
            raise CodedError(
                f"{self._path}: line {self._line}: {error}; correct it", "time-invalid"
            ) from None

    def _count(self) -> int:
        digits = self._next("number", "a number of tiers or intervals")
        if not digits.isdigit() or len(digits) > 9:
            raise self._error(f"{digits[:40]} is no number of tiers or intervals", "correct it")
        return int(digits)

    def _error(self, problem: str, remedy: str) -> CodedError:
        return CodedError(
            f"{self._path}: line {self._line}: {problem}; {remedy}", "textgrid-invalid"
        )


def write(turns: Sequence[Turn], labels: Sequence[str | None], recording: str) -> str:
    """Return a TextGrid in the long form: a tier for each speaker, and one of labels below it."""
    end = max((turn.end for turn in turns), default=Decimal(1))
    tiers: list[tuple[str, list[tuple[Decimal, Decimal, str]]]] = []
    for lane in lanes_of(turns, labels):
        name = lane.speaker or ""
        tiers.append((name, _filled(lane, [turn.text or NO_TEXT for turn in lane.turns], end)))
        if any(lane.labels):
            tiers.append((label_tier(name), _filled(lane, lane.labels, end)))
    lines = [
        'File type = "ooTextFile"\nObject class = "TextGrid"\n',
        f"xmin = 0 \nxmax = {plain_decimal(end)} \ntiers? <exists> ",
        f"size = {len(tiers)} \nitem []: ",
    ]
    for number, (name, intervals) in enumerate(tiers, start=1):
        lines += [
            f"    item [{number}]:",
            f'        class = "{_INTERVALS}" ',
            f"        name = {_quoted(name)} ",
            f"        xmin = 0 \n        xmax = {plain_decimal(end)} ",
            f"        intervals: size = {len(intervals)} ",
        ]
        for index, (start, stop, text) in enumerate(intervals, start=1):
            lines.append(
                f"        intervals [{index}]:\n            xmin = {plain_decimal(start)} \n"
                f"            xmax = {plain_decimal(stop)} \n            text = {_quoted(text)} "
            )
    return "\n".join(lines) + "\n"


def _filled(
    lane: Lane, texts: Sequence[str | None], end: Decimal
) -> list[tuple[Decimal, Decimal, str]]:
    """Return intervals from 0 to the end, with empty ones between turns."""
    intervals, last = [], Decimal(0)
    for turn, text in zip(lane.turns, texts, strict=True):
        if turn.start > last:
            intervals.append((last, turn.start, ""))
        intervals.append((turn.start, turn.end, text or ""))
        last = turn.end
    return [*intervals, (last, end, "")] if last < end else intervals


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
