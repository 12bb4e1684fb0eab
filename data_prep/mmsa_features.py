"""``python -m data_prep.mmsa_features``: see :mod:`data_prep.commands.mmsa_features`."""

from data_prep.commands.mmsa_features import main

if __name__ == "__main__":
    raise SystemExit(main())
