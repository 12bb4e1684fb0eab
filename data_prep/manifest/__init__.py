"""The data dir: manifests, the corpus card, and checks of both."""
