"""``python -m data_prep.emobank``: see :mod:`data_prep.corpora.emobank`."""

from data_prep.corpora.emobank import main

if __name__ == "__main__":
    raise SystemExit(main())
