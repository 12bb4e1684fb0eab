"""A trained model in other forms: model folder, ONNX graphs, model card, merged or adapted weights.

| written | modules |
|---|---|
| model folder | :mod:`.model_folder`, :mod:`.replacing`; as a checkpoint: :mod:`.as_checkpoint` |
| the same, of a classifier | :mod:`.classifier_folder`; :mod:`.classifiers`: |
| | :mod:`.hf_classifiers`, :mod:`.funasr_classifiers` |
| ensemble | :mod:`.ensemble` |
| card | :mod:`.model_card`, :mod:`.card_sections`, :mod:`.non_default_options` |
| its metrics | :mod:`.scored_predictions` |
| card, for the hub | :mod:`.model_index` |
| graphs | :mod:`.onnx` (by tracing) or :mod:`.dynamo`, in several precisions by :mod:`.graphs` |
| LoRA | :mod:`.merge_lora` into the weights, :mod:`.adapter` in peft's format |
| hub | :mod:`.upload`, with names by :mod:`.naming` |

A graph is made of :mod:`.front_ends` (features of samples) and :mod:`.flat_models`, after
:mod:`.traceable` has replaced what depends on the batch. It is traced and compared on
:mod:`.example_batches`, described by :mod:`.interface`, and made smaller by :mod:`.quantization`
and :mod:`.token_tables`.
"""
