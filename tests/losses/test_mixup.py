"""Mixing embeddings and losses against loops; what is drawn, and how often."""

import math
from functools import partial

import pytest
import scipy.stats
import torch
from torch import Tensor

from emo_fairseq.losses import (
    Mix,
    RowLoss,
    cross_entropy,
    draw_mix,
    focal,
    mix_embeddings,
    mixed_loss,
    squared_error,
)

N_ROWS, WIDTH = 8, 4
PARTNERS = torch.tensor([3, 1, 0, 2, 7, 6, 5, 4])
SHARES = [0.0, 0.3, 0.5, 1.0]

CLASS_LOSSES: dict[str, RowLoss] = {
    "cross_entropy": cross_entropy,
    "weighted": partial(
        cross_entropy, class_weights=torch.tensor([0.5, 2.0, 1.0, 0.0]), label_smoothing=0.1
    ),
    "focal": partial(focal, gamma=2.0),
}
every_class_loss = pytest.mark.parametrize("loss", CLASS_LOSSES.values(), ids=CLASS_LOSSES)


def random_rows(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N_ROWS, WIDTH, generator=generator, dtype=torch.float64)


def labels() -> Tensor:
    return torch.arange(N_ROWS) % WIDTH


def unmixed() -> Mix:
    return Mix(1.0, PARTNERS)


@pytest.mark.parametrize("share", SHARES)
def test_embeddings_are_mixed_as_in_a_loop(share: float) -> None:
    rows = random_rows()
    mixed = mix_embeddings(rows, Mix(share, PARTNERS))
    for i, partner in enumerate(PARTNERS.tolist()):
        for k in range(WIDTH):
            expected = share * rows[i, k].item() + (1.0 - share) * rows[partner, k].item()
            assert mixed[i, k].item() == pytest.approx(expected, abs=1e-12)


@every_class_loss
@pytest.mark.parametrize("share", SHARES)
def test_losses_are_mixed_as_in_a_loop(loss: RowLoss, share: float) -> None:
    logits, target = random_rows(), labels()
    mixed = mixed_loss(loss, logits, target, Mix(share, PARTNERS))
    assert mixed.shape == (N_ROWS,)
    for i, partner in enumerate(PARTNERS.tolist()):
        own = loss(logits[[i]], target[[i]]).item()
        of_partner = loss(logits[[i]], target[[partner]]).item()
        assert mixed[i].item() == pytest.approx(share * own + (1.0 - share) * of_partner)


@pytest.mark.parametrize("share", SHARES)
def test_mixed_cross_entropy_is_that_of_the_mixed_label(share: float) -> None:
    logits, target = random_rows(), labels()
    one_hot = torch.nn.functional.one_hot(target, WIDTH).double()
    soft = mix_embeddings(one_hot, Mix(share, PARTNERS))
    expected = -(soft * logits.log_softmax(dim=1)).sum(dim=1)
    torch.testing.assert_close(
        mixed_loss(cross_entropy, logits, target, Mix(share, PARTNERS)), expected
    )


@every_class_loss
def test_a_share_of_1_mixes_nothing(loss: RowLoss) -> None:
    rows, target = random_rows(), labels()
    assert torch.equal(mix_embeddings(rows, unmixed()), rows)
    assert torch.equal(mixed_loss(loss, rows, target, unmixed()), loss(rows, target))


@every_class_loss
def test_a_share_of_0_is_the_partner(loss: RowLoss) -> None:
    rows, target = random_rows(), labels()
    swapped = Mix(0.0, PARTNERS)
    assert torch.equal(mix_embeddings(rows, swapped), rows[PARTNERS])
    assert torch.equal(mixed_loss(loss, rows, target, swapped), loss(rows, target[PARTNERS]))


def test_a_missing_target_adds_nothing_and_leaves_that_of_the_partner() -> None:
    values, target = random_rows(), random_rows(seed=1)
    target[0] = math.nan
    loss = mixed_loss(squared_error, values, target, Mix(0.25, PARTNERS))
    assert loss.isfinite().all()
    own, partners = squared_error(values, target), squared_error(values, target[PARTNERS])
    torch.testing.assert_close(loss[0], 0.75 * partners[0])
    torch.testing.assert_close(loss[2], 0.25 * own[2])  # row 0 is its partner


