"""``python -m data_prep.toy``: see :mod:`data_prep.corpora.toy`."""

from functools import partial

from data_prep.commands import prepare

main = partial(prepare.main, "toy")

if __name__ == "__main__":
    raise SystemExit(main())
