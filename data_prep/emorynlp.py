"""``python -m data_prep.emorynlp``: see :mod:`data_prep.corpora.emorynlp`."""

from functools import partial

from data_prep.commands import prepare

main = partial(prepare.main, "emorynlp")

if __name__ == "__main__":
    raise SystemExit(main())
