"""A page and a JSON API in front of one predictor: ``emotion-recognize serve MODEL_FOLDER``.

A request passes through these modules::

    connection ──connections, server, lifecycle──▶ app ──requests, security, proxies──▶ request
    request ──request_body, multipart, request_fields, *_uploads──▶ fields ──api, rows──▶ items
    items ──concurrency──▶ batches ──endpoints──▶ dictionary ──app──▶ JSON

:mod:`.serve` starts a server, or several by :mod:`.workers`. :mod:`.schemas` and :mod:`.openapi`
describe requests and responses, :mod:`.limits` and :mod:`.clients` bound them, and
:mod:`.http_errors` words what is refused. A live conversation is a WebSocket instead::

    messages (live_protocol) ──live_connection──▶ samples ──live_turns──▶ turns
    turns ──live_connection──▶ predictions, of all conversations by live

:mod:`.live_sessions` counts conversations and continues them after a lost connection.
:mod:`.metrics` and :mod:`.access_log` record all of it. ``static/`` is the page, without a build.
"""
