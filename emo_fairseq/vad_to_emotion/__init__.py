"""From valence, arousal and dominance (VAD) to emotions: a random forest behind a regressor.

    fit              a forest, on VAD that models predicted of rows they have not seen
    apply            it, to predicted VAD of a split
    gold             the same forest on the corpus's own VAD: an upper bound
    zero-shot        VAD from the entailment of nine sentences, by a model of NLI
    compare          all of these in one table

It trains no network: VAD comes from predictions files. Modules, each of which imports only those
above it:

    forest           a random forest and its file
    rows             predicted VAD and emotions of utterances
    out_of_fold      the proof that no model has seen the rows that it predicts
    entailment       models of NLI, of hf_entailment or fairseq_entailment
    zero_shot        VAD by entailment
    table            metrics with intervals, and the table of systems
    fit              a forest, on out-of-fold predictions or on gold VAD
    evaluated_split  what a table is made of, and what is noted below it
    apply            emotions by a forest, and the upper bound
    compare          all systems in one table
    outputs          checks of what a command writes
"""
