"""``python -m data_prep.emobox``: see :mod:`data_prep.corpora.emobox`."""

from functools import partial

from data_prep.commands import prepare

main = partial(prepare.main, "emobox")

if __name__ == "__main__":
    raise SystemExit(main())
