"""``python -m data_prep.inspect_corpus``: see :mod:`data_prep.commands.inspect_corpus`."""

from data_prep.commands.inspect_corpus import main

if __name__ == "__main__":
    raise SystemExit(main())
