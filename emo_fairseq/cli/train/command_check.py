"""Parse the words of a fairseq-train command, as that would, and do nothing else.

``python -m emo_fairseq.cli.train.command_check WORDS``, without the program. Options that it
refuses are known before minutes of extraction, not after.
"""

import sys
from collections.abc import Sequence
from typing import Any


def read_command(words: Sequence[str]) -> Any:
    """Return fairseq's configuration of a fairseq-train command; exit where it has a mistake.

    Args:
        words: of its command line, without the program.
    """
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    parser = options.get_training_parser()
    parser.prog = "fairseq-train"  # for messages
    return convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, list(words)))


def main(words: Sequence[str] | None = None) -> int:
    """Exit as fairseq-train would with these words; return 0 where it would begin."""
    import emo_fairseq
    from emo_fairseq.cli.fairseq_tool import take_as_user_dir
    from emo_fairseq.compat import excepthook

    excepthook.apply()
    emo_fairseq.register()
    take_as_user_dir()
    from emo_fairseq.compat.run_options import check_training

    check_training(read_command(sys.argv[1:] if words is None else words))
    return 0


if __name__ == "__main__":
    sys.exit(main())
