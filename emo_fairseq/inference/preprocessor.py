"""Items through tokenizers and feature extractors to the batches that a model reads."""

import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_prep.audio.frames import SHIFT_MS
from data_prep.audio.part import WINDOW_MS
from data_prep.audio.resampling import resampled
from data_prep.features.log_mel import LOG_MEL
from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.speech_tokenizers import load_speech_tokenizer
from data_prep.tokens.text_tokenizers import load_text_tokenizer
from data_prep.video.loading import PictureOptions
from emo_fairseq.data.context_rows import NO_PREFIX, name_prefixes
from emo_fairseq.data.dialogue_windows import Window, plan_windows
from emo_fairseq.data.in_memory import Collated, InMemoryData, ModalityRows, TextContext
from emo_fairseq.data.neighbors import Neighbors, has_context, neighbors_of
from emo_fairseq.data.normalization import RowGroups
from emo_fairseq.data.token_rows import BOUNDARIES
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.chunks import NO_CONTEXT, Reach, group_turns
from emo_fairseq.inference.encoded_turns import window_of
from emo_fairseq.inference.input_processor import FeatureExtractor, InputProcessor
from emo_fairseq.inference.inputs import Item
from emo_fairseq.inference.prediction import SECONDS, Truncation
from emo_fairseq.inference.prediction import TOKENS as TOKEN_UNIT
from emo_fairseq.modalities import FRAMES, PIXELS, SPEECH, TEXT, TOKENS, VIDEO
from emo_fairseq.option_values import BY_CORPUS, BY_SPEAKER, BY_TRAIN
from emo_fairseq.task_state import TaskState

