"""MSP-Improv's clips to utterances, with a word in the card on whatever is not as it should be."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from data_prep.corpora.msp_improv_labels import LABELS, Clip
from data_prep.corpora.recordings import agreement_note, scale_axes
from data_prep.files.visible import visible
from data_prep.folds.dev_set import GENDER
from data_prep.manifest.records import (
    AXES,
    Corpus,
    DroppedRow,
    Utterance,
)
from data_prep.messages import first_few

SCALE = (1.0, 5.0)
# Clips of each class in the release: Busso et al. 2017, table 4, summed.
FULL = {"N": 3477, "S": 885, "A": 792, "H": 2644, "O": 85, "X": 555}
N_SESSIONS = 6
SCENARIOS = {
    "P": "natural interaction",
    "R": "target, read",
    "S": "other, improvised",
    "T": "target, improvised",
}

logger = logging.getLogger(__name__)


def find_recordings(corpus_dir: Path, names: Collection[str], corpus: Corpus) -> dict[str, str]:
    """Clip -> its path from `corpus_dir`; of two with one name the first counts."""
    folder = corpus_dir / "Audio"
    found: dict[str, str] = {}
    repeated = []
    for path in visible((folder if folder.is_dir() else corpus_dir).glob("**/*.wav")):
        if path.stem in found:
            repeated.append(path.stem)
        else:
            found[path.stem] = path.relative_to(corpus_dir).as_posix()
    if repeated:
        what = "recordings lie in two places, the first is taken"
        corpus.notes.append(f"{len(repeated)} {what}: {first_few(repeated)}")
    if spare := [name for name in found if name not in names]:
        corpus.notes.append(f"{len(spare)} recordings have no label line: {first_few(spare)}")
    return found


def make_rows(
    clips: Sequence[Clip],
    paths: Mapping[str, str],
    classes: Mapping[str, str],
    split: str,
    corpus: Corpus,
    *,
    invert_activation: bool = False,
) -> list[Utterance]:
    """Utterances in order of name; a clip named twice or a bad rating is listed."""
    first: dict[str, Clip] = {}
    for clip in clips:
        if first.setdefault(clip.name, clip) is not clip:
            reason = f"row {clip.line} repeats the clip of row {first[clip.name].line}"
            corpus.dropped.append(DroppedRow(split, clip.name, reason))
    if unsure := [name for name, clip in sorted(first.items()) if clip.agreement_is_unknown()]:
        corpus.notes.append(agreement_note(unsure))
    rows = []
    for name, clip in sorted(first.items()):
        raw = {axis: x for axis, x in clip.ratings.items() if axis in AXES}
        if invert_activation and "arousal" in raw:
            raw["arousal"] = sum(SCALE) - raw["arousal"]
        vad, left_out = scale_axes(raw, *SCALE)
        corpus.dropped += [DroppedRow(split, name, why, axis) for axis, why in left_out.items()]
        rows.append(_utterance(clip, paths.get(name), classes.get(clip.label), vad))
    if others := Counter(row.extra["label"] for row in rows if row.emotion is None):
        named = ", ".join(f"{label} {count}" for label, count in others.most_common())
        corpus.notes.append(f"{others.total()} rows are of no class, and keep their VAD: {named}")
    return _without_shared_turns(rows, corpus)


def _utterance(
    clip: Clip, path: str | None, emotion: str | None, vad: Mapping[str, float]
) -> Utterance:
    session = f"session{int(clip.part('session'))}"
    scene, scenario = clip.part("scene"), clip.part("scenario")
    return Utterance(
        id=clip.name,
        audio=path or f"Audio/{session}/{scene}/{scenario}/{clip.name}.wav",
        speaker=clip.part("speaker"),
        session=session,
        dialogue=f"{session}_{scene}_{scenario}_{clip.part('pair')}",
        turn=int(clip.part("turn")),
        emotion=emotion,
        valence=vad.get("valence"),
        arousal=vad.get("arousal"),
        dominance=vad.get("dominance"),
        extra=_extra(clip),
    )


def _extra(clip: Clip) -> dict[str, str]:
    agreement = clip.agreement()
    votes = Counter(clip.votes.values())
    extra = {
        "label": clip.label,
        "target": LABELS[clip.part("target")],
        "scenario": SCENARIOS[clip.part("scenario")],
        GENDER: {"F": "female", "M": "male"}[clip.part("sex")],
        "naturalness": f"{clip.ratings.get('naturalness', '')}",
        "evaluators": str(len(clip.votes)) if clip.votes else "",
        "agreement": "" if agreement is None else f"{agreement:.3f}",
        "votes": "; ".join(f"{letter} {votes[letter]}" for letter in LABELS if votes[letter]),
    }
    return {name: value for name, value in extra.items() if value}


def _without_shared_turns(rows: list[Utterance], corpus: Corpus) -> list[Utterance]:
    """The numbers in the names give an order only if both actors' are one count."""
    count = Counter((row.dialogue, row.turn) for row in rows)
    if shared := sum(n > 1 for n in count.values()):
        corpus.notes.append(
            f"turn is left empty: {shared} numbers are used twice in a dialogue, so they give no "
            "order of its turns"
        )
        return [replace(row, turn=None) for row in rows]
    return rows


def check_counts(clips: Sequence[Clip], corpus: Corpus) -> None:
    """Note the known counts, and warn where all sessions are there but other clips."""
    known = ", ".join(f"{letter} {count}" for letter, count in FULL.items())
    corpus.notes.append(f"a full copy has {sum(FULL.values())} clips: {known}")
    there = sorted({clip.part("session") for clip in clips})
    if len(there) < N_SESSIONS:
        corpus.notes.append(f"a part of the corpus: sessions {', '.join(there)}")
        return
    found = Counter(clip.label for clip in clips)
    if wrong := [f"{k} {found[k]}, not {n}" for k, n in FULL.items() if found[k] != n]:
        note = f"this copy differs from the full one: {'; '.join(wrong)}"
        corpus.notes.append(note)
        logger.warning("%s", note)


def check_activation(rows: Sequence[Utterance], corpus: Corpus) -> None:
    """Warn where anger is rated calmer than sadness: then the scale runs the other way."""
    found = {
        label: [
            row.arousal for row in rows if row.extra["label"] == label and row.arousal is not None
        ]
        for label in "AS"
    }
    if not all(found.values()):
        return
    angry, sad = (fmean(found[label]) for label in "AS")
    if angry < sad:
        note = (
            f"angry clips have less arousal than sad ones (mean {angry:.3f} and {sad:.3f}): the "
            "activation looks inverted; compare with the release, and see --invert-activation"
        )
        corpus.notes.append(note)
        logger.warning("%s", note)
