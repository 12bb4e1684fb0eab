"""Segmentations: the turns of a recording, as annotation tools and transcribers write them.

:mod:`.formats` is the registry, with a module each for RTTM, TextGrid, ELAN, subtitles, Whisper's
JSON and tables. All of them give turns (:mod:`.turn`).
"""
