"""Criterions: what is minimized, and the sums that metrics are derived from.

    output of the model ──classification_loss, regression_loss──▶ (B,) losses ──terms──▶ loss
    output of the model ──scoring──▶ statistics that add up ──metric_logging──▶ metrics

:mod:`.emotion_criterion` does both, :mod:`.registered` has the criterions of ``--criterion``,
:mod:`.pretraining` those of rows without labels, :mod:`.task_protocol` what they use of a task.
"""

from emo_fairseq.criterions import pretraining, registered

__all__ = ["pretraining", "registered"]
