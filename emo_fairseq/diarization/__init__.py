"""From a recording to turns, where no segmentation is given.

The modules, in the order in which they are used::

    recording ──silero──▶ speech probabilities ──voice_activity──▶ stretches of speech
    stretches ──speaker_encoder──▶ embeddings ──speakers──▶ who speaks when
    stretches ──transcribe──▶ words ──words──▶ text of each turn
    all of it ──turns──▶ Segmentation

:mod:`.options` has the options, :mod:`.cutting` finds where a long stretch is cut, and
:mod:`.crosstalk` which speech of a channel is another channel's voice.
"""
