"""``python -m data_prep.folds``: see :mod:`data_prep.commands.folds`."""

from data_prep.commands.folds import main

if __name__ == "__main__":
    raise SystemExit(main())
