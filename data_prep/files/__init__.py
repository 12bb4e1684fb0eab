"""Read and write files: documents, arrays, digests, atomic replacement, locks."""
