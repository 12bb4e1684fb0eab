"""From a split on disk, or rows in memory, to nested batches.

It uses fairseq's datasets, and no model. The modules, in the order in which they are used::

    {split}.tsv ──manifest, legacy──▶ Split ──data_dir──▶ rows of a modality
    rows ──inputs──▶ modality dataset (audio, tokens, frames, video, encoded)
    datasets ──utterance_dataset, dialogue_dataset──▶ batches
    arrays of a request ──in_memory──▶ the same batches, without torch

| topic | modules |
|---|---|
| rows that are used, sets of a fold | :mod:`.usable_rows`, :mod:`.fold` |
| order of batches | :mod:`.samplers`, :mod:`.curriculum` |
| truth and votes | :mod:`.annotations`, :mod:`.votes` |
| tokens | :mod:`.vocabulary`, :mod:`.token_choice`, :mod:`.token_rows`, :mod:`.masking` |
| frames | :mod:`.frame_statistics`, :mod:`.normalization` |
| dialogues, order of turns | :mod:`.turn_order`, :mod:`.dialogue_rows`, :mod:`.dialogue_windows` |
| dialogues, texts | :mod:`.neighbors`, :mod:`.context_rows` |
| shared by all inputs | :mod:`.modality_dataset`, :mod:`.input_limits`, :mod:`.row_warnings` |
| training only | :mod:`.augmentation`, :mod:`.fit`, :mod:`.leaks` |
"""
