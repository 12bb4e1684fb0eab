"""The console command ``emotion-recognize``: from a corpus to a served model."""
