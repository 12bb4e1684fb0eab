"""Pretrained encoders of fairseq and Hugging Face.

    option ──describe──▶ EncoderSpec (saved in checkpoints) ──build──▶ Encoder ──load──▶ weights

:mod:`.encoders` chooses by the kind of the spec; each library has tables of families:

| library | tables | families |
|---|---|---|
| Hugging Face | :mod:`.hf_text`, :mod:`.hf_audio`, :mod:`.hf_video` | the other ``hf_*`` |
| fairseq, FunASR | :mod:`.fairseq_checkpoints` | the other ``fairseq_*`` |

:mod:`.weights`, :mod:`.hf_files`, :mod:`.fairseq_files` and :mod:`.funasr_files` read files;
:mod:`.waveforms` and :mod:`.pictures` prepare inputs; :mod:`.peft_adapters` reads and writes LoRA.
"""

from emo_fairseq.pretrained.encoders import build, describe, load

__all__ = ["build", "describe", "load"]
