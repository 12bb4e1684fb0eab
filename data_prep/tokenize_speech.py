"""``python -m data_prep.tokenize_speech``: see :mod:`data_prep.commands.tokenize_speech`."""

from data_prep.commands.tokenize_speech import main

if __name__ == "__main__":
    raise SystemExit(main())
