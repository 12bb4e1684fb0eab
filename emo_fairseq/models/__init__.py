"""The architecture ``robertaEMO``: its options, its named sizes, and how it is built.

    options ──config, fusions, dialogue_encoders──▶ their rules
    --arch ──architectures──▶ all sizes ──build──▶ RobertaEMOModel (roberta_emo)
    EncoderSpec ──encoders──▶ backbone ──modality_encoder──▶ features of a layer
    model ──tuning──▶ which parts are frozen, have LoRA, or are trained

:mod:`.encode` and :mod:`.feature_extraction` run one encoder over many rows; :mod:`.by_length`
groups rows of similar length.
"""

from emo_fairseq.models import roberta_emo

__all__ = ["roberta_emo"]
