"""``python -m data_prep.toy``: see :mod:`data_prep.corpora.toy`."""

from data_prep.corpora.toy import main

if __name__ == "__main__":
    raise SystemExit(main())
