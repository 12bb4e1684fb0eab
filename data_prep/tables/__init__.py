"""Tables of users, in any format, as data dirs.

    file ──sniffing──▶ TableFormat ──reader──▶ Table (delimited, json_lines, parquet, sheets)
    columns ──column_names, column_contents──▶ column_map ──inference──▶ TableRecipe
    rows ──rows──▶ utterances ──prepare──▶ data dir

Folders of recordings (:mod:`.folders`), data sets of Hugging Face (:mod:`.datasets_table`) and
audformat databases (:mod:`.audformat`) are tables, too; :mod:`.published` prepares those that
`datasets` exports, with sounds and features in their cells.
"""
