"""Neural network modules, built from parts and numbers rather than from a configuration.

| part of a model | modules |
|---|---|
| encoders from scratch | :mod:`.token_encoder`, :mod:`.waveform_encoder`, :mod:`.log_mel_encoder` |
| encoders of features | :mod:`.frame_encoder`, :mod:`.stored_layers` |
| their base classes | :mod:`.encoder`, :mod:`.staged_encoder` (of waveforms) |
| their layers | :mod:`.transformer`, :mod:`.wav2vec2_transformer`, :mod:`.alibi_transformer` |
| choice of layers | :mod:`.layer_mix` |
| modalities to one vector | :mod:`.pooling`, :mod:`.fusion`, :mod:`.cross_attention` |
| turns in their dialogue | :mod:`.dialogue` |
| outputs | :mod:`.heads`, :mod:`.adversary` |
| in training | :mod:`.lora`, :mod:`.moving_average` |
| dropout | :mod:`.modality_dropout`, :mod:`.bulk_dropout` |
"""
