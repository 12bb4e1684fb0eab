"""The audio of a data dir, decoded once and stored as 16-bit samples that are read by mmap.

    files (sources) ──decoding, quantizing──▶ samples ──packing──▶ {split}.s16le
    {split}.s16le ──opening──▶ PackedAudio (stored) ──segment──▶ segments, as those of files

:mod:`.card` describes the folder, :mod:`.rows` the table of a split, :mod:`.partial` the journal of
an interrupted run.
"""
