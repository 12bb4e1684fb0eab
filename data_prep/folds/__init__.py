"""Folds of a data dir: ``python -m data_prep.folds``, its protocols, files and checks.

manifests ──protocols (balance, draw, dev_set)──▶ records ──file──▶ folds/PROTOCOL.json
"""
