"""``python -m data_prep.cmu_mosei``: see :mod:`data_prep.corpora.cmu_mosei`."""

from data_prep.corpora.cmu_mosei import main

if __name__ == "__main__":
    raise SystemExit(main())
