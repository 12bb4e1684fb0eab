"""Pictures of videos: decoded once, at a stated rate, and cropped to faces.

    file or folder ──limits──▶ decoding, folders ──faces──▶ crops ──preparing──▶ pictures

:mod:`.loading` does all of it for an encoder, :mod:`.segment` names what is read, :mod:`.checking`
checks the videos of a corpus before its rows name them.
"""
