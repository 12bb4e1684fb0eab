"""Suffixes by which audio files are looked for; what they are is decided by their content."""

# Of files that can be decoded, by libsndfile and by PyAV.
AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd"),
    *(".caf", ".w64", ".rf64", ".sph"),
    *(".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".webm", ".mkv", ".mka", ".avi"),
    *(".aac", ".amr", ".wma", ".wmv", ".asf", ".flv", ".mpg", ".mpeg", ".wv", ".ape"),
)
CORPUS_SUFFIXES = (".wav", ".flac")  # of the corpora that are read from their official layout
