"""``python -m data_prep.emobank``: see :mod:`data_prep.corpora.emobank`."""

from functools import partial

from data_prep.commands import prepare

main = partial(prepare.main, "emobank")

if __name__ == "__main__":
    raise SystemExit(main())
