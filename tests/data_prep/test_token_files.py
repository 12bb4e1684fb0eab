"""Files of token ids: the same bytes as fairseq's builder writes, read by fairseq."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq.data.indexed_dataset import MMapIndexedDataset, make_builder

from data_prep.tokens.token_files import check_token_files, write_token_files


@pytest.mark.parametrize("n_symbols", [12, 65_499, 65_500, 2**32 - 2, 2**32])
@pytest.mark.parametrize("lengths", [[3, 1, 0, 40], [], [1]])
def test_the_bytes_are_those_of_fairseqs_builder(
    tmp_path: Path, n_symbols: int, lengths: list[int]
) -> None:
    draw = np.random.default_rng(1)
    rows = [draw.integers(n_symbols, size=length) for length in lengths]
    write_token_files(tmp_path / "a.bin", tmp_path / "a.idx", iter(rows), n_symbols)
    builder = make_builder(str(tmp_path / "b.bin"), impl="mmap", vocab_size=n_symbols)
    for row in rows:
        builder.add_item(torch.from_numpy(row))
    builder.finalize(str(tmp_path / "b.idx"))
    for ending in ("bin", "idx"):
        written, expected = ((tmp_path / f"{x}.{ending}").read_bytes() for x in "ab")
        assert written == expected
    assert check_token_files(tmp_path / "a", n_symbols, "").tolist() == lengths
    if rows:
        read = MMapIndexedDataset(str(tmp_path / "a"))
        assert [read[i].tolist() for i in range(len(read))] == [row.tolist() for row in rows]
