"""Protocols: many trainings by fairseq's own commands, scored and collected into tables.

    sweep     every combination of choices, seeds and folds -> a folder of runs
    score     chosen checkpoints, on their own test set and on other corpora -> predictions.tsv
    collect   predictions of many runs -> one table

Nothing in the package imports this, and this trains nothing itself.
"""
