"""Audio: decode files to samples, compute frames, measure lengths, write FLAC.

    file ──opening──▶ reader (decoding: libsndfile; containers: PyAV) ──part──▶ blocks of a segment
    blocks ──resampling──▶ mono samples at 16 kHz ──frames──▶ log-mel or MFCC frames

:mod:`.loading` loads a whole recording, :mod:`.streaming` one of any length, :mod:`.segment_reader`
many segments of one. :mod:`.segment` names segments, :mod:`.stored_lengths` measures files,
:mod:`.headers` repairs their headers, :mod:`.mp3` checks the lengths in those of MP3,
:mod:`.faults` words their faults, :mod:`.writing` writes FLAC.
"""
