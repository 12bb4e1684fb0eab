"""Names that columns of each field go by, in English, German, French and Spanish.

A name is compared as its key: without accents, case, spaces and punctuation, so that `Äußerung`,
`audio_path`, `AudioPath` and `audio path` are what they look like.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Names:
    """The names of a field's column, with spaces between.

    Attributes:
        sure: those that mean nothing else; they also count as one word of several, such as in
            `Emotion (majority)`, and are preferred to the others.
        likely: those that may mean something else too.
    """

    sure: str
    likely: str = ""

    @cached_property
    def sure_names(self) -> frozenset[str]:
        return frozenset(self.sure.split())

    @cached_property
    def likely_names(self) -> frozenset[str]:
        return frozenset(self.likely.split())


NAMES: Mapping[str, Names] = {
    "audio": Names(
        "audio audio_file audio_path wav wav_file wav_path recording audiodatei aufnahme wavdatei "
        "enregistrement grabacion archivo_audio",
        "file file_name filename file_path filepath path datei dateiname dateipfad pfad fichier "
        "nom_fichier chemin archivo fichero ruta clip sound video video_file video_path media",
    ),
    "id": Names(
        "id utt utt_id utterance_id uid kennung identifiant identificador",
        "clip_id file_id segment_id sample_id row_id key name",
    ),
    "text": Names(
        "text transcript transcription transkript transkription texte texto transcripcion",
        "utterance sentence satz ausserung aeusserung phrase frase enonce enunciado words content "
        "message comment tweet wortlaut inhalt nachricht",
    ),
    "start": Names("start start_time begin onset anfang beginn debut inicio"),
    "end": Names("end end_time stop offset ende fin"),
    "speaker": Names(
        "speaker speaker_id spk spk_id spkr spkr_id sprecher sprecherin sprecher_id sprecher_in "
        "locuteur locutrice locutor locutora hablante",
        "actor subject subject_id participant participant_id talker caller person proband "
        "versuchsperson teilnehmer teilnehmer_id schauspieler participante sujet sujeto "
        "intervenant acteur persona client_id",
    ),
    "session": Names("session session_id sitzung seance sesion", "episode"),
    "dialogue": Names(
        "dialogue dialog dialogue_id dialog_id conversation conversation_id gesprach gespraech "
        "dialogo conversacion",
        "conv conv_id scene",
    ),
    "turn": Names("turn turn_id turn_index utterance_index redebeitrag turno", "utterance_id"),
    "emotion": Names(
        "emotion emotions emotion_label emo gefuhl gefuehl emocion emotionsklasse",
        "label labels class category klasse kategorie etiquette etikett etiqueta classe clase "
        "categorie categoria target",
    ),
    "sentiment": Names(
        "sentiment sentiment_label polarity polaritat polaritaet polarite polaridad sentimiento",
        "stimmung",
    ),
    "valence": Names("valence valenz valencia", "emo_val val v"),
    "arousal": Names(
        "arousal activation erregung aktivierung activacion excitacion", "emo_act aro act a"
    ),
    "dominance": Names("dominance domination dominanz dominancia", "emo_dom dom d"),
    "sentiment_score": Names("sentiment_score"),
    "split": Names(
        "split split_set data_split dataset_split partition subset aufteilung datensplit particion",
        "set part usage mode conjunto ensemble teilmenge",
    ),
}
# Words that change nothing of what a column is.
_NEUTRAL = Names(
    "id name nr no nummer number label class klasse file path datei pfad the of der die das de la "
    "le value wert score mean avg average mittelwert majority gold true final main code audio text "
    "column spalte original perceived rated consensus"
).sure_names
SURE, LIKELY, IN_PART = 0, 1, 2  # ranks of a match, the best first


@functools.cache
def name_key(name: str) -> str:
    """Return a name without accents, case, spaces and punctuation: words with _ between.

    >>> name_key("Äußerung"), name_key("AudioPath"), name_key("Emotion (majority)")
    ('ausserung', 'audio_path', 'emotion_majority')
    """
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss").replace("ẞ", "SS"))
    letters = "".join(c for c in plain if not unicodedata.combining(c))
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", letters)
    return "_".join(re.findall(r"[^\W_]+", parts.casefold()))


@functools.cache
def rank(field: str, name: str) -> int | None:
    """Return how well a name fits a field: `SURE`, `LIKELY`, `IN_PART`, or None if it does not.

    >>> rank("emotion", "Emotion"), rank("emotion", "label"), rank("emotion", "true_emotion")
    (0, 1, 2)
    >>> rank("emotion", "emotion_intensity") is None
    True
    """
    names, key = NAMES[field], name_key(name)
    if key in names.sure_names:
        return SURE
    if key in names.likely_names:
        return LIKELY
    words = key.split("_")
    named = [word for word in words if word in names.sure_names and len(word) > 1]
    is_in_part = named and all(word in named or word in _NEUTRAL for word in words)
    return IN_PART if is_in_part else None


def names_a_field(name: str) -> bool:
    """Return whether a name of more than a letter fits a field."""
    return len(name_key(name)) > 1 and any(rank(field, name) is not None for field in NAMES)
