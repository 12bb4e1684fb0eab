"""Pretrained encoders of fairseq and Hugging Face.

option --describe--> EncoderSpec (saved in checkpoints) --build--> Encoder --load--> weights
"""

from emo_fairseq.pretrained.encoders import build, describe, load

__all__ = ["build", "describe", "load"]
