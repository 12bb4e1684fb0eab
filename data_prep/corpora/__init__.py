"""Published corpora: a module each, with `prepare_<corpus>` from its folder to a data dir.

:mod:`.registry` lists them. Several share :mod:`.recordings` (join texts, labels and audio),
:mod:`.annotators` (votes and ratings) and :mod:`.mmsa` (the layout of CMU-MOSI and CMU-MOSEI); the
toy corpus is :mod:`.toy` and the modules ``toy_*``.
"""
