"""Dropping whole modalities: how often, never the last one, nothing that was not there."""

import pytest
import torch
from torch import Tensor

from emo_fairseq.modules.modality_dropout import drop_modalities

N_ROWS = 40_000
TOLERANCE = 0.012  # over four standard deviations of a frequency in so many rows


def everything(*names: str) -> dict[str, Tensor]:
    return {name: torch.ones(N_ROWS, dtype=torch.bool) for name in names}


def table(present: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(present.values()), dim=1)  # (B, M)


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("names", [("text",), ("text", "speech"), ("text", "speech", "video")])
def test_each_goes_with_its_probability_unless_it_is_the_last(
    names: tuple[str, ...], probability: float
) -> None:
    kept = drop_modalities(everything(*names), probability)
    assert list(kept) == list(names)
    assert table(kept).any(dim=1).all()
    n = len(names)
    # Gone: with its own probability, but not if all would go and it is the one of n that stays.
    gone = probability - probability**n / n
    for present in kept.values():
        assert present.dtype == torch.bool
        assert float((~present).float().mean()) == pytest.approx(gone, abs=TOLERANCE)


def test_modalities_go_independently() -> None:
    """P(only the first stays) of three is (1 - p) p^2 + p^3 / 3, and so on."""
    p = 0.4
    rows = table(drop_modalities(everything("text", "speech", "video"), p))
    for pattern in range(1, 8):
        wanted = torch.tensor([bool(pattern & 1), bool(pattern & 2), bool(pattern & 4)])
        n_kept = int(wanted.sum())
        expected = (1 - p) ** n_kept * p ** (3 - n_kept) + (p**3 / 3 if n_kept == 1 else 0)
        frequency = (rows == wanted).all(dim=1).float().mean()
        assert float(frequency) == pytest.approx(expected, abs=TOLERANCE)


def test_what_is_missing_stays_missing_and_does_not_count_as_the_last() -> None:
    present = everything("text", "speech", "video")
    present["speech"] = torch.arange(N_ROWS) % 2 == 0
    present["video"] = torch.zeros(N_ROWS, dtype=torch.bool)
    given = {name: mask.clone() for name, mask in present.items()}
    kept = drop_modalities(present, 1.0)
    assert torch.equal(kept["text"] | kept["speech"], torch.ones(N_ROWS, dtype=torch.bool))
    assert not kept["video"].any()
    alone = ~present["speech"]
    assert kept["text"][alone].all()
    assert not kept["speech"][alone].any()
    both = kept["text"][~alone]
    assert float(both.float().mean()) == pytest.approx(0.5, abs=2 * TOLERANCE)
    assert all(torch.equal(present[name], given[name]) for name in present), "changed in place"


def test_a_row_without_anything_stays_so() -> None:
    nothing = {name: torch.zeros(5, dtype=torch.bool) for name in ("text", "speech")}
    for probability in (0.0, 0.5, 1.0):
        assert not table(drop_modalities(nothing, probability)).any()


def test_torchs_generator_decides() -> None:
    present = everything("text", "speech")
    torch.manual_seed(5)
    one = table(drop_modalities(present, 0.5))
    assert not torch.equal(table(drop_modalities(present, 0.5)), one)
    torch.manual_seed(5)
    assert torch.equal(table(drop_modalities(present, 0.5)), one)
    state = torch.get_rng_state()
    drop_modalities(present, 0.0)
    assert torch.equal(torch.get_rng_state(), state), "probability 0 must draw nothing"


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_no_probability_is_an_error(probability: float) -> None:
    with pytest.raises(ValueError, match="give a probability from 0 to 1"):
        drop_modalities(everything("text"), probability)
