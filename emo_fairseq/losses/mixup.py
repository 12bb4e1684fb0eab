"""Mixed utterances between those of a batch, and the loss of the answers to them.

Verma et al. 2019, "Manifold mixup: Better representations by interpolating hidden states", here of
the embedding: each is mixed with that of a partner, and each loss with that on the partner's truth.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Exponential, Gamma

from emo_fairseq.losses.classification import RowLoss


class Mix(NamedTuple):
    """Who is mixed with whom, and how much.

    Attributes:
        share: the paper's lambda, in [0, 1]: what each utterance keeps of itself.
        partners: (B,), a permutation: the row that gives each the rest.
    """

    share: float
    partners: Tensor


def draw_mix(n: int, alpha: float, device: torch.device | str = "cpu") -> Mix:
    """Draw one share from Beta(alpha, alpha), and partners, for a batch of n utterances.

    Draws from torch's generators: the share on the CPU, so that no device is waited for, the
    partners on the device.

    Args:
        n: B.
        alpha: 0 or more; 2 in the paper, 1 draws uniformly. The nearer to 0, the nearer the share
            to 0 or 1; 0 itself draws nothing and mixes nothing.
        device: of the partners.

    Raises:
        ValueError: an alpha that is negative or not finite.
    """
    if not 0.0 <= alpha < math.inf:
        raise ValueError(f"alpha {alpha} of mixup is not a finite number of 0 or more")
    if alpha == 0.0:
        return Mix(1.0, torch.arange(n, device=device))
    return Mix(_draw_share(alpha), torch.randperm(n, device=device))


def mix_embeddings(embeddings: Tensor, mix: Mix) -> Tensor:
    """`share * e_i + (1 - share) * e_partner(i)`; (B, ...) -> (B, ...), of the same type.

    Raises:
        ValueError: the mix is of another number of utterances.
    """
    _check_batch(embeddings, mix)
    return mix.share * embeddings + (1.0 - mix.share) * embeddings[mix.partners]


def mixed_loss(row_loss: RowLoss, outputs: Tensor, target: Tensor, mix: Mix) -> Tensor:
    """`share * loss(o_i, y_i) + (1 - share) * loss(o_i, y_partner(i))` of each utterance.

    Args:
        row_loss: the loss of each utterance, (B,), from outputs and target.
        outputs: (B, ...), logits or values of the mixed embeddings.
        target: (B, ...), the truth of the utterances as they were.
        mix: what :func:`mix_embeddings` was given.

    Returns:
        (B,)

    Raises:
        ValueError: the mix is of another number of utterances, or `row_loss` refuses its input.
    """
    _check_batch(target, mix)
    own, partners = row_loss(outputs, target), row_loss(outputs, target[mix.partners])
    return mix.share * own + (1.0 - mix.share) * partners


def _draw_share(alpha: float) -> float:
    """From Beta(alpha, alpha): x / (x + y) of x and y from Gamma(alpha), by their logarithms.

    torch.distributions.Beta divides x by x + y. With a small alpha both underflow, and it gives
    1/2, the most there is to mix, where 0 and 1 are due: every fourth time at alpha 0.001.
    """
    one = torch.ones(2, dtype=torch.float64)
    # log Gamma(alpha) = log Gamma(alpha + 1) + log(uniform) / alpha  (Marsaglia & Tsang 2000)
    log_x, log_y = Gamma(alpha + one, one).sample().log().tolist()
    minus_log_uniform, other = Exponential(one).sample().tolist()
    log_odds = log_x - log_y - (minus_log_uniform - other) / alpha
    return torch.tensor(log_odds, dtype=torch.float64).sigmoid().item()


def _check_batch(rows: Tensor, mix: Mix) -> None:
    if len(rows) != len(mix.partners):
        raise ValueError(f"a mix of {len(mix.partners)} utterances for {len(rows)} rows")
