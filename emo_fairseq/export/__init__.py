"""A trained model in other forms: ONNX graph, model card, checkpoint with LoRA merged."""
