"""Predict with a trained model: load it, preprocess recordings and texts, decode its outputs.

The modules, in the order in which they are used::

    checkpoint ──loading──────▶ LoadedModel ──predictor──▶ EmotionPredictor
    folder ─────model_folder──▶ (state, model, processor)

    audio, text ──inputs──▶ Item ──preprocessor──▶ Batch ──model──▶ logits ──decode──▶ Prediction

:mod:`.timeline` cuts long recordings, :mod:`.transcribing` makes texts of recordings, and
:mod:`.occlusion` explains predictions.
"""
