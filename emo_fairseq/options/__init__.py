"""The rules of options: ranges, when an option has an effect, and what it describes.

option       declare an option of a config dataclass with its rule: the field's metadata hold it
conditions   when an option has an effect, by the encoders and the other options of a run
checking     refuse options out of range, and options without effect, in one form
registered   the options of all parts by name
differences  the options in which two runs differ
reference    write docs/reference/options.md
legacy_flags map the flags of BERT-like (Siriwardhana et al. 2020)
"""
