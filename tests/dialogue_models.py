"""Options of tiny models of dialogues, the same in all tests, so that each is trained once."""

NEIGHBORS = """--modality text+speech --speech-input log_mel --context-past 2 --context-future 1
    --context-speakers --max-text-tokens 90"""
# The toy's dialogues have 4 to 8 turns: most are longer than a window.
BOTH_SIDES = """--modality text+speech --speech-input log_mel --dialogue-encoder transformer
    --dialogue-window 4 --dialogue-embed-dim 16 --dialogue-attention-heads 2 --lr 0.02"""
CAUSAL = """--modality text --dialogue-encoder gru --dialogue-causal --dialogue-window 4
    --dialogue-embed-dim 16 --lr 0.02"""
