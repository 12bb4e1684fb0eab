"""Which options name a file that another training wrote."""

import re

_OPTION = re.compile(r".*(_from|teacher_\w+|finetune_from_model|restore_file|prototypes)")


def names_file_of_run(option: str) -> bool:
    """Whether an option, such as ``task.init_from``, takes what another training left.

    >>> [names_file_of_run(name) for name in ("task.init_from", "common.seed")]
    [True, False]
    """
    return _OPTION.fullmatch(option) is not None
