"""Predict with a trained model: load it, preprocess recordings and texts, decode its outputs.

The modules, in the order in which they are used::

    checkpoint ──checkpoint───▶ LoadedModel ──engine──▶ ModelEngine ──predictor──▶ EmotionPredictor
    folder ─────model_folder──▶ (state, model, processor)

    audio, text ──inputs──▶ Item ──preprocessor──▶ Batch ──model──▶ logits ──decode──▶ Prediction

:mod:`.arguments` pairs lists of recordings and texts, and :mod:`.item_audio` loads a recording.
Items are taken in :mod:`.chunks`, turns of a dialogue together. With a dialogue encoder a batch
becomes embeddings (:mod:`.encoded_turns`), and windows of these are classified. :mod:`.ensemble`
runs several models as one. :mod:`.timeline` predicts windows of a long recording,
:mod:`.predict_conversation` all turns of a recording (:mod:`.conversation`), and :mod:`.live`
turns as they come. :mod:`.transcribing` makes texts of recordings, and :mod:`.occlusion` explains
predictions.
"""
