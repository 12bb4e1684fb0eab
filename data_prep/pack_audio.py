"""``python -m data_prep.pack_audio``: see :mod:`data_prep.commands.pack_audio`."""

from data_prep.commands.pack_audio import main

if __name__ == "__main__":
    raise SystemExit(main())
