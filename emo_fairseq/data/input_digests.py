"""Digests of what is read of a data dir beside its manifests, by which a change is noticed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from data_prep.audio.segment import AudioRows
from data_prep.features.extraction import content_of_audio, memory_of
from data_prep.features.log_mel import LOG_MEL
from data_prep.features.stored import content_of, features_folder, settings_digest
from data_prep.files.digests import digest_once, user_memory
from data_prep.files.remote import RemotePath
from data_prep.manifest.audio_root import audio_root, video_root
from data_prep.manifest.digests import sequence_digest
from data_prep.schema import SPLITS, Utterance, read_manifest
from data_prep.tokens.folder import read_card
from data_prep.tokens.token_sets import FOLD, TokenSet, token_sets
from data_prep.video.segment import video_digests, video_of
from emo_fairseq.data.fold import read_fold
from emo_fairseq.encoder_spec import features_name
from emo_fairseq.modalities import SPEECH, TOKENS, VIDEO

RECORDINGS, VIDEOS = "recordings", "videos"
_Content = Callable[[str, Sequence[Utterance]], str]  # of a split and its rows


@dataclass(frozen=True)
class ReadInputs:
    """Which inputs of a data dir are read.

    Attributes:
        folder: the data dir.
        splits: names of splits, or under `fold` of its sets.
        fold: PROTOCOL/FOLD; None: the splits on disk.
        encoders: of each modality that is read the spec; None: from scratch.
        tokens: of a modality the name of its tokens, where it is chosen.
        speech_input: of an encoder from scratch; None where it is not chosen.
        data_raw: ``--data-raw``.
        video_raw: ``--video-raw``.
    """

    folder: Path
    splits: Sequence[str]
    fold: str | None
    encoders: Mapping[str, str | None]
    tokens: Mapping[str, str | None]
    speech_input: str | None = None
    data_raw: str | Path | None = None
    video_raw: str | Path | None = None

    def digests(self) -> dict[str, str]:
        """Return a digest of the content of each, by its name: recordings, features/NAME, ….

        What is at a URL has none, nor has what cannot be read, or where a manifest is gone.
        """
        names = list(self.splits)
        if self.fold is not None and {*names} & {*SPLITS}:
            bases = read_fold(self.folder, self.fold)[0]
            names = [*bases, *(name for name in names if name not in SPLITS)]
        files = {name: self.folder / f"{name}.tsv" for name in dict.fromkeys(names)}
        known: dict[str, str] = {}
        if not all(file.is_file() for file in files.values()):
            return known
        rows = {name: read_manifest(file) for name, file in files.items()}
        for name, compute in self._contents():
            try:
                contents = [(split, compute(split, of_split)) for split, of_split in rows.items()]
            except (ValueError, OSError):
                continue
            known[name] = sequence_digest(contents)
        return known

    def _contents(self) -> Iterator[tuple[str, _Content]]:
        """Yield the name of each input, with what returns its content."""
        for modality, spec in self.encoders.items():
            if name := features_name(spec):
                yield f"features/{name}", partial(_of_features, features_folder(self.folder, name))
                continue
            if modality == VIDEO:
                yield VIDEOS, self._of_videos
                continue
            for tokens in self._tokens(modality):
                yield str(tokens), partial(_of_tokens, tokens)
            if modality == SPEECH and self.speech_input != TOKENS:
                yield RECORDINGS, self._of_recordings

    def _tokens(self, modality: str) -> Iterator[TokenSet]:
        """Yield the tokens that may be read: all that are not of another fold, or those chosen."""
        chosen = self.tokens.get(modality)
        for tokens in token_sets(self.folder, modality):
            is_of_fold = tokens.settings.get(FOLD) in (None, self.fold)
            if tokens.name == chosen or (chosen is None and is_of_fold):
                yield tokens

    def _of_recordings(self, split: str, rows: Sequence[Utterance]) -> str:
        root = audio_root(self.folder, self.data_raw)
        memory = memory_of(features_folder(self.folder, LOG_MEL))
        if not memory.is_file():  # where no frames are extracted, which reads the recordings, too
            memory = _memory()
        return content_of_audio(rows, AudioRows(rows, _local(root)), memory)

    def _of_videos(self, split: str, rows: Sequence[Utterance]) -> str:
        root = _local(video_root(self.folder, self.video_raw, self.data_raw))
        digests = video_digests([video_of(row, root) for row in rows], _memory())
        return sequence_digest(zip((row.id for row in rows), digests, strict=True))


def _memory() -> Path:
    return user_memory().with_name("recordings.json")


def _local(root: Path) -> Path:
    if isinstance(root, RemotePath):
        raise ValueError(f"{root}: would be read whole")
    return root


def _of_features(folder: Path, split: str, rows: Sequence[Utterance]) -> str:
    return f"{settings_digest(folder)} {content_of(folder, split, rows)}"


def _of_tokens(tokens: TokenSet, split: str, rows: Sequence[Utterance]) -> str:
    if not tokens.has_card:
        files = sorted(tokens.folder.glob(f"{split}.*"))
        return sequence_digest((file.name, digest_once(file)) for file in files)
    card = read_card(tokens.folder)
    entry = card["splits"].get(split, {})
    return sequence_digest([(repr(sorted(card["settings"].items())), str(entry.get("digest")))])


def changed_inputs(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the names of inputs whose digests differ.

    >>> changed_inputs({"recordings": "a", "text/one": "b"}, {"recordings": "c", "text/two": "d"})
    ['recordings']
    """
    return [name for name, digest in before.items() if now.get(name, digest) != digest]
