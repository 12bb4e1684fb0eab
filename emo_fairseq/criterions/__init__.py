"""Criterions: what is minimized, and the sums that metrics are derived from."""

from emo_fairseq.criterions import pretraining, registered

__all__ = ["pretraining", "registered"]
