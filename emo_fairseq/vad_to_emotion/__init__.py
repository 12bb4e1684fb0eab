"""From valence, arousal and dominance to emotions: a random forest behind a regressor.

    fit        a forest, on VAD that models predicted of rows they had not seen
    apply      it, to predicted VAD of a split
    gold       the same forest on the corpus's own VAD: an upper bound
    zero-shot  VAD from what a model of entailment makes of nine sentences
    compare    all of these in one table

It trains no network itself: VAD comes from predictions files.
"""
