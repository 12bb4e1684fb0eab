"""``python -m data_prep.iemocap``: see :mod:`data_prep.corpora.iemocap`."""

from data_prep.corpora.iemocap import main

if __name__ == "__main__":
    raise SystemExit(main())
