"""Features on disk: what extracts them, and the layouts that they are read from.

    recordings ──log_mel, egemaps, a pretrained encoder──▶ frames ──extraction, pooling──▶ folder
    folder ──stored, layouts──▶ frames of each row, by mmap (frame_files)

:mod:`.linked` links a data dir to features with a file for each row of a table.
:mod:`.mmsa` makes features of the pickles of CMU-MOSI and CMU-MOSEI (:mod:`.mmsa_pickles`).
"""
