"""IEMOCAP's transcriptions: `Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.`

Besides the turns the files hold lines of overlapping or unjudged speech (`Ses03F_impro06_FXX0`) and
remarks without a turn (`M: [LAUGHTER]`): no utterances of the corpus, and counted. What the
release's forced alignments write between words (`<s>`, `<sil>`, `++LAUGHTER++`, `THE(2)`) is no
text and is cut out wherever it got into a transcription; `[LAUGHTER]` and its like are the
transcribers' own notes, which stay unless told otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.corpora.recordings import read_text_file
from data_prep.manifest.cells import normalize_text

_LINE = re.compile(r"(?P<id>Ses\w+)\s*(?:\[[^\]]*\])?\s*:\s*(?P<text>.*)")
_ALIGNER = re.compile(r"</?s>|<sil>|\+\+\w+\+\+|(?<=\w)\(\d\)", re.IGNORECASE)
_SOUND = re.compile(r"\[\s*[A-Z][A-Z _-]*\]")


@dataclass
class Transcripts:
    """Texts of turns, and how many lines were something else."""

    texts: dict[str, str] = field(default_factory=dict)
    unjudged: list[str] = field(default_factory=list)  # ids without a label line
    remarks: int = 0  # lines without a turn
    repeated: list[str] = field(default_factory=list)  # ids with a second, different text
    aligner_rows: int = 0
    sound_rows: int = 0


def read_transcript(
    path: Path, turns: Collection[str], found: Transcripts, *, keep_sounds: bool = True
) -> None:
    """Add the texts of one dialogue's `turns` to `found`, the first where one has two."""
    for line in read_text_file(path).splitlines():
        match = _LINE.fullmatch(line.strip())
        if not match:
            found.remarks += bool(line.strip())
        elif match["id"] not in turns:
            found.unjudged.append(match["id"])
        else:
            text = _cleaned(match["text"], found, keep_sounds)
            if found.texts.setdefault(match["id"], text) != text:
                found.repeated.append(match["id"])


def _cleaned(text: str, found: Transcripts, keep_sounds: bool) -> str:
    words = _ALIGNER.sub(" ", text)
    found.aligner_rows += words != text
    silent = _SOUND.sub(" ", words)
    found.sound_rows += silent != words
    return normalize_text(words if keep_sounds else silent)
