"""Data dirs: manifests, the card of the corpus, and checks of both."""
