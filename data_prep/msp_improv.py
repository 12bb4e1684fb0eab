"""``python -m data_prep.msp_improv``: see :mod:`data_prep.corpora.msp_improv`."""

from functools import partial

from data_prep.commands import prepare

main = partial(prepare.main, "msp_improv")

if __name__ == "__main__":
    raise SystemExit(main())
