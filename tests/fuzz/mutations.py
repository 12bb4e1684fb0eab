"""Seeded mutations of a file's bytes and text, as disks, editors and attackers make them."""

import random
import re
from collections.abc import Callable, Mapping

Mutation = Callable[[bytes, random.Random], bytes]

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z_0-9]*")
_NUMBERS = (
    b"-1",
    b"0",
    b"nan",
    b".nan",
    b"NaN",
    b"inf",
    b"-.inf",
    b"1e309",
    b"99999999999999999999",
    b"10000000",
    b"true",
    b"null",
    b'"7"',
    b"[]",
    b"{}",
    b"",
)
_PAYLOADS = (
    b"!!python/object/apply:os.system ['touch {sentinel}']\n",
    b"cos\nsystem\n(S'touch {sentinel}'\ntR.",
    b"__import__('os').system('touch {sentinel}')",
)


def flip_bit(content: bytes, random_: random.Random) -> bytes:
    """Invert one bit."""
    if not content:
        return b"\0"
    position = random_.randrange(len(content))
    changed = content[position] ^ (1 << random_.randrange(8))
    return content[:position] + bytes([changed]) + content[position + 1 :]


def replace_bytes(content: bytes, random_: random.Random) -> bytes:
    """Write up to eight random bytes over others."""
    position = random_.randrange(len(content) + 1)
    new = random_.randbytes(random_.randint(1, 8))
    return content[:position] + new + content[position + len(new) :]


def truncate(content: bytes, random_: random.Random) -> bytes:
    """Drop the end, from one byte to all."""
    return content[: random_.randrange(len(content))] if content else b""


def drop_last_byte(content: bytes, random_: random.Random) -> bytes:
    """Drop one byte at the end, as `head -c -1` does."""
    return content[:-1]


def zero_block(content: bytes, random_: random.Random) -> bytes:
    """Zero a block, as a file system does that lost a write."""
    start = random_.randrange(len(content) + 1)
    size = min(random_.choice((4, 64, 512, 4096)), len(content) - start)
    return content[:start] + bytes(size) + content[start + size :]


def swap_blocks(content: bytes, random_: random.Random) -> bytes:
    """Exchange two blocks of equal length."""
    size = max(1, len(content) // random_.choice((4, 16, 64)))
    first = random_.randrange(max(1, len(content) - 2 * size))
    second = random_.randrange(first + size, max(first + size + 1, len(content) - size + 1))
    a, b = content[first : first + size], content[second : second + size]
    middle = content[first + size : second]
    return content[:first] + b + middle + a + content[second + size :]


def repeat_block(content: bytes, random_: random.Random) -> bytes:
    """Write a block twice."""
    start = random_.randrange(len(content) + 1)
    end = min(len(content), start + random_.choice((1, 16, 256)))
    return content[:end] + content[start:end] + content[end:]


def append(content: bytes, random_: random.Random) -> bytes:
    """Add bytes at the end."""
    return content + random_.choice((b"\0", b"\n", b"x", random_.randbytes(32)))


def another_number(content: bytes, random_: random.Random) -> bytes:
    """Replace one number of a text by another, by none, or by what is no number."""
    matches = list(_NUMBER.finditer(content))
    if not matches:
        return append(content, random_)
    match = random_.choice(matches)
    return content[: match.start()] + random_.choice(_NUMBERS) + content[match.end() :]


def another_word(content: bytes, random_: random.Random) -> bytes:
    """Replace one word of a text by another of its words, misspell it, or drop it."""
    words = list(_WORD.finditer(content))
    if not words:
        return append(content, random_)
    match = random_.choice(words)
    new = random_.choice((random_.choice(words)[0], match[0] + b"x", match[0].upper(), b""))
    return content[: match.start()] + new + content[match.end() :]


def drop_line(content: bytes, random_: random.Random) -> bytes:
    """Leave out one line."""
    lines = content.splitlines(keepends=True)
    if lines:
        del lines[random_.randrange(len(lines))]
    return b"".join(lines)


def repeat_line(content: bytes, random_: random.Random) -> bytes:
    """Write one line twice."""
    lines = content.splitlines(keepends=True)
    if not lines:
        return b"\n"
    position = random_.randrange(len(lines))
    return b"".join(lines[: position + 1] + lines[position:])


def swap_lines(content: bytes, random_: random.Random) -> bytes:
    """Exchange two lines."""
    lines = content.splitlines(keepends=True)
    if len(lines) > 1:
        first, second = random_.sample(range(len(lines)), 2)
        lines[first], lines[second] = lines[second], lines[first]
    return b"".join(lines)


def insert_control(content: bytes, random_: random.Random) -> bytes:
    """Insert a control, invisible or undecodable character."""
    inserted = (b"\0", b"\r", b"\t", b'"', b"\x1b[2J", b"\xe2\x80\x8b", b"\xff", b"\xed\xa0\x80")
    position = random_.randrange(len(content) + 1)
    return content[:position] + random_.choice(inserted) + content[position:]


def insert_nesting(content: bytes, random_: random.Random) -> bytes:
    """Insert brackets, far deeper than any document is."""
    depth = random_.choice((200, 20_000, 100_000))
    position = random_.randrange(len(content) + 1)
    return content[:position] + random_.choice((b"[", b'{"a":')) * depth + content[position:]


def alias_bomb(content: bytes, random_: random.Random) -> bytes:
    """Add YAML aliases that expand to billions of items."""
    lines = [b"a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 10):
        inner = b", ".join([b"*a%d" % (level - 1)] * 9)
        lines.append(b"a%d: &a%d [%s]" % (level, level, inner))
    return content + b"\n" + b"\n".join(lines) + b"\n"


def payload(content: bytes, random_: random.Random) -> bytes:
    """Insert code that creates a file if it is run."""
    position = random_.choice((0, len(content), random_.randrange(len(content) + 1)))
    return content[:position] + random_.choice(_PAYLOADS) + content[position:]


BINARY: Mapping[str, Mutation] = {
    mutation.__name__: mutation
    for mutation in (
        flip_bit,
        replace_bytes,
        truncate,
        drop_last_byte,
        zero_block,
        swap_blocks,
        repeat_block,
        append,
        payload,
    )
}
TEXT: Mapping[str, Mutation] = {
    **BINARY,
    **{
        mutation.__name__: mutation
        for mutation in (
            another_number,
            another_word,
            drop_line,
            repeat_line,
            swap_lines,
            insert_control,
            insert_nesting,
            alias_bomb,
        )
    },
}
