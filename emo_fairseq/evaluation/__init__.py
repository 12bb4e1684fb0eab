"""How sure figures are: intervals and tests over utterances and over speakers."""
