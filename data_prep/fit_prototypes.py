"""``python -m data_prep.fit_prototypes``: see :mod:`data_prep.commands.fit_prototypes`."""

from data_prep.commands.fit_prototypes import main

if __name__ == "__main__":
    raise SystemExit(main())
