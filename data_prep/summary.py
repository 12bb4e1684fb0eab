"""``python -m data_prep.summary``: see :mod:`data_prep.commands.summary`."""

from data_prep.commands.summary import main

if __name__ == "__main__":
    raise SystemExit(main())
