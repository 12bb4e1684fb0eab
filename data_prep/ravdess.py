"""``python -m data_prep.ravdess``: see :mod:`data_prep.corpora.ravdess`."""

from data_prep.corpora.ravdess import main

if __name__ == "__main__":
    raise SystemExit(main())
