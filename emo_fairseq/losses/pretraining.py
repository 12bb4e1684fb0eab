"""Losses of pretraining on rows without labels: agreement of two views, and masked tokens."""

import torch
from torch import Tensor

from emo_fairseq.losses.contrastive import supervised_contrastive
from emo_fairseq.losses.precision import full_precision

_ROUNDING = 1e-5  # of a cosine in float32


def view_contrastive(
    first: Tensor,
    second: Tensor,
    temperature: float = 0.1,
    own: slice | None = None,
    negatives: Tensor | None = None,
) -> Tensor:
    """Return NT-Xent, the loss of SimCLR (Chen et al. 2020, eq. 1), as a mean over all 2 N views.

    With z = e / |e|, s_ij = z_i.z_j / temperature and j the other view of the row of i:

        l_i = -s_ij + log sum_{a != i} exp(s_ia)

    a runs over the 2 N views and the further negatives. Computed by
    :func:`.contrastive.supervised_contrastive`, whose notes on precision and memory hold here: each
    row is a class with two members.

    Args:
        first: (N, D), one view of each row.
        second: (N, D), the other one.
        temperature: 0.1 to 0.5 in the paper.
        own: the rows whose contribution to the mean is returned, if those of several ranks are
            given; None = all. The contributions of the ranks sum to the whole loss.
        negatives: (Q, D), embeddings of other rows, as MoCo's queue has them; None = no further
            ones.

    Raises:
        ValueError: the views differ in shape, or the temperature is too small.

    >>> first = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> round(float(view_contrastive(first, first, temperature=1.0)), 4)
    0.5514
    """
    if first.shape != second.shape:
        shapes = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(f"views of the same rows differ in shape: {shapes}")
    n_rows = len(first)
    rows = torch.arange(n_rows, device=first.device)
    embeddings, labels = torch.cat([first, second]), torch.cat([rows, rows])
    if negatives is not None:
        embeddings = torch.cat([embeddings, negatives.to(embeddings)])
        labels = torch.cat([labels, n_rows + torch.arange(len(negatives), device=labels.device)])
    is_own = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
    chosen = slice(0, n_rows) if own is None else own
    is_own[:n_rows][chosen] = True
    is_own[n_rows : 2 * n_rows][chosen] = True
    anchors = slice(0, 2 * n_rows)
    return supervised_contrastive(embeddings, labels, temperature, anchors=anchors, own=is_own).loss


def momentum_contrastive(
    queries: Tensor,
    keys: Tensor,
    temperature: float = 0.07,
    own: slice | None = None,
    negatives: Tensor | None = None,
) -> Tensor:
    """Return InfoNCE of each query, (n,), the loss of MoCo (He et al. 2020, eq. 1), in nats.

    With q and k of norm 1, and k_i the key of query i:

        l_i = -q_i.k_i / temperature + log sum_a exp(q_i.k_a / temperature)

    a runs over the N keys and the negatives. Keys have no gradient.

    Args:
        queries: (n, D), the first view of some rows.
        keys: (N, D), the second view of all rows, by the momentum encoder.
        temperature: 0.07 in the paper, 0.2 in MoCo v2.
        own: the n of N rows that the queries are of; None = all.
        negatives: (Q, D), keys of earlier batches; None = no further ones.

    >>> queries = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> [round(x, 4) for x in momentum_contrastive(queries, queries, temperature=1.0).tolist()]
    [0.3133, 0.3133]
    """
    rows = torch.arange(len(keys), device=keys.device)[slice(None) if own is None else own]
    others = keys if negatives is None else torch.cat([keys, negatives.to(keys)])
    first, other = (
        torch.nn.functional.normalize(full_precision(x), dim=1) for x in (queries, others.detach())
    )
    return torch.nn.functional.cross_entropy(first @ other.T / temperature, rows, reduction="none")


def matched_views(first: Tensor, second: Tensor, own: slice | None = None) -> Tensor:
    """Return which first views are most similar to the second view of their own row, (n,) bool.

    A second view that is as similar, but for rounding, does not count against it: two rows may have
    the same text.

    Args:
        first: (N, D), one view of each row.
        second: (N, D), the other one.
        own: the n rows that are compared with all; None = all.

    >>> matched_views(torch.eye(2), torch.tensor([[1.0, 0.1], [1.0, 0.0]])).tolist()
    [False, False]
    """
    rows = torch.arange(len(first), device=first.device)
    chosen = slice(0, len(first)) if own is None else own
    if not len(rows[chosen]):
        return rows[chosen] > 0
    one, other = (
        torch.nn.functional.normalize(full_precision(x), dim=1) for x in (first[chosen], second)
    )
    similarity = one @ other.T  # (n, N)
    of_own = similarity.gather(1, rows[chosen][:, None])[:, 0]
    return of_own >= similarity.amax(dim=1) - _ROUNDING


def masked_token_losses(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the cross-entropy of each masked token, (M,), in nats.

    The masked language model of Devlin et al. 2019; the mean over all masked tokens is its loss, as
    in fairseq's ``masked_lm``.

    Args:
        logits: (M, V) of the masked positions.
        truth: (M,) ids of the tokens that were there.

    >>> masked_token_losses(torch.zeros(1, 4), torch.tensor([2])).tolist()
    [1.3862943649291992]
    """
    return torch.nn.functional.cross_entropy(full_precision(logits), truth, reduction="none")
