"""Corpora on disk -> data dirs that emo_fairseq trains on: manifests, corpus.yaml, tokens.

`python -m data_prep.NAME` starts a command of :mod:`data_prep.commands`, or the preparation of a
corpus of :mod:`data_prep.corpora`. The packages, each of which imports only those below it::

    commands                          what a command line starts
    sources, corpora                  find what a path is; a module a published corpus
    tables, prototypes                tables of users; prototypes of classes
    folds                             train, valid and test sets of a data dir
    features, packed_audio            frames and samples of its rows, stored once
    tokens                            tokens of its texts and its speech
    manifest, audio, video, files     the format of data dirs; recordings; videos; documents
    engines                           processes of this machine, and clusters
"""