logger = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Input of the model.

    Attributes:
        rows: numbers of the items.
        net_input: for each modality what its rows collate to.
        truncations: of each of these items.
    """

    rows: list[int]
    net_input: dict[str, Collated]
    truncations: list[tuple[Truncation, ...]]


class Encoded(NamedTuple):
    """What one recording or text becomes before it is batched.

    Attributes:
        content: token ids (T,) ending with the separator, samples (T,), or frames (T, C).
        used: tokens or seconds of which the model reads something.
        total: tokens or seconds that there are.
    """

    content: np.ndarray
    used: float
    total: float


Encode = Callable[[Sequence[Any]], list[Encoded]]


class Preprocessor:
    """Makes batches for one model.

    Args:
        state: what the model reads.
        processor: its tokenizers and feature extractors.
        device: of pretrained encoders that features come from.

    Attributes:
        reach: how many turns are joined to the text of each.

    Raises:
        UsageError: a tokenizer cannot be read.
    """

    def __init__(self, state: TaskState, processor: InputProcessor, device: str) -> None:
        self._state = state
        self._missing = processor.missing
        self._data = InMemoryData(state.options, state.modalities)
        self._data.set_encoders(state.encoders)
        self.reach = _reach(state)
        self._logged: set[str] = set()  # modalities of which a truncation was logged
        self._extractors = {
            name: FeatureExtractor(spec, device) for name, spec in processor.extractors.items()
        }
        self._encode = {
            modality: self._build_encode(modality, processor.tokenizers)
            for modality in state.modalities
            if modality not in self._missing
        }

    @property
    def picture_options(self) -> PictureOptions | None:
        """Which pictures of a video are read; None where none can be."""
        if VIDEO not in self._state.modalities or VIDEO in self._missing:
            return None
        if self._state.encoders[VIDEO].input == PIXELS:
            return self._data.picture_options(VIDEO)
        return self._extractors[VIDEO].picture_options

    def max_seconds(self) -> float:
        """Return the longest recording that is read whole.

        It is infinite where the model reads no speech, or has no limit that is known in seconds.
        """
        if SPEECH not in self._state.modalities or SPEECH in self._missing:
            return math.inf
        kind = self._state.encoders[SPEECH].input
        if kind == FRAMES:
            of_encoder = float(self._extractors[SPEECH].settings.get("max_seconds") or math.inf)
            return min(of_encoder, self._seconds_of_frames())
        return math.inf if kind == TOKENS else self._state.options.max_speech_seconds

    def batches(
        self,
        items: Sequence[Item],
        batch_size: int,
        truncates_speech: bool = True,
        rows: Collection[int] | None = None,
    ) -> Iterator[Batch]:
        """Make batches of items of similar length, the longest first.

        Args:
            items: N items; those of one dialogue are its turns, in their order.
            batch_size: the most items of a batch.
            truncates_speech: whether speech that is too long is truncated, as in training, or
                refused.
            rows: numbers of the items that batches are made of; the others give context alone, by
                their texts. None: of all.

        Raises:
            UsageError: an item has an input that cannot be processed, or speech that must not be
                truncated.
        """
        rows = range(len(items)) if rows is None else rows
        truncations: list[list[Truncation]] = [[] for _ in items]
        inputs: dict[str, ModalityRows] = {}
        for modality in self._state.modalities:
            if modality == TEXT and self.reach != NO_CONTEXT:
                encoded = self._encode_items(modality, items, range(len(items)))
                self._leave_room(encoded, items)
            else:
                encoded = self._encode_items(modality, items, rows)
            inputs[modality] = self._build_rows(modality, encoded, items)
            for number in rows:
                row = encoded[number]
                if row is not None and row.used < row.total:
                    truncation = self._truncation(modality, row)
                    if modality == SPEECH and not truncates_speech:
                        raise UsageError(
                            f"{items[number].name}: {truncation.describe()}; give shorter windows",
                            "window-too-long",
                        )
                    self._log(items[number], truncation)
                    truncations[number].append(truncation)
        numbers = np.array(sorted(rows), dtype=np.int64)
        sizes = [of_modality.sizes[numbers] for of_modality in inputs.values()]
        order = numbers[np.lexsort(sizes)[::-1]]
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size].tolist()
            net_input = {name: of_modality.collate(batch) for name, of_modality in inputs.items()}
            yield Batch(batch, net_input, [tuple(truncations[row]) for row in batch])

    # -- one modality ------------------------------------------------------------------------------

    def _encode_items(
        self, modality: str, items: Sequence[Item], rows: Collection[int]
    ) -> list[Encoded | None]:
        """Encode what these rows of the items have of a modality; None for the others."""
        present = [number for number in rows if items[number].has(modality)]
        encoded: list[Encoded | None] = [None] * len(items)
        if not present:
            return encoded
        if modality in self._missing:
            raise UsageError(
                f"{items[present[0]].name}: the model cannot predict from {modality}, it lacks "
                f"{self._missing[modality]}",
                "input-unsupported",
            )
        sources = [items[number].get(modality) for number in present]
        for number, row in zip(present, self._encode[modality](sources), strict=True):
            # A video has no pictures where no face is found.
            encoded[number] = row if len(row.content) else None
        return encoded

    def _build_rows(
        self, modality: str, encoded: Sequence[Encoded | None], items: Sequence[Item]
    ) -> ModalityRows:
        return self._data.build_rows(
            modality,
            [None if row is None else row.content for row in encoded],
            self._state.vocabularies.get(modality),
            self._state.frame_statistics.get(modality),
            self._groups(items),
            self._context(items) if modality == TEXT else None,
        )

    def _leave_room(self, encoded: list[Encoded | None], items: Sequence[Item]) -> None:
        """Subtract from the tokens that are read of each text those of its speaker's name."""
        most = self._data.max_tokens(TEXT) - BOUNDARIES
        for number, prefix in enumerate(self._prefixes(items)):
            if (row := encoded[number]) is not None:
                encoded[number] = row._replace(used=min(row.used, max(0, most - len(prefix))))

    def _context(self, items: Sequence[Item]) -> TextContext | None:
        """Return the texts that are joined to each item's; None for a model that joins none."""
        if self.reach == NO_CONTEXT:
            return None
        has_text = [item.has(TEXT) for item in items]
        neighbors = [Neighbors([], []) for _ in items]
        for turns in group_turns(item.dialogue for item in items):
            around = neighbors_of(turns, has_text, *self.reach)
            for row, numbers in zip(turns, around, strict=True):
                neighbors[row] = numbers
        return TextContext(neighbors, self._prefixes(items))

    def _prefixes(self, items: Sequence[Item]) -> list[np.ndarray]:
        """Return the tokens before those of each item's text: the name of its speaker."""
        tokenize = self._encode.get(TEXT)
        if tokenize is None or not self._state.options.context_speakers:
            return [NO_PREFIX] * len(items)
        speakers = [item.speaker for item in items]
        return name_prefixes(lambda name: tokenize([name])[0].content, speakers)

    @property
    def reads_dialogues(self) -> bool:
        """Whether what is read of an item depends on the turns of its dialogue."""
        return self.reach != NO_CONTEXT or self.encodes_dialogues

    @property
    def encodes_dialogues(self) -> bool:
        """Whether the model has a dialogue encoder."""
        return self._state.options.has_dialogue_encoder

    @property
    def reads_future(self) -> bool:
        """Whether what is read of an item depends on the turns after it."""
        is_causal = self._state.options.dialogue_causal
        return self.reach.future > 0 or (self.encodes_dialogues and not is_causal)

    @property
    def window_size(self) -> int:
        """The most turns that a dialogue encoder reads together."""
        return self._state.options.dialogue_window

    def window_of(self, position: int, n_turns: int) -> Window:
        """Return the window that scores one turn of a dialogue."""
        return window_of(position, n_turns, self.window_size, self._state.options.dialogue_causal)

    def plan_windows(self, dialogues: Sequence[Sequence[int]]) -> list[Window]:
        """Return the windows in which a dialogue encoder reads dialogues, as in training."""
        return plan_windows(dialogues, self.window_size, self._state.options.dialogue_causal)

    def dialogue_warnings(self, item: Item) -> list[str]:
        """Return the warnings of an item of which less is known than of the turns of training."""
        if not self.reads_dialogues:
            return []
        warnings = []
        if item.dialogue is None:
            warnings.append(
                "the model was trained on turns of dialogues, and the dialogue is not given: the "
                "item is predicted alone"
            )
        if self._state.options.context_speakers and item.speaker is None and item.has(TEXT):
            warnings.append(
                "the model was trained with --context-speakers, and the speaker is not given"
            )
        return warnings

    @property
    def groups_items(self) -> bool:
        """Whether what is read of an item depends on others of the same speaker."""
        return self._state.normalize_by == BY_SPEAKER and bool(self._state.frame_statistics)

    def _groups(self, items: Sequence[Item]) -> RowGroups | None:
        """Return which items are normalized together; a request is no corpus."""
        by = self._state.normalize_by
        if by in (BY_TRAIN, BY_CORPUS):
            return None
        return RowGroups(by, [item.speaker if by == BY_SPEAKER else None for item in items])

    def normalization_warning(self, item: Item) -> str:
        """Return the warning of an item that is normalized otherwise than in training, or ""."""
        state = self._state
        if not any(item.has(modality) for modality in state.frame_statistics):
            return ""
        trained = f"the model was trained with --normalize-by {state.normalize_by}"
        if state.normalize_by == BY_CORPUS:
            return f"{trained}, and a request is no corpus: the statistics of its training are used"
        if state.normalize_by == BY_SPEAKER and item.speaker is None:
            return f"{trained}, and the speaker is not given: the item is normalized by itself"
        return ""

    def _build_encode(self, modality: str, tokenizers: Mapping[str, Path]) -> Encode:
        """Build what makes of recordings or texts the contents that are batched."""
        kind = self._state.encoders[modality].input
        if kind == TOKENS:
            most = self._data.max_tokens(modality) - BOUNDARIES
            return _build_tokenize(modality, tokenizers[modality], most)
        if kind == FRAMES:
            return lambda sources: self._extract(modality, sources)
        if kind == PIXELS:
            options = self._data.picture_options(modality)
            return lambda sources: [
                Encoded(clip.pictures, clip.seconds, clip.total)
                for clip in (clips[options] for clips in sources)
            ]
        limit = self._data.max_samples() / SAMPLE_RATE

        def pass_on(sounds: Sequence[np.ndarray]) -> list[Encoded]:
            seconds = [len(sound) / SAMPLE_RATE for sound in sounds]
            return [Encoded(x, min(s, limit), s) for x, s in zip(sounds, seconds, strict=True)]

        return pass_on

    def _extract(self, modality: str, sources: Sequence[Any]) -> list[Encoded]:
        return [
            Encoded(frames, min(used, self._used_by_frames(modality, len(frames), used)), total)
            for frames, used, total in self._extractors[modality](sources)
        ]

    def _used_by_frames(self, modality: str, n_frames: int, used: float) -> float:
        """Return of how much of a source the first --max-frames frames are."""
        most = self._state.options.max_frames
        if most is None or n_frames <= most:
            return used
        if modality == TEXT:
            return most - 1  # the first frame is of the initial token
        exact = self._seconds_of_frames() if modality == SPEECH else math.inf
        return exact if math.isfinite(exact) else used * most / n_frames

    def _seconds_of_frames(self) -> float:
        """Return the seconds of --max-frames; infinite unless a frame's length is known."""
        most, settings = self._state.options.max_frames, self._extractors[SPEECH].settings
        is_kaldi = settings["features"] == LOG_MEL and settings.get("pool", "none") == "none"
        return (WINDOW_MS + (most - 1) * SHIFT_MS) / 1000 if most and is_kaldi else math.inf

    # -- truncation --------------------------------------------------------------------------------

    def _truncation(self, modality: str, row: Encoded) -> Truncation:
        of_tokens = modality == TEXT or self._state.encoders[modality].input == TOKENS
        unit = TOKEN_UNIT if of_tokens else SECONDS
        return Truncation(modality, row.used, row.total, unit)

    def _log(self, item: Item, truncation: Truncation) -> None:
        """Warn of a truncation, once a modality."""
        modality = truncation.modality
        if modality in self._logged:
            return
        self._logged.add(modality)
        remedy = "; timeline reads long audio whole" if modality == SPEECH else ""
        logger.warning("%s: %s, as in training%s", item.name, truncation.describe(), remedy)


def _reach(state: TaskState) -> Reach:
    options = state.options
    if not has_context(options) or TEXT not in state.limits.modalities_of(TOKENS):
        return NO_CONTEXT
    return Reach(options.context_past, options.context_future)


def _build_tokenize(modality: str, folder: Path, max_tokens: int) -> Encode:
    """Build what tokenizes texts or recordings."""
    encode = load_text_tokenizer(folder).encode if modality == TEXT else _load_codes(folder)

    def tokenize(sources: Sequence[Any]) -> list[Encoded]:
        rows = [encode(source) for source in sources]
        lengths = [len(row) - 1 for row in rows]  # each ends with the separator
        return [Encoded(x, min(n, max_tokens), n) for x, n in zip(rows, lengths, strict=True)]

    return tokenize


def _load_codes(folder: Path) -> Callable[[Any], np.ndarray]:
    tokenizer = load_speech_tokenizer(folder)
    rate = tokenizer.sample_rate
    return lambda samples: tokenizer.encode(resampled(samples, SAMPLE_RATE, rate))
