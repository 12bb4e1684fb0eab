"""``python -m data_prep.emobox``: see :mod:`data_prep.corpora.emobox`."""

from data_prep.corpora.emobox import main

if __name__ == "__main__":
    raise SystemExit(main())
