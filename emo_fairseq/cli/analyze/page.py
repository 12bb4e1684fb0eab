"""``NAME.conversation.html``: one file that shows a conversation, without a connection or a server.

The view is that of the served page, ``emo_fairseq/serving/static/conversation.js``. A policy allows
the scripts and styles of the file alone, by their digests.
"""

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

_STATIC = files("emo_fairseq") / "serving" / "static"
_STYLE = """
:root { color-scheme: light dark; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem clamp(.75rem, 4vw, 2.5rem) 3rem; max-width: 80rem;
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  color: light-dark(#1b1f24, #e6e8ea); background: light-dark(#fdfdfc, #1c2025); }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
"""
_START = """
const read = (id) => document.getElementById(id)?.textContent ?? "";
const sound = JSON.parse(read("sound"));
let url = sound.link;
if (sound.type) {
  const bytes = Uint8Array.from(atob(read("samples")), (character) => character.charCodeAt(0));
  url = URL.createObjectURL(new Blob([bytes], { type: sound.type }));
}
renderConversation(document.getElementById("conversation"), JSON.parse(read("document")), url);
"""


def render_page(
    document: Mapping[str, Any],
    *,
    sound: bytes | None = None,
    media_type: str | None = None,
    link: str | None = None,
) -> str:
    """Return the page of a conversation.

    Args:
        document: of :meth:`emo_fairseq.inference.conversation.Conversation.to_document`.
        sound: content of an audio file, which the page contains; None for none.
        media_type: of `sound`.
        link: address of the audio file from the page; None for none.
    """
    script = f"{_static('conversation.js')}{_START}"
    style = f"{_STYLE}{_static('conversation.css')}"
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src 'sha256-{_digest(script)}'",
            f"style-src 'sha256-{_digest(style)}'",
            "media-src 'self' file: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    title = html.escape(str(document["recording"]))
    samples = base64.b64encode(sound).decode("ascii") if sound is not None else ""
    source = {"type": media_type if sound is not None else None, "link": link}
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
<h1>{title}</h1>
<main id="conversation"></main>
<script type="application/json" id="document">{_in_script(document)}</script>
<script type="application/json" id="sound">{_in_script(source)}</script>
<script type="application/octet-stream" id="samples">{samples}</script>
<script type="module">{script}</script>
</html>
"""


def _static(name: str) -> str:
    return (_STATIC / name).read_text("utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _in_script(value: Any) -> str:
    """Return a value as JSON that cannot end the element that holds it."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
