"""The checks of a data dir, from its files to faults with file, row and remedy.

manifests    single rows, counts of rows, and what several splits share
recordings   audio and videos that are missing, unreadable or of another length
derived      features, packed audio and tokens that are damaged or of other rows
"""
