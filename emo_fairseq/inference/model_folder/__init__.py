"""Model folders: how one is read, checked and verified.

The modules, each of which imports only those above it::

    files     names of the files
    config    config.json: its schema and its checks
    records   digests of the other files
    reading   state, model, tokenizers

:mod:`emo_fairseq.export.model_folder` writes one.
"""
