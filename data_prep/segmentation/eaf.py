"""ELAN's annotation format (.eaf).

A tier with times of its own is a speaker: its participant, or else its name. Tiers that depend on
another one (words, translations) are read only if they are named. XML is read by expat, without
document types and so without entities.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import PurePath
from unicodedata import normalize
from urllib.parse import unquote
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from data_prep.errors import CodedError
from data_prep.segmentation.lanes import Lane, label_tier, lanes_of
from data_prep.segmentation.request import Request, without_zero
from data_prep.segmentation.turn import Segmentation, Turn

_UNNAMED = re.compile(r"default(?:-\d+)?")  # ELAN's tier of a new document: no speaker
_MAX_DEPTH = 64
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_MILLISECONDS = re.compile(r"\d{1,12}", re.ASCII)


@dataclass
class _Annotation:
    id: str
    line: int
    slots: tuple[str, str] | None  # None: has the times of the annotation that it refers to
    refers_to: str = ""
    text: list[str] = field(default_factory=list)


@dataclass
class _Tier:
    name: str
    participant: str
    parent: str
    annotations: list[_Annotation] = field(default_factory=list)

    @property
    def speaker(self) -> str | None:
        """Return the participant, or else the name; None for ELAN's first tier without one."""
        if self.participant:
            return self.participant
        return None if _UNNAMED.fullmatch(self.name) else self.name or None


def read(request: Request) -> Segmentation:
    """Read the annotations of the tiers as turns."""
    parser = _Parser(request)
    parser.parse()
    names = [tier.name for tier in parser.tiers]
    top = [tier.name for tier in parser.tiers if not tier.parent]
    chosen = set(request.choose_tiers(names, top))
    skipped: Counter[str] = Counter()
    turns: list[Turn] = []
    for tier in parser.tiers:
        if tier.name not in chosen:
            skipped[f"annotations of tier {tier.name!r}"] += len(tier.annotations)
            continue
        labels = parser.labels_of(tier)
        for annotation in tier.annotations:
            turn = parser.turn_of(tier, annotation)
            if turn is None:
                skipped["annotations without times of their own"] += 1
            else:
                turns.append(replace(turn, label=labels.get((turn.start, turn.end))))
    notes = [f"tiers {', '.join(repr(name) for name in names if name in chosen)}"]
    notes += _compare_media(request.recording, parser.media)
    return Segmentation(request.path, turns, without_zero(skipped), notes)


def _compare_media(recording: str | None, media: Sequence[str]) -> list[str]:
    """Return a note if no medium has the name of the recording; its suffix may be another one."""
    if recording is None or not media:
        return []
    name = PurePath(recording).name
    stems = {normalize("NFC", PurePath(medium).stem) for medium in media}
    if normalize("NFC", PurePath(name).stem) in stems:
        return []
    return [f"its medium is {' and '.join(map(repr, media[:3]))}, not {name!r}"]


