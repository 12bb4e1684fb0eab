"""Data dirs: manifests, the card of the corpus, and checks of both.

| file | read and written by |
|---|---|
| ``{split}.tsv`` | :mod:`.tsv`, by the columns of :mod:`.columns` and :mod:`.row_rules` |
| ``corpus.yaml`` | :mod:`.corpus_card` |
| ``FILE.provenance.json`` | :mod:`.provenance` |

A row is an `Utterance` (:mod:`.records`); all rows are the columns of a `ManifestTable`
(:mod:`.table`), which :mod:`.stored_table` maps into memory. Their cells are those of
:mod:`.cells`, :mod:`.votes`, :mod:`.segment` and :mod:`.out_of_scale`. Whole files are checked by
:mod:`.column_rules`, :mod:`.labels` and :mod:`.leaks`, compared by :mod:`.digests`, and described
by :mod:`.summary` and :mod:`.plots`.
"""
