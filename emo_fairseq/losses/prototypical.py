"""Contrastive loss with a prototype of each class, for batches of any size."""

import torch
from torch import Tensor

from emo_fairseq.losses.contrastive import ContrastiveLoss
from emo_fairseq.losses.precision import full_precision


def prototypical_contrastive(
    embeddings: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    temperature: float = 0.1,
    own: slice | None = None,
) -> ContrastiveLoss:
    """Return the mean loss of the anchors that have a positive, of which a prototype is one.

    Song et al. 2022, "Supervised Prototypical Contrastive Learning for Emotion Recognition in
    Conversation" (arXiv:2210.08713), section 3.3. With g(a, b) = exp(cos(a, b) / temperature), the
    other rows P(i) of the class y of row i, all other rows A(i), and the prototypes t:

        L_i = -log (sum_{p in P(i)} g(e_i, e_p) + g(e_i, t_y)) / (|P(i)| + 1)
              + log (sum_{a in A(i)} g(e_i, e_a) + sum_k g(e_i, t_k))

    So each row has a positive and negatives, also where its class occurs once in the batch. Unlike
    :func:`supervised_contrastive` the positives are averaged within the logarithm, and the matrix
    of similarities (M, M + K) is kept. The authors' code divides (1 + cos) / 2 by its temperature,
    whose .05 is .1 here; it leaves out anchors with a loss below .3, and this does not.

    With several ranks, each passes the gathered rows of all ranks, and its slice of them as `own`:
    the losses of the ranks sum to the whole loss, and so do the gradients of the gathered rows.

    Args:
        embeddings: (M, D), of any floating type and length.
        labels: (M,), class ids; a negative id is an unknown class, whose row is neither anchor nor
            positive nor negative.
        prototypes: (K, D); a row of NaN is a class without a prototype.
        temperature: above 0.
        own: the rows whose contribution to the loss is returned; None = all.

    >>> embeddings, prototypes = torch.tensor([[1.0, 0.0]]), torch.eye(2)
    >>> result = prototypical_contrastive(embeddings, torch.tensor([0]), prototypes, 1.0)
    >>> round(float(result.loss), 4), result.n_anchors, result.n_lone  # log (1 + e^-1)
    (0.3133, 1, 0)
    """
    n = len(labels)
    known = labels >= 0
    has_prototype = ~prototypes.isnan().any(dim=1)
    others = torch.cat([full_precision(embeddings), full_precision(prototypes).nan_to_num()])
    others = torch.nn.functional.normalize(others, dim=1)
    similarity = others[:n] @ others.T / temperature  # (M, M + K)
    itself = torch.eye(n, len(others), dtype=torch.bool, device=labels.device)
    is_other = torch.cat([known, has_prototype]) & ~itself
    classes = torch.cat([labels, torch.arange(len(prototypes), device=labels.device)])
    is_positive = is_other & (labels[:, None] == classes)
    is_anchor = known & is_positive.any(dim=1)
    # Rows without a positive are left out before the logarithm, whose gradient would be NaN.
    similarity, is_other, is_positive = (x[is_anchor] for x in (similarity, is_other, is_positive))
    of_all = similarity.masked_fill(~is_other, -torch.inf).logsumexp(dim=1)
    of_positives = similarity.masked_fill(~is_positive, -torch.inf).logsumexp(dim=1)
    losses = of_all - of_positives + is_positive.sum(dim=1).log()
    is_own = torch.zeros_like(known)
    is_own[slice(None) if own is None else own] = True
    n_anchors, n_paired = int(known.sum()), len(losses)
    loss = losses[is_own[is_anchor]].sum() / max(1, n_paired)
    return ContrastiveLoss(loss, n_anchors, n_anchors - n_paired)
