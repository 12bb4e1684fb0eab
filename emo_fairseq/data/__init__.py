"""From a split on disk to nested batches. Knows fairseq's datasets, and no model."""
