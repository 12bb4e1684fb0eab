"""Tokenizers of text and speech, and the folders of their tokens.

| tokens | tokenizer | of a corpus |
|---|---|---|
| text | :mod:`.text_tokenizers`, :mod:`.hf_tokenizer` | :mod:`.binarize` |
| speech, k-means | :mod:`.kmeans_tokenizer` | :mod:`.kmeans_corpus` |
| speech, vq-wav2vec | :mod:`.vq_wav2vec` | :mod:`.vq_wav2vec_corpus` |

:mod:`.folder` describes a token folder and its card, :mod:`.token_files` fairseq's ``.bin`` and
``.idx``, :mod:`.token_sets` where the folders are; :mod:`.checking` verifies them on opening, and
:mod:`.methods` are the choices of a command line.
"""
