"""The console command ``emotion-recognize``: from a corpus to a served model.

A subcommand is a module with ``add`` and ``run``, or a folder whose ``command.py`` has them;
``__main__.py`` lists them. Several share which model is used (:mod:`.models`,
:mod:`.checkpoints`), transcription (:mod:`.transcription`), files of turns (:mod:`.turn_files`),
tables of metrics (:mod:`.score_table`), and commands that are run (:mod:`.processes`).
"""
