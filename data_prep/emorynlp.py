"""``python -m data_prep.emorynlp``: see :mod:`data_prep.corpora.emorynlp`."""

from data_prep.corpora.emorynlp import main

if __name__ == "__main__":
    raise SystemExit(main())
