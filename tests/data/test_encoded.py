"""The dataset of outputs on disk, and the digest of what was encoded."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from data_prep.features.frame_files import StoredFeatures, read_frames, write_frames
from data_prep.tokens.folder import SpecialIds
from emo_fairseq.data.audio import WaveformDataset
from emo_fairseq.data.augmentation import AddedNoise, Babble, Gain, Speed, TokenDropout
from emo_fairseq.data.context_rows import NO_PREFIX
from emo_fairseq.data.encoded import EncodedCopies, EncodedDataset, content_digest
from emo_fairseq.data.neighbors import Neighbors
from emo_fairseq.data.tokens import ContextDataset, TokenDataset
from emo_fairseq.errors import UsageError

ROWS = ([4, 5], [6], [7, 8, 9])


def tokens(
    rows: tuple[list[int], ...] = ROWS, max_tokens: int = 10, absent: int = 1, init: int = 0
) -> TokenDataset:
    source = [np.array(row) for row in rows]
    present = np.arange(len(rows)) != absent
    lengths = np.array([len(row) for row in rows])
    return TokenDataset(source, lengths, present, SpecialIds(init=init), max_tokens)


class Rows(list):  # type: ignore[type-arg]
    """As a token folder gives them: a separator at the end."""

    sizes = np.array([3, 2, 4])


def context(pool_all: bool = False) -> ContextDataset:
    source = Rows(np.array([*row, 2]) for row in ROWS)
    return ContextDataset(
        source,
        np.array([True, False, True]),
        [Neighbors([], []), Neighbors([0], []), Neighbors([1, 0], [])],
        [NO_PREFIX] * 3,
        SpecialIds(),
        20,
        pool_all,
    )


def stored(folder: Path, lengths: tuple[int, ...] = (4, 0, 5)) -> StoredFeatures:
    noise = np.random.default_rng(0)
    write_frames(folder, "train", (noise.normal(size=(n, 6)) for n in lengths), "float16")
    return read_frames(folder, "train")


def test_items_and_batches(tmp_path: Path) -> None:
    outputs = stored(tmp_path)
    source = tokens()
    dataset = EncodedDataset(outputs, source)
    assert isinstance(outputs.frames, np.memmap)
    assert len(dataset) == 3
    assert dataset.sizes.tolist() == source.sizes.tolist()  # the batches are the same
    batch = dataset.collater([dataset[0], dataset[1], dataset[2]])
    assert set(batch) == {"encoded", "padding_mask", "present"}
    assert batch["encoded"].shape == (3, 5, 6)
    numbers = batch["encoded"].view(torch.float32)
    assert batch["present"].tolist() == [True, False, True]
    assert (~batch["padding_mask"]).sum(dim=1).tolist() == [4, 1, 5]
    np.testing.assert_array_equal(numbers[2].numpy(), outputs[2])
    assert not numbers[0, 4:].any()


def test_the_focus_of_a_dialogue_is_passed_on(tmp_path: Path) -> None:
    dataset = context()
    outputs = stored(tmp_path, (4, 0, int(dataset.sizes[2])))
    expected = dataset.collater([dataset[row] for row in range(3)])["focus"]
    encoded = EncodedDataset(outputs, dataset)
    batch = encoded.collater([encoded[row] for row in range(3)])
    assert torch.equal(batch["focus"], expected)
    assert encoded.collater([encoded[1]])["focus"].shape == (1, 1)
    without = EncodedDataset(outputs, context(pool_all=True))
    assert "focus" not in without.collater([without[0]])


CHANGES: dict[str, Callable[[], TokenDataset]] = {
    "an id": lambda: tokens(([4, 5], [6], [7, 8, 10])),
    "a longer row": lambda: tokens(([4, 5], [6], [7, 8, 9, 9])),
    "another cut": lambda: tokens(max_tokens=4),
    "other rows present": lambda: tokens(absent=0),
    "another boundary": lambda: tokens(init=3),
    "the order": lambda: tokens((ROWS[2], ROWS[1], ROWS[0])),
    "a border moved": lambda: tokens(([4], [6], [5, 7, 8, 9])),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_the_items_changes_the_digest(
    change: Callable[[], TokenDataset], tmp_path: Path
) -> None:
    assert content_digest(tokens(), tmp_path) == content_digest(tokens(), tmp_path)
    assert content_digest(change(), tmp_path) != content_digest(tokens(), tmp_path)


def test_what_the_fusion_may_look_at_is_no_matter_of_the_encoder(tmp_path: Path) -> None:
    assert content_digest(context(True), tmp_path) == content_digest(context(False), tmp_path)


def test_of_audio_the_bytes_and_the_limit_count(tmp_path: Path) -> None:
    memory = tmp_path / "digests.json"
    file = tmp_path / "a.wav"
    soundfile.write(file, np.zeros(1000), 16_000)

    def waveforms(max_samples: int = 2000) -> WaveformDataset:
        return WaveformDataset([file, None], np.array([1000, 0]), max_samples, ["a", "b"])

    before = content_digest(waveforms(), memory)
    assert content_digest(waveforms(), memory) == before
    assert content_digest(waveforms(500), memory) != before
    soundfile.write(file, np.full(1000, 0.5), 16_000)
    assert content_digest(waveforms(), memory) != before
    file.unlink()
    with pytest.raises(UsageError, match=r"a\.wav: ") as error:
        content_digest(waveforms(), memory)
    assert error.value.code


# -- augmented copies ------------------------------------------------------------------------------


def test_a_row_reads_its_copies_in_turn(tmp_path: Path) -> None:
    inputs = tokens(([4, 5], [6, 7], [7, 8, 9]), absent=-1)
    rows = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        frames = (np.full((row + 1, 2), 10 * number + row, np.float32) for row in range(3))
        write_frames(folder, "train", frames, "float16")
        rows.append(EncodedDataset(read_frames(folder, "train"), inputs))
    copies = EncodedCopies(rows)
    read = []
    for epoch in range(1, 5):
        copies.set_epoch(epoch)
        read.append([int(copies[row][0][0, 0]) for row in range(3)])
    assert read == [[0, 11, 22], [10, 21, 2], [20, 1, 12], [0, 11, 22]]
    assert copies.sizes.tolist() == inputs.sizes.tolist()
    batch = copies.collater([copies[0], copies[2]])
    assert batch["encoded"].shape == (2, 3, 2)
    other = EncodedCopies(rows, first=1)  # another view
    assert [int(other[row][0][0, 0]) for row in range(3)] == [10, 21, 2]


@pytest.mark.parametrize("blank", [3, None])
def test_copies_of_a_dialogue_have_a_focus_each(blank: int | None, tmp_path: Path) -> None:
    """Where dropped tokens are left out, it moves with the current turn."""
    inputs = [context(), TokenDropout(context(), 0.5, SpecialIds(), blank, seed=1)]
    expected, encoded = [], []
    for number, dataset in enumerate(inputs):
        folder = tmp_path / str(number)
        folder.mkdir()
        items = [dataset[row] for row in range(3)]
        expected.append(dataset.collater(items[2:])["focus"])
        frames = (np.zeros((len(tokens) * present, 2)) for tokens, present, _ in items)
        write_frames(folder, "train", frames, "float16")
        encoded.append(EncodedDataset(read_frames(folder, "train"), dataset))
    assert (expected[0].shape == expected[1].shape) == (blank is not None)
    copies = EncodedCopies(encoded)
    for epoch, number in ((1, 0), (2, 1)):
        copies.set_epoch(epoch)
        focus = copies.collater([copies[2]])["focus"]
        assert torch.equal(focus, expected[number])


AUGMENTED = [
    lambda x: Gain(x, 6.0, seed=1),
    lambda x: Gain(x, 3.0, seed=1),
    lambda x: Gain(x, 6.0, seed=2),
    lambda x: AddedNoise(x, (5.0, 20.0), "white", seed=1),
    lambda x: AddedNoise(x, (5.0, 20.0), "pink", seed=1),
    lambda x: AddedNoise(x, (5.0, 10.0), "white", seed=1),
    lambda x: Speed(x, (0.9, 1.1), 16_000, seed=1),
    lambda x: Speed(x, (0.9, 1.0), 16_000, seed=1),
    lambda x: Babble(x, x, ["a", "b"], 1, (0.0, 5.0), seed=1),
    lambda x: Babble(x, x, ["b", "a"], 1, (0.0, 5.0), seed=1),
    lambda x: Babble(Gain(x, 6.0, seed=1), x, ["a", "b"], 1, (0.0, 5.0), seed=1),
]


def test_each_augmentation_and_epoch_has_a_digest_of_its_own(tmp_path: Path) -> None:
    def digests(name: str, sample: float) -> list[str]:
        files = []
        for row in range(2):
            files.append(tmp_path / f"{name}{row}.wav")
            soundfile.write(files[-1], np.full(800, sample * (row + 1)), 16_000)
        audio = WaveformDataset(list(files), np.array([800, 800]), 16_000, ["a", "b"])
        found = []
        for augment in AUGMENTED:
            augmented = augment(audio)
            for epoch in (1, 2):
                augmented.set_epoch(epoch)
                found.append(content_digest(augmented, tmp_path / "digests.json"))
        return found

    first = digests("first", 0.1)
    assert len(set(first)) == len(first) == 2 * len(AUGMENTED)
    assert digests("again", 0.1) == first
    assert not set(digests("other", 0.2)) & set(first)
