"""IEMOCAP's files to utterances, with a word in the card on whatever is not as it should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from data_prep.corpora.iemocap_counts import check_counts
from data_prep.corpora.iemocap_labels import NO_AGREEMENT, Evaluations, Turn, read_turns
from data_prep.corpora.iemocap_transcripts import Transcripts, read_transcript
from data_prep.corpora.recordings import NO_TRANSCRIPT, agreement_note, scale_axes
from data_prep.errors import (
    Fault,
    ManifestError,
    raise_faults,
)
from data_prep.files.visible import visible
from data_prep.folds.dev_set import GENDER
from data_prep.manifest.records import (
    Corpus,
    DroppedRow,
    Utterance,
)
from data_prep.messages import first_few

SCALE = (1.0, 5.0)


def read_all_turns(corpus_dir: Path, split: str, corpus: Corpus) -> list[Turn]:
    """All turns, dialogue by dialogue, each in order of time; one that comes twice is listed."""
    paths = visible(corpus_dir.glob("Session[1-5]/dialog/EmoEvaluation/Ses*.txt"))
    if not paths:
        what = "no Session1 ... Session5 with dialog/EmoEvaluation/Ses*.txt"
        raise ManifestError(Fault(str(corpus_dir), None, what, "name IEMOCAP_full_release"))
    found = Evaluations()
    for path in paths:
        session = f"Session{path.stem[3:5].lstrip('0')}"
        if path.parts[-4] != session:
            fault = Fault(str(path), None, f"the name says {session}", "put it there")
            found.faults.append(fault)
        read_turns(path, found)
    raise_faults(found.faults)
    if odd := found.odd_lines:
        corpus.notes.append(f"{len(odd)} evaluators' lines cannot be read: {first_few(odd)}")
    check_counts([(turn.part("session"), turn.label) for turn in found.turns], corpus)
    first: dict[str, Turn] = {}
    for turn in found.turns:
        if first.setdefault(turn.id, turn) is not turn:
            reason = f"row {turn.line} repeats the turn of row {first[turn.id].line}"
            corpus.dropped.append(DroppedRow(split, turn.id, reason))
    if unsure := [turn.id for turn in first.values() if turn.agreement_is_unknown()]:
        corpus.notes.append(agreement_note(unsure))
    return sorted(first.values(), key=lambda t: (t.part("dialogue"), t.start, t.end, t.id))


def read_all_texts(
    corpus_dir: Path, turns: Collection[str], corpus: Corpus, *, keep_sounds: bool
) -> dict[str, str]:
    """Turn -> its words; what else stands in the transcriptions is noted."""
    found = Transcripts()
    for path in visible(corpus_dir.glob("Session[1-5]/dialog/transcriptions/Ses*.txt")):
        read_transcript(path, turns, found, keep_sounds=keep_sounds)
    sounds = "kept" if keep_sounds else "cut out"
    notes = {
        f"transcribed lines without a label line are no utterances: {first_few(found.unjudged)}": (
            len(found.unjudged)
        ),
        "transcribed lines name no turn and are not used": found.remarks,
        f"turns are transcribed twice, the first is taken: {first_few(found.repeated)}": (
            len(found.repeated)
        ),
        f"texts hold notes of sounds such as [LAUGHTER], {sounds}": found.sound_rows,
        "texts held marks of the forced alignment, cut out": found.aligner_rows,
    }
    corpus.notes += [f"{count} {note}" for note, count in notes.items() if count]
    return found.texts


def make_rows(
    turns: Sequence[Turn],
    texts: Mapping[str, str],
    classes: Mapping[str, str],
    split: str,
    corpus: Corpus,
) -> list[Utterance]:
    """Utterances in the order of `turns`; a missing text or bad VAD is listed, the row kept."""
    rows = []
    place: Counter[str] = Counter()
    for turn in turns:
        vad, left_out = scale_axes(turn.vad, *SCALE)
        corpus.dropped += [DroppedRow(split, turn.id, why, axis) for axis, why in left_out.items()]
        if not texts.get(turn.id):
            reason = "the transcript is blank" if turn.id in texts else NO_TRANSCRIPT
            corpus.dropped.append(DroppedRow(split, turn.id, reason, "text"))
        dialogue, session = turn.part("dialogue"), turn.part("session")
        rows.append(
            Utterance(
                id=turn.id,
                audio=f"Session{int(session[3:])}/sentences/wav/{dialogue}/{turn.id}.wav",
                text=texts.get(turn.id) or None,
                speaker=f"{session}_{turn.part('speaker')}",
                session=session,
                dialogue=dialogue,
                turn=place[dialogue],
                emotion=classes.get(turn.label),
                valence=vad.get("valence"),
                arousal=vad.get("arousal"),
                dominance=vad.get("dominance"),
                extra=_extra(turn),
            )
        )
        place[dialogue] += 1
    return rows


def _extra(turn: Turn) -> dict[str, str]:
    """The release's label, who said what, and when in the dialogue (`audio` is the turn alone)."""
    agreement = turn.agreement()
    extra = {
        "label": turn.label,
        GENDER: {"F": "female", "M": "male"}[turn.part("speaker")],
        "evaluators": str(sum(who.startswith("E") for who in turn.votes)),
        "agreement": "" if agreement is None else f"{agreement:.3f}",
        "votes": "; ".join(f"{who} {' '.join(vote)}" for who, vote in turn.votes.items()),
        "ratings": " | ".join(f"{who} {rating}" for who, rating in turn.ratings.items()),
        "turn_start": f"{turn.start:.4f}",
        "turn_end": f"{turn.end:.4f}",
    }
    return {name: value for name, value in extra.items() if value}


def say_unlabelled(rows: Sequence[Utterance], classes: str, corpus: Corpus) -> None:
    """Note how many rows have no label in the class map, by the label that they have instead."""
    others = Counter(row.extra["label"] for row in rows if row.emotion is None)
    if others:
        named = ", ".join(f"{label} {count}" for label, count in others.most_common())
        corpus.notes.append(
            f"{others.total()} rows have no label in the {classes}-class map, and keep their VAD: "
            f"{named} ({NO_AGREEMENT}: the evaluators did not agree)"
        )


def say_spare_recordings(corpus_dir: Path, rows: Sequence[Utterance], corpus: Corpus) -> None:
    """Note the recordings that no label line names."""
    known = {row.id for row in rows}
    wavs = visible(corpus_dir.glob("Session[1-5]/sentences/wav/*/*.wav"))
    if spare := [path.stem for path in wavs if path.stem not in known]:
        corpus.notes.append(f"{len(spare)} recordings have no label line: {first_few(spare)}")
