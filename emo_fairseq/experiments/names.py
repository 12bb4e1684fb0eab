"""Names that the command lines of experiments share with the work behind them."""

SEED, FOLD, DATA = "common.seed", "task.fold", "task.data"  # overrides
ALL_OF = "all-of:"  # before a protocol: all of its folds
TEST = "test"  # the split that is reported
BY = ("system", "fold", "seed")  # what a row of a table is of
