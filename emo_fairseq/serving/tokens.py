"""Bearer tokens (RFC 6750) that clients of the API need, if there are any."""

import hashlib
import hmac
import re
from collections.abc import Collection
from pathlib import Path

from emo_fairseq.errors import UsageError

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)  # b64token of RFC 6750
_SHORTEST = 16  # characters


class Tokens:
    """Tokens of which a client needs one.

    Args:
        tokens: none: every client is let in.
    """

    def __init__(self, tokens: Collection[str] = ()) -> None:
        self._digests = [_digest(token) for token in tokens]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accept(self, token: str) -> bool:
        """Return whether a token is one of these.

        The time depends on neither: digests of equal length are compared, always with all tokens.

        >>> Tokens(["0123456789abcdef"]).accept("0123456789abcdef")
        True
        >>> Tokens(["0123456789abcdef"]).accept("0123456789abcdeg")
        False
        """
        digest = _digest(token)
        matches = [hmac.compare_digest(digest, other) for other in self._digests]
        return any(matches)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def read_tokens(file: Path | None, variable: str = "") -> tuple[str, ...]:
    """Read tokens: the lines of a file but for those that are blank or begin with #.

    Args:
        file: None without one.
        variable: further ones, with commas between them.

    Raises:
        UsageError: the file cannot be read or has no token, or a token is malformed or short. The
            message does not repeat it.
    """
    named = [(f"token {n}", part) for n, part in enumerate(variable.split(","), 1)]
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise UsageError(
                f"{file}: {reason}; name a file of tokens", "tokens-unreadable"
            ) from None
        of_file = [(f"{file}, line {n}", line) for n, line in enumerate(lines, 1)]
        of_file = [(origin, line) for origin, line in of_file if not line.lstrip().startswith("#")]
        if not any(line.strip() for _, line in of_file):
            raise UsageError(f"{file}: there is no token; write one into a line", "tokens-missing")
        named += of_file
    tokens = [(origin, token.strip()) for origin, token in named if token.strip()]
    for origin, token in tokens:
        if not _TOKEN.fullmatch(token) or len(token) < _SHORTEST:
            raise UsageError(
                f"{origin}: a token has at least {_SHORTEST} characters, of letters, digits and "
                "._~+/-; make one by python -c 'import secrets; print(secrets.token_urlsafe())'",
                "token-invalid",
            )
    return tuple(token for _, token in tokens)
