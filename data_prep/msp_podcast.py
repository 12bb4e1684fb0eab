"""``python -m data_prep.msp_podcast``: see :mod:`data_prep.corpora.msp_podcast`."""

from functools import partial

from data_prep.commands import prepare

main = partial(prepare.main, "msp_podcast")

if __name__ == "__main__":
    raise SystemExit(main())
