"""``python -m data_prep.extract_features``: see :mod:`data_prep.commands.extract_features`."""

from data_prep.commands.extract_features import main

if __name__ == "__main__":
    raise SystemExit(main())
