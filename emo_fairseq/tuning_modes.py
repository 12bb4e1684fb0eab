"""What of an encoder is trained: the values of ``--{modality}-tuning``."""

FULL, FROZEN, LORA = TUNINGS = ("full", "frozen", "lora")
