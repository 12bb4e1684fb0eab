"""The one exception that is meant for the person at the keyboard."""


class UsageError(ValueError):
    """Bad input or a bad combination of options; its message names the place and the remedy.

    :func:`emo_fairseq.compat.apply` makes the command line print such a message alone, without
    the traceback.
    """
