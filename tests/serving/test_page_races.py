"""Of two actions at once, the page shows the result of the second."""


def slow_down_decoding(page):
    """Let the browser decode a file of n whole seconds in n tenths of one."""
    page.evaluate(
        """() => {
            const decode = OfflineAudioContext.prototype.decodeAudioData;
            OfflineAudioContext.prototype.decodeAudioData = async function (bytes) {
                const seconds = Math.floor(bytes.byteLength / 32000);
                const buffer = await decode.call(this, bytes);
                await new Promise((done) => setTimeout(done, 100 * seconds));
                return buffer;
            };
        }"""
    )


def test_the_latest_file_is_used_and_a_removed_one_stays_away(page, finished, voices):
    slow_down_decoding(page)
    page.locator("#file").set_input_files(voices(5))
    page.locator("#file").set_input_files(voices(1))
    finished()
    page.wait_for_timeout(700)
    assert page.locator("#sound-name").inner_text() == "1.wav, 0:01"
    page.locator("#file").set_input_files(voices(5))
    page.get_by_role("button", name="Remove").click()
    page.wait_for_timeout(700)
    assert not page.locator("#sound").is_visible()
    assert page.locator("#status").inner_text() == ""
    assert page.evaluate("document.getElementById('player').networkState") == 0  # has no source


def test_a_double_click_opens_one_microphone_and_stop_closes_it(page, finished):
    page.evaluate(
        """() => {
            const devices = navigator.mediaDevices, open = devices.getUserMedia.bind(devices);
            window.opened = [];
            devices.getUserMedia = async (what) => {
                await new Promise((done) => setTimeout(done, 200));
                const stream = await open(what);
                window.opened.push(...stream.getTracks());
                return stream;
            };
        }"""
    )
    page.get_by_role("button", name="Record").dblclick()
    page.get_by_role("button", name="Stop").wait_for()
    page.wait_for_timeout(600)
    page.get_by_role("button", name="Stop").click()
    finished()
    assert page.evaluate("opened.map((track) => track.readyState)") == ["ended"]


def test_the_latest_segment_stays_and_its_truncation_is_shown(page, finished, voices):
    def relabel(route):
        answer = route.fetch()
        course = answer.json()
        for number, segment in enumerate(course["segments"]):
            segment["label"] = "sad" if number < 5 else "happy"
        route.fulfill(response=answer, json=course)

    def explain_4_seconds(route):
        answer = route.fetch()
        model = answer.json()
        model["limits"]["explained_seconds"] = 4
        route.fulfill(response=answer, json=model)

    held = []

    def hold_the_first(route):
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/api/timeline", relabel)
    page.route("**/api/model", explain_4_seconds)
    page.reload()
    page.locator("#recognize:enabled").wait_for()
    page.route("**/api/explain", hold_the_first)
    page.locator("#file").set_input_files(voices(16))
    finished()
    older, newer = page.locator(".runs button").all()
    older.click()
    newer.click()
    page.locator("#segments rect").first.wait_for()
    finished()
    drawn = page.locator("#segments svg text, #explanation .numbers")
    before = drawn.all_text_contents()
    assert before[0].startswith("0:10")
    held[0].continue_()
    page.wait_for_timeout(500)
    assert drawn.all_text_contents() == before
    older.click()
    note = "Of the segment from 0:00 to 0:10 only the first 4 s are explained."
    page.get_by_text(note).wait_for()
    finished()
    rows = page.locator("#explanation .numbers tbody tr").all_text_contents()
    assert "to 0:04" in rows[-1]
