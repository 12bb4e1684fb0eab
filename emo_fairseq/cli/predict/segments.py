"""``predict --segments``: a row for each turn of one recording, as a segmentation gives them."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from data_prep.audio.segment import AudioSegment
from data_prep.errors import CodedError
from data_prep.segmentation.labels import LABELS_IN_BRACKETS, without_labels
from data_prep.segmentation.turn import Segmentation, Turn
from data_prep.video.segment import VideoSegment
from emo_fairseq.cli.predict.inputs import is_audio
from emo_fairseq.cli.predict.items import Item, Reads, checked_item
from emo_fairseq.cli.turn_files import ReadTurns
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH, TEXT, VIDEO


def open_segments(items: Sequence[str], path: Path, read: ReadTurns) -> "SegmentSource":
    """Open a recording with its turns; what else the file holds is counted on standard error.

    Raises:
        UsageError: there is not one audio file, or the turns cannot be read.
    """
    if len(items) != 1 or not is_audio(items[0]):
        raise UsageError(
            f"--segments {path}: goes with one audio file; give the recording of the turns",
            "segments-recording",
        )
    recording = Path(items[0])
    if not recording.is_file():
        raise UsageError(f"{recording}: there is no such file", "file-missing")
    segmentation = read(path, recording=str(recording))
    parts = [f"{len(segmentation.turns)} turns", *segmentation.notes]
    parts += [f"{kind} skipped: {count}" for kind, count in segmentation.skipped.items()]
    sys.stderr.write(f"{path}: {', '.join(parts)}\n")
    return SegmentSource(recording, segmentation)


@dataclass(frozen=True)
class SegmentSource:
    """The turns of one recording, each read from its segment alone."""

    recording: Path
    segmentation: Segmentation
    columns: Sequence[str] = field(default=("start", "end", "speaker", "text"), init=False)

    def is_typed(self, reads: Reads) -> bool:
        return False

    def items(self, reads: Reads) -> Iterator[Item]:
        """Yield an item for each turn, which are those of one dialogue.

        Texts that the model does not read are counted.
        """
        segmentation = without_labels(self.segmentation, reads.labels)
        if n_labels := segmentation.skipped.get(LABELS_IN_BRACKETS):
            sys.stderr.write(f"{segmentation.path}: {LABELS_IN_BRACKETS} skipped: {n_labels}\n")
        turns = segmentation.turns
        n_texts = sum(turn.text is not None for turn in turns)
        if n_texts and not reads.has(TEXT):
            path = self.segmentation.path
            sys.stderr.write(f"{path}: texts of turns skipped: {n_texts}; {reads.why}\n")
        for number, turn in enumerate(turns):
            item = self._item(turn, reads)
            if reads.dialogues:
                n_following = len(turns) - 1 - number
                item = replace(item, dialogue="", position=number, n_following=n_following)
            yield item

    def _item(self, turn: Turn, reads: Reads) -> Item:
        start, end = float(turn.start), float(turn.end)
        cells = {"start": start, "end": end, "speaker": turn.speaker, "text": turn.text}
        text = turn.text if reads.has(TEXT) else None
        name = f"{self.segmentation.path}: {turn.where}"
        try:
            audio = None
            if reads.has(SPEECH):
                audio = AudioSegment(self.recording, start, end, turn.channel)
            video = VideoSegment(self.recording, start, end) if self._is_video(reads) else None
        except CodedError as error:  # times that differ in the twentieth decimal alone
            return Item(name, error=error, cells=cells, turn=turn)
        item = checked_item(name, audio, text, cells)
        return replace(item, speaker=turn.speaker, turn=turn, video=video)

    def _is_video(self, reads: Reads) -> bool:
        if not reads.has(VIDEO):
            return False
        from emo_fairseq.inference.videos import has_pictures

        return has_pictures(self.recording)
