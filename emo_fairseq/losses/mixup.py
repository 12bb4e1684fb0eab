"""Mixup of embeddings within a batch.

Verma et al. 2019, "Manifold mixup: Better representations by interpolating hidden states". Each
embedding is mixed with that of a partner, and each loss with that on the partner's target.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Exponential, Gamma

from emo_fairseq.losses.classification import RowLoss


class Mix(NamedTuple):
    """Partners and mixing coefficient of a batch.

    Attributes:
        share: the paper's lambda, in [0, 1]: weight of the utterance itself.
        partners: (B,), a permutation: the row with weight 1 - share.
    """

    share: float
    partners: Tensor


def draw_mix(n: int, alpha: float, device: torch.device | str = "cpu") -> Mix:
    """Draw a share from Beta(alpha, alpha), and partners, for a batch of n utterances.

    Draws from torch's global generators: the share on the CPU, to avoid a synchronization, the
    partners on the device.

    Args:
        n: B.
        alpha: 0 or more; 2 in the paper, 1 is uniform. Towards 0, the share is closer to 0 or 1;
            with 0 nothing is drawn, and the share is 1.
        device: of the partners.

    Raises:
        ValueError: alpha is negative or not finite.

    >>> draw_mix(3, alpha=0.0)
    Mix(share=1.0, partners=tensor([0, 1, 2]))
    """
    if not 0.0 <= alpha < math.inf:
        raise ValueError(f"alpha {alpha} of mixup is not a finite number of 0 or more")
    if alpha == 0.0:
        return Mix(1.0, torch.arange(n, device=device))
    return Mix(_draw_share(alpha), torch.randperm(n, device=device))


def mix_embeddings(embeddings: Tensor, mix: Mix) -> Tensor:
    """Return `share * e_i + (1 - share) * e_partner(i)`; (B, ...) -> (B, ...), of the same dtype.

    Raises:
        ValueError: the mix was drawn for another number of utterances.

    >>> mix = Mix(share=0.75, partners=torch.tensor([1, 0]))
    >>> mix_embeddings(torch.tensor([[0.0], [4.0]]), mix)
    tensor([[1.],
            [3.]])
    """
    _check_batch(embeddings, mix)
    return mix.share * embeddings + (1.0 - mix.share) * embeddings[mix.partners]


def mixed_loss(row_loss: RowLoss, outputs: Tensor, target: Tensor, mix: Mix) -> Tensor:
    """Return `share * loss(o_i, y_i) + (1 - share) * loss(o_i, y_partner(i))` of each utterance.

    Args:
        row_loss: the loss of each utterance, (B,), from outputs and target.
        outputs: (B, ...), logits or values of the mixed embeddings.
        target: (B, ...), targets of the utterances before mixing.
        mix: the argument of :func:`mix_embeddings`.

    Returns:
        (B,)

    Raises:
        ValueError: the mix was drawn for another number of utterances, or from `row_loss`.
    """
    _check_batch(target, mix)
    own, partners = row_loss(outputs, target), row_loss(outputs, target[mix.partners])
    return mix.share * own + (1.0 - mix.share) * partners


def _draw_share(alpha: float) -> float:
    """Draw from Beta(alpha, alpha): x / (x + y) of x and y from Gamma(alpha), by their logarithms.

    torch.distributions.Beta divides x by x + y. With a small alpha both underflow, and it returns
    1/2, the strongest mix, instead of 0 or 1: in a quarter of the draws at alpha 0.001.
    """
    ones = torch.ones(2, dtype=torch.float64)
    # log Gamma(alpha) = log Gamma(alpha + 1) + log(uniform) / alpha  (Marsaglia & Tsang 2000)
    log_x, log_y = Gamma(alpha + ones, ones, validate_args=False).sample().log().tolist()
    minus_log_uniform, other = Exponential(ones, validate_args=False).sample().tolist()
    log_odds = log_x - log_y - (minus_log_uniform - other) / alpha
    return torch.tensor(log_odds, dtype=torch.float64).sigmoid().item()


def _check_batch(rows: Tensor, mix: Mix) -> None:
    if len(rows) != len(mix.partners):
        raise ValueError(f"a mix of {len(mix.partners)} utterances for {len(rows)} rows")