class _Parser:
    """Collects tiers and times."""

    def __init__(self, request: Request) -> None:
        self.tiers: list[_Tier] = []
        self.media: list[str] = []  # names of files
        self._path = request.path
        self._content = request.content()
        self._times: dict[str, Decimal | None] = {}
        self._by_id: dict[str, _Annotation] = {}
        self._n_references: Counter[tuple[str, str]] = Counter()
        self._in_value = False
        self._depth = 0
        self._expat = expat.ParserCreate()
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._characters
        self._expat.StartDoctypeDeclHandler = self._doctype

    def parse(self) -> None:
        """Read the document.

        Raises:
            CodedError: it is no XML, has a document type, or is no document of ELAN.
        """
        try:
            self._expat.Parse(self._content, True)
        except expat.ExpatError as error:
            line = getattr(error, "lineno", 1)
            problem = f"is no XML ({expat.ErrorString(error.code)})"
            raise self._error(problem, "export it again", line) from None
        except CodedError:
            raise
        except (LookupError, ValueError):
            raise CodedError(
                f"{self._path}: is in an unknown encoding; save it as UTF-8", "encoding-invalid"
            ) from None

    def turn_of(self, tier: _Tier, annotation: _Annotation) -> Turn | None:
        """Return the turn of an annotation; None without times of its own."""
        times = self._times_of(tier, annotation)
        if times is None:
            return None
        where = f"line {annotation.line} (annotation {annotation.id!r})"
        text = " ".join("".join(annotation.text).split()) or None
        return Turn(*times, tier.speaker, text, where)

    def labels_of(self, tier: _Tier) -> dict[tuple[Decimal, Decimal], str | None]:
        """Return the labels of a tier by times; their tier has its name, or that of its speaker."""
        names = (label_tier(tier.name), label_tier(tier.speaker or ""))
        found = (other for name in names for other in self.tiers if other.name == name)
        if (of_labels := next(found, None)) is None:
            return {}
        labels = (self.turn_of(of_labels, annotation) for annotation in of_labels.annotations)
        return {(label.start, label.end): label.text for label in labels if label is not None}

    def _times_of(self, tier: _Tier, annotation: _Annotation) -> tuple[Decimal, Decimal] | None:
        for _ in range(_MAX_DEPTH):
            if annotation.slots is not None:
                start, end = (self._time(slot, annotation.line) for slot in annotation.slots)
                return None if start is None or end is None else (start, end)
            if self._n_references[tier.name, annotation.refers_to] > 1:
                return None  # they divide the annotation, and where is not in the file
            other = self._by_id.get(annotation.refers_to)
            if other is None:
                problem = f"there is no annotation {annotation.refers_to[:40]!r}"
                raise self._error(problem, "export it again", annotation.line)
            annotation = other
        problem = "annotations refer to each other without end"
        raise self._error(problem, "export it again", annotation.line)

    def _time(self, slot: str, line: int) -> Decimal | None:
        if slot not in self._times:
            raise self._error(f"there is no time slot {slot[:40]!r}", "export it again", line)
        return self._times[slot]

    def _doctype(self, *_: object) -> None:
        raise self._error("has a document type, which no ELAN file has", "remove it")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1 and name != "ANNOTATION_DOCUMENT":
            raise self._error(f"<{name[:40]}> is no document of ELAN", "give an .eaf file")
        if self._depth > _MAX_DEPTH:
            raise self._error("is nested too deeply", "export it again")
        if name == "TIER":
            keys = ("TIER_ID", "PARTICIPANT", "PARENT_REF")
            name_of_tier, participant, parent = (attributes.get(key, "").strip() for key in keys)
            self.tiers.append(_Tier(name_of_tier, participant, parent))
        elif name == "TIME_SLOT":
            self._add_time(attributes)
        elif name in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION"):
            self._add_annotation(attributes)
        elif name == "HEADER" and attributes.get("TIME_UNITS", "milliseconds") != "milliseconds":
            raise self._error("its times are in frames", "export it in milliseconds")
        elif name == "MEDIA_DESCRIPTOR":
            self._add_medium(attributes)
        self._in_value = name == "ANNOTATION_VALUE" and bool(self.tiers)

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._in_value = False

    def _characters(self, text: str) -> None:
        if self._in_value and self.tiers[-1].annotations:
            self.tiers[-1].annotations[-1].text.append(text)

    def _add_medium(self, attributes: dict[str, str]) -> None:
        if (offset := attributes.get("TIME_ORIGIN", "0")[:20]).strip("0"):
            problem = f"a medium begins {offset} ms from the beginning of the times"
            raise self._error(problem, "remove the offset in ELAN, and export it again")
        url = attributes.get("MEDIA_URL") or attributes.get("RELATIVE_MEDIA_URL", "")
        if name := PurePath(unquote(url)).name:
            self.media.append(name)

    def _add_time(self, attributes: dict[str, str]) -> None:
        value = attributes.get("TIME_VALUE")
        if value is not None and not _MILLISECONDS.fullmatch(value):
            line = self._expat.CurrentLineNumber
            raise CodedError(
                f"{self._path}: line {line}: the time {value[:40]!r} is no number of milliseconds; "
                "correct it",
                "time-invalid",
            )
        seconds = None if value is None else Decimal(value).scaleb(-3)
        self._times[attributes.get("TIME_SLOT_ID", "")] = seconds

    def _add_annotation(self, attributes: dict[str, str]) -> None:
        if not self.tiers:
            raise self._error("an annotation is outside of tiers", "export it again")
        get = attributes.get
        refers_to = get("ANNOTATION_REF", "")
        slots = None if refers_to else (get("TIME_SLOT_REF1", ""), get("TIME_SLOT_REF2", ""))
        line = self._expat.CurrentLineNumber
        annotation = _Annotation(get("ANNOTATION_ID", ""), line, slots, refers_to)
        tier = self.tiers[-1]
        tier.annotations.append(annotation)
        self._by_id[annotation.id] = annotation
        self._n_references[tier.name, refers_to] += 1

    def _error(self, problem: str, remedy: str, line: int | None = None) -> CodedError:
        line = line or self._expat.CurrentLineNumber
        return CodedError(f"{self._path}: line {line}: {problem}; {remedy}", "eaf-invalid")


