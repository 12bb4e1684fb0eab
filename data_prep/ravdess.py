"""``python -m data_prep.ravdess``: see :mod:`data_prep.corpora.ravdess`."""

from functools import partial

from data_prep.commands import prepare

main = partial(prepare.main, "ravdess")

if __name__ == "__main__":
    raise SystemExit(main())
