"""``python -m data_prep.msp_improv``: see :mod:`data_prep.corpora.msp_improv`."""

from data_prep.corpora.msp_improv import main

if __name__ == "__main__":
    raise SystemExit(main())
