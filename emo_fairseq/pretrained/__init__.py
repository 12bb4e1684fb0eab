"""Encoders that others have trained: read from their files once, rebuilt from checkpoints after."""

from emo_fairseq.pretrained.encoders import build, describe, load

__all__ = ["build", "describe", "load"]
