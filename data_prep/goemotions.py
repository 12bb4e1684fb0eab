"""``python -m data_prep.goemotions``: see :mod:`data_prep.corpora.goemotions`."""

from functools import partial

from data_prep.commands import prepare

main = partial(prepare.main, "goemotions")

if __name__ == "__main__":
    raise SystemExit(main())
