"""``python -m data_prep.tokenize_text``: see :mod:`data_prep.commands.tokenize_text`."""

from data_prep.commands.tokenize_text import main

if __name__ == "__main__":
    raise SystemExit(main())
