"""Segmentations: the turns of a recording, as annotation tools and transcribers write them."""
