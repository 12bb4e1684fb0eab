"""The commands ``python -m data_prep.NAME`` that work on data dirs, and what they share."""
