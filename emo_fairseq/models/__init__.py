"""The architecture ``robertaEMO`` and its named sizes."""

from emo_fairseq.models import roberta_emo

__all__ = ["roberta_emo"]
