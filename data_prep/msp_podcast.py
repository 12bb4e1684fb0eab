"""``python -m data_prep.msp_podcast``: see :mod:`data_prep.corpora.msp_podcast`."""

from data_prep.corpora.msp_podcast import main

if __name__ == "__main__":
    raise SystemExit(main())
