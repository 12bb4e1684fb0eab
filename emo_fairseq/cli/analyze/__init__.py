"""``emotion-recognize analyze``: the emotions of the turns of recordings, and a page of each."""
