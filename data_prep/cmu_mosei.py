"""``python -m data_prep.cmu_mosei``: see :mod:`data_prep.corpora.cmu_mosei`."""

from functools import partial

from data_prep.commands import prepare

main = partial(prepare.main, "cmu_mosei")

if __name__ == "__main__":
    raise SystemExit(main())
