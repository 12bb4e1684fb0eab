"""``python -m data_prep.meld``: see :mod:`data_prep.corpora.meld`."""

from data_prep.corpora.meld import main

if __name__ == "__main__":
    raise SystemExit(main())