def write(turns: Sequence[Turn], labels: Sequence[str | None], recording: str) -> str:
    """Return a document of ELAN: a tier for each speaker, and one of labels that depends on it."""
    document = _Document()
    used: set[str] = set()
    for lane in lanes_of(turns, labels):
        document.add(lane, _unused(lane.speaker or "default", used), used)
    slots = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="ts{number}" TIME_VALUE="{time}"/>\n'
        for number, time in enumerate(document.times, start=1)
    )
    media = f'<MEDIA_DESCRIPTOR MEDIA_URL={quoteattr(recording)} MIME_TYPE="audio/x-wav"/>'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ANNOTATION_DOCUMENT AUTHOR="" DATE="1970-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation='
        '"http://www.mpi.nl/tools/elan/EAFv3.0.xsd">\n'
        f'<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">{media}</HEADER>\n'
        f"<TIME_ORDER>\n{slots}</TIME_ORDER>\n{''.join(document.tiers)}"
        '<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt"'
        ' TIME_ALIGNABLE="true"/>\n'
        '<LINGUISTIC_TYPE CONSTRAINTS="Symbolic_Association" GRAPHIC_REFERENCES="false"'
        ' LINGUISTIC_TYPE_ID="label-lt" TIME_ALIGNABLE="false"/>\n'
        '<CONSTRAINT DESCRIPTION="1-1 association with a parent annotation"'
        ' STEREOTYPE="Symbolic_Association"/>\n</ANNOTATION_DOCUMENT>\n'
    )


class _Document:
    """Times and tiers of a document; annotations have numbers of their own."""

    def __init__(self) -> None:
        self.times: list[int] = []  # in milliseconds
        self.tiers: list[str] = []
        self._n_annotations = 0

    def add(self, lane: Lane, name: str, used: set[str]) -> None:
        """Add the tier of a lane, and that of its labels if it has any."""
        ids = [self._add_turn(turn) for turn in lane.turns]
        annotations = [
            f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" '
            f'TIME_SLOT_REF1="ts{2 * number - 1}" TIME_SLOT_REF2="ts{2 * number}">'
            f"{_value(turn.text)}</ALIGNABLE_ANNOTATION></ANNOTATION>\n"
            for number, turn in zip(ids, lane.turns, strict=True)
        ]
        participant = f" PARTICIPANT={quoteattr(lane.speaker)}" if lane.speaker else ""
        attributes = f'LINGUISTIC_TYPE_REF="default-lt"{participant} TIER_ID={quoteattr(name)}'
        self.tiers.append(f"<TIER {attributes}>\n{''.join(annotations)}</TIER>\n")
        if not any(lane.labels):
            return
        references = [
            f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="l{number}" ANNOTATION_REF="a{number}">'
            f"{_value(label)}</REF_ANNOTATION></ANNOTATION>\n"
            for number, label in zip(ids, lane.labels, strict=True)
            if label
        ]
        tier = quoteattr(_unused(label_tier(name), used))
        attributes = f'LINGUISTIC_TYPE_REF="label-lt" PARENT_REF={quoteattr(name)} TIER_ID={tier}'
        self.tiers.append(f"<TIER {attributes}>\n{''.join(references)}</TIER>\n")

    def _add_turn(self, turn: Turn) -> int:
        self._n_annotations += 1
        self.times += [round(turn.start * 1000), round(turn.end * 1000)]
        return self._n_annotations


def _value(text: str | None) -> str:
    valid = _NO_XML.sub("\ufffd", text or "")
    return f"<ANNOTATION_VALUE>{escape(valid)}</ANNOTATION_VALUE>"


def _unused(name: str, used: set[str]) -> str:
    """Return a name of a tier that no other one has, and reserve it."""
    new, number = name, 1
    while new in used:
        number += 1
        new = f"{name}-{number}"
    used.add(new)
    return new
