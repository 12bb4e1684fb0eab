"""``python -m data_prep.goemotions``: see :mod:`data_prep.corpora.goemotions`."""

from data_prep.corpora.goemotions import main

if __name__ == "__main__":
    raise SystemExit(main())
