"""Experiments: many trainings by fairseq's own commands, scored and collected into tables.

    sweep     every combination of options, seeds and folds -> a folder of runs
    score     selected checkpoints, on their own test set and on other corpora -> predictions.tsv
    collect   predictions of many runs -> one table

Modules, each of which imports only those above it:

    options     the options of a run
    checkpoints, selection   what a checkpoint records of its run, and the set that selected it
    runs        the folder of a run and its lock
    results     predictions of finished runs
    systems     runs that differ in seed and fold alone are one system; names of systems
    comparison  metrics of systems over runs and folds, tests of the first against the others
    grid        overrides with choices -> every combination as Hydra composes it
    jobs        several commands at a time
    scoring_sets, scoring   what runs are scored on, and how
    score, collect, sweep   the commands

Nothing imports this package, and it trains nothing itself.
"""
