"""``python -m data_prep.cmu_mosi``: see :mod:`data_prep.corpora.cmu_mosi`."""

from functools import partial

from data_prep.commands import prepare

main = partial(prepare.main, "cmu_mosi")

if __name__ == "__main__":
    raise SystemExit(main())
