"""Criterions: what is minimized, and the sums that metrics are derived from.

    output of the model ──primary loss──▶ (B,) losses ──terms──▶ loss of the batch
    output of the model ──scoring──▶ statistics that add up ──metric_logging──▶ metrics

:mod:`.emotion_criterion` does both. A primary loss (:mod:`.primary_loss`) is of labels
(:mod:`.classification_loss`) or of numbers (:mod:`.regression_loss`). :mod:`.registered` has the
criterions of ``--criterion``, :mod:`.pretraining` those of rows without labels, and
:mod:`.task_protocol` what they use of a task.
"""

from emo_fairseq.criterions import pretraining, registered

__all__ = ["pretraining", "registered"]
