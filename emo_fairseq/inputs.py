"""What an encoder reads: the one word that its card, its leaf and its builder agree on."""

TOKENS = "tokens"
WAVEFORM = "waveform"
LOG_MEL = "log_mel"
FRAMES = "frames"  # pre-extracted ones
INPUTS = (TOKENS, WAVEFORM, LOG_MEL, FRAMES)
