"""``python -m data_prep.crema_d``: see :mod:`data_prep.corpora.crema_d`."""

from functools import partial

from data_prep.commands import prepare

main = partial(prepare.main, "crema_d")

if __name__ == "__main__":
    raise SystemExit(main())
