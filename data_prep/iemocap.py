"""``python -m data_prep.iemocap``: see :mod:`data_prep.corpora.iemocap`."""

from functools import partial

from data_prep.commands import prepare

main = partial(prepare.main, "iemocap")

if __name__ == "__main__":
    raise SystemExit(main())
