"""``python -m data_prep.table``: see :mod:`data_prep.commands.table`."""

from data_prep.commands.table import main

if __name__ == "__main__":
    raise SystemExit(main())
