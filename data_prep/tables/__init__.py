"""Tables of users, in any format, as data dirs.

    file ──sniffing──▶ TableFormat ──reader──▶ Table (delimited, json_lines, parquet, sheets)
    options ──options──▶ recipe.TableRecipe, which only names what was given
    columns ──column_names, column_contents──▶ column_map ──inference──▶ TableRecipe, complete
    rows ──rows──▶ utterances ──prepare──▶ data dir

Each `record_…` checks or fills in a part of the rows. What only the user can decide,
:mod:`.decisions` lists as an error.

Folders of recordings (:mod:`.folders`), data sets of Hugging Face (:mod:`.datasets_table`) and
audformat databases (:mod:`.audformat`) are tables, too; :mod:`.published` prepares those that
`datasets` exports, with sounds and features in their cells.
"""
