"""The checks of a data dir, from its files to faults with file, row and remedy.

rows         single rows: cells that contradict each other, labels, votes
splits       counts of rows, and what several splits share
audio        recordings that are missing, unreadable or of another length
videos       videos that are missing or cannot be decoded
derived      features, packed audio and tokens that are damaged or of other rows
"""
