"""Two hundred malformed requests, from one seed: each is refused with a reason and a code."""

import json
import re

import numpy as np
import pytest

BOUNDARY = "b0undary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
JSON = "application/json"
ASKED = ("predict", "timeline", "explain")
N_REQUESTS = 200
TEXT_LIMIT = 300


def form(*parts):
    """A body of (name, content) parts."""
    head = '--{}\r\nContent-Disposition: form-data; name="{}"\r\n\r\n'
    body = b"".join(head.format(BOUNDARY, n).encode() + c + b"\r\n" for n, c in parts)
    return body + f"--{BOUNDARY}--\r\n".encode()


@pytest.fixture(scope="module")
def broken(hum, encode):
    """Kinds of wrong requests: from a generator of random numbers to (content type, body)."""
    wav, flac = encode(hum(1)), encode(hum(1), kind="FLAC")
    holes = hum(1)
    holes[100] = np.nan
    sounds = [
        b"",
        b"RIFF",
        wav[:44],
        encode(hum(0)),
        encode(holes, subtype="FLOAT"),
        encode(hum(1), rate=900),
        encode(np.zeros((4000, 33), np.float32)),
        encode(hum(1), kind="MAT5"),
        encode(hum(0.01)),
        flac.replace(b"fLaC", b"fLaX"),
    ]
    texts = [b"\xff\xfe\x00", b"a\x00b", b"\x1b[31mred", b"x" * (TEXT_LIMIT + 1), b" \n ", b""]
    objects = [
        "",
        "{",
        "[]",
        "3",
        "null",
        '"text"',
        "nonsense",
        '{"text": NaN}',
        '{"text": "a", }',
        '{"text": 5}',
        '{"text": null}',
        '{"text": ["a"]}',
        '{"text": {"a": "b"}}',
        "{}",
        '{"text": true}',
        '{"text": "a", "text": "b"}',
        '{"text": "\\ud800"}',
        '{"audio": "x"}',
        '{"text": "\\u0007"}',
        '{"words": "a"}',
        '{"text": "a", "embedding": "yes"}',
        "[" * 3000,
        '{"text":' * 500,
        '{"text": %s}' % ("9" * 4000),
        '{"text": "hi"}{}',
        json.dumps({"text": "x" * (TEXT_LIMIT + 1)}),
    ]
    numbers = [b"abc", b"nan", b"inf", b"-1", b"1e400", b"", b"0x10", b"\xff"]
    part = form(("text", b"hello"))
    forms = [
        (FORM, b""),
        (FORM, part[:-8]),
        (FORM, part[10:]),
        (FORM, part.replace(b'; name="text"', b"")),
        (FORM, part.replace(b"form-data", b"attachment")),
        (FORM, part.replace(b"Content-Disposition", b"Content Disposition")),
        (FORM, form(("text", b"a"), ("text", b"b"))),
        (FORM, form(("audio", wav), ("audio", wav))),
        (FORM, form(("nothing", b"a"))),
        (FORM, form(*[("text", b"a")] * 40)),
        (FORM, form()),
        (FORM, form(("x" * 9000, b"a"))),
        ("multipart/form-data", part),
        ("multipart/form-data; boundary=", part),
        ("multipart/form-data; boundary=another", part),
        (f"multipart/form-data; boundary={'b' * 300}", part),
        ("multipart/mixed; boundary=b", part),
        ("text/plain", b"hello"),
        ("application/x-www-form-urlencoded", b"text=hello"),
        ("", b"hello"),
        ("audio/wav", wav),
        (JSON, part),
    ]

    def pick(many, rng):
        return many[rng.integers(len(many))]

    return [
        lambda rng: (FORM, form(("audio", rng.bytes(int(rng.integers(4000)))))),
        lambda rng: (FORM, form(("audio", wav[: int(rng.integers(len(wav) - 1))]))),
        lambda rng: (FORM, form(("audio", flac[: int(rng.integers(len(flac) - 1))]))),
        lambda rng: (FORM, form(("audio", pick(sounds, rng)))),
        lambda rng: (FORM, form(("text", pick(texts, rng)))),
        lambda rng: (JSON, pick(objects, rng).encode()),
        lambda rng: (JSON, rng.bytes(50)),
        lambda rng: (FORM, form(("text", b"a"), (pick(["start", "embedding"], rng), b"maybe"))),
        lambda rng: (FORM, form(("audio", wav), ("hop_seconds", pick(numbers, rng)))),
        lambda rng: pick(forms, rng),
    ]


def test_each_is_refused_with_a_reason_and_a_valid_one_is_predicted(
    make_client, broken, hum, encode, predictor
):
    client = make_client(text_characters=TEXT_LIMIT)
    rng = np.random.default_rng(8)
    statuses = set()
    for number in range(N_REQUESTS):
        content_type, body = broken[number % len(broken)](rng)
        path = f"/api/{ASKED[rng.integers(len(ASKED))]}"
        answer = client.post(path, content=body, headers={"Content-Type": content_type})
        said = f"{path}, {content_type}, {body[:200]!r}: {answer.text[:300]}"
        assert 400 <= answer.status_code < 500, said
        assert answer.headers["content-type"] == "application/json", said
        reason, code = answer.json()["error"], answer.json()["code"]
        assert 10 < len(reason) < 300, said
        assert "Traceback" not in reason, said
        assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)+", code), said
        statuses.add(answer.status_code)
    assert statuses == {400, 413, 415, 422}
    sound = hum(1)
    good = client.post("/api/predict", files={"audio": encode(sound, subtype="FLOAT")})
    expected = predictor.predict(sound, sample_rate=16_000).as_dict()
    assert good.json() == {**expected, "truncated": []}


def test_damaged_files_are_refused_or_read_but_never_fatal(client, hum, encode):
    """A flipped bit may leave a file that is read: then it is answered."""
    rng = np.random.default_rng(9)
    files = [encode(hum(0.6), kind=kind) for kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF")]
    for number in range(60):
        file = np.frombuffer(files[number % len(files)], np.uint8).copy()
        where = rng.integers(0, len(file) if number % 2 else 60, size=4)
        file[where] = rng.integers(0, 256, size=4)
        answer = client.post("/api/predict", files={"audio": file.tobytes()})
        assert answer.status_code < 500, (number, where, answer.text)
        assert ("error" in answer.json()) == (answer.status_code != 200)
