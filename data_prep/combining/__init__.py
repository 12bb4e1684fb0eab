"""What several data dirs need to become one: sources that fit together, and maps of labels."""
