"""Corpora on disk -> data dirs that emo_fairseq trains on: manifests, corpus.yaml, tokens."""
