"""``python -m data_prep.combine``: see :mod:`data_prep.commands.combine`."""

from data_prep.commands.combine import main

if __name__ == "__main__":
    raise SystemExit(main())