def test_the_names_of_the_rows_do_not_matter() -> None:
    rows, target = random_rows(), labels()
    mix = Mix(0.3, PARTNERS)
    order = torch.randperm(N_ROWS, generator=torch.Generator().manual_seed(1))
    renamed = Mix(0.3, order.argsort()[PARTNERS[order]])  # new row i is old row order[i]
    torch.testing.assert_close(
        mix_embeddings(rows[order], renamed), mix_embeddings(rows, mix)[order]
    )
    torch.testing.assert_close(
        mixed_loss(cross_entropy, rows[order], target[order], renamed),
        mixed_loss(cross_entropy, rows, target, mix)[order],
    )


@pytest.mark.parametrize("share", SHARES)
def test_gradients(share: float) -> None:
    rows = random_rows().requires_grad_()
    mix = Mix(share, PARTNERS)

    def loss(embeddings: Tensor) -> Tensor:
        return mixed_loss(cross_entropy, mix_embeddings(embeddings, mix), labels(), mix)

    assert torch.autograd.gradcheck(loss, rows)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_type_is_kept_and_losses_are_computed_in_float32(dtype: torch.dtype) -> None:
    rows = (1000.0 * random_rows()).to(dtype).requires_grad_()
    mix = Mix(0.3, PARTNERS)
    mixed = mix_embeddings(rows, mix)
    assert mixed.dtype == dtype
    loss = mixed_loss(cross_entropy, mixed, labels(), mix)
    loss.sum().backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite().all()
    assert rows.grad is not None
    assert rows.grad.isfinite().all()


@pytest.mark.parametrize("alpha", [0.1, 1.0, pytest.param(2.0, marks=pytest.mark.extended), 1e4])
def test_shares_are_drawn_from_the_beta_distribution(alpha: float) -> None:
    torch.manual_seed(0)
    shares = [draw_mix(2, alpha).share for _ in range(6000)]
    assert all(0.0 <= share <= 1.0 for share in shares)
    assert scipy.stats.kstest(shares, "beta", args=(alpha, alpha)).pvalue > 0.001


def test_partners_are_a_permutation_and_each_as_likely() -> None:
    torch.manual_seed(0)
    n, draws = 4, 4000
    counts = torch.zeros(n, n)
    for _ in range(draws):
        partners = draw_mix(n, 1.0).partners
        assert partners.sort().values.tolist() == list(range(n))
        counts[torch.arange(n), partners] += 1
    assert (counts / draws).sub(1 / n).abs().max() < 0.03  # over four standard deviations


def test_alpha_near_0_mixes_next_to_nothing() -> None:
    """P(share < x) is next to x^alpha / 2: as good as 1/2 for any x."""
    torch.manual_seed(0)
    for alpha in (1e-2, 1e-3, 1e-8, 1e-320):
        shares = torch.tensor([draw_mix(2, alpha).share for _ in range(1000)])
        given_away = torch.minimum(shares, 1.0 - shares)
        assert float((given_away > 1e-6).float().mean()) == pytest.approx(1 - 1e-6**alpha, abs=0.03)
        assert float((shares > 0.5).float().mean()) == pytest.approx(0.5, abs=0.07)


def test_alpha_0_draws_nothing_and_mixes_nothing() -> None:
    state = torch.get_rng_state()
    mix = draw_mix(N_ROWS, 0.0)
    assert torch.equal(torch.get_rng_state(), state)
    assert mix.share == 1.0
    assert torch.equal(mix_embeddings(random_rows(), mix), random_rows())


def test_torchs_generator_decides() -> None:
    torch.manual_seed(5)
    one, other = draw_mix(N_ROWS, 1.0), draw_mix(N_ROWS, 1.0)
    assert one.share != other.share
    assert not torch.equal(one.partners, other.partners)
    torch.manual_seed(5)
    again = draw_mix(N_ROWS, 1.0)
    assert again.share == one.share
    assert torch.equal(again.partners, one.partners)


@pytest.mark.parametrize("alpha", [-0.5, math.inf, math.nan])
def test_an_alpha_without_meaning_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=f"alpha {alpha} of mixup"):
        draw_mix(N_ROWS, alpha)


def test_a_mix_of_another_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="a mix of 8 utterances for 3 rows"):
        mix_embeddings(random_rows()[:3], unmixed())
    with pytest.raises(ValueError, match="a mix of 8 utterances for 3 rows"):
        mixed_loss(cross_entropy, random_rows(), labels()[:3], unmixed())


def test_an_empty_batch() -> None:
    mix = draw_mix(0, 1.0)
    assert mix_embeddings(torch.zeros(0, WIDTH), mix).shape == (0, WIDTH)
    assert mixed_loss(cross_entropy, torch.zeros(0, WIDTH), labels()[:0], mix).shape == (0,)
