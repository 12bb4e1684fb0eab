"""``python -m data_prep.meld``: see :mod:`data_prep.corpora.meld`."""

from functools import partial

from data_prep.commands import prepare

main = partial(prepare.main, "meld")

if __name__ == "__main__":
    raise SystemExit(main())
