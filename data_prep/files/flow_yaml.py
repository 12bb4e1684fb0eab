"""Read ``{data: ???}``, OmegaConf's mark of a missing value in braces or brackets.

PyYAML takes every ``?`` there for the mark of a key of several words, which YAML requires only
before a space (YAML 1.2, 7.3.3), and reports an error.
"""

from typing import Any

from yaml.scanner import Scanner
from yaml.tokens import ScalarToken

_MISSING = "???"


def apply() -> None:
    """Let PyYAML's scanner, and so OmegaConf and Hydra, read it. A second call changes nothing."""
    if hasattr(Scanner, "reads_missing_values"):
        return
    check_key, check_plain, scan_plain = Scanner.check_key, Scanner.check_plain, Scanner.scan_plain

    def is_missing_value(scanner: Any) -> bool:
        return bool(scanner.flow_level) and scanner.prefix(len(_MISSING)) == _MISSING

    def scan_missing_value(scanner: Any) -> ScalarToken:
        if not is_missing_value(scanner):
            return scan_plain(scanner)
        start = scanner.get_mark()
        scanner.forward(len(_MISSING))
        scanner.allow_simple_key = False
        return ScalarToken(_MISSING, True, start, scanner.get_mark())

    changed: Any = Scanner
    changed.check_key = lambda scanner: not is_missing_value(scanner) and check_key(scanner)
    changed.check_plain = lambda scanner: is_missing_value(scanner) or check_plain(scanner)
    changed.scan_plain = scan_missing_value
    changed.reads_missing_values = True
