"""``python -m data_prep.cmu_mosi``: see :mod:`data_prep.corpora.cmu_mosi`."""

from data_prep.corpora.cmu_mosi import main

if __name__ == "__main__":
    raise SystemExit(main())
