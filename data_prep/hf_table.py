"""``python -m data_prep.hf_table``: see :mod:`data_prep.commands.hf_table`."""

from data_prep.commands.hf_table import main

if __name__ == "__main__":
    raise SystemExit(main())
