"""``python -m data_prep.validate``: see :mod:`data_prep.commands.validate`."""

from data_prep.commands.validate import main

if __name__ == "__main__":
    raise SystemExit(main())
