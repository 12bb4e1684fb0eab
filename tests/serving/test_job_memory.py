"""What a request has sent is freed with its answer, not when the garbage collector runs."""

import gc
import weakref

from emo_fairseq.serving.concurrency import Job, Workers


class Recording:
    """What a request holds."""


def count(contents, should_stop):
    return [len(contents)] * len(contents)


def test_a_finished_job_keeps_nothing_of_its_request():
    workers = Workers(n_threads=1, batch_size=4)
    recording = Recording()
    kept = weakref.ref(recording)
    gc.disable()
    try:
        workers.submit(job := Job(count, recording))
        del recording
        assert job.result.result(timeout=30) == 1
        workers.submit(after := Job(count, None))  # begins once the thread has left the first
        assert after.result.result(timeout=30) == 1
        assert kept() is None
    finally:
        gc.enable()
        workers.close()


def test_a_job_that_is_stopped_while_it_waits_keeps_nothing_either():
    workers = Workers(n_threads=1, batch_size=4, wait_seconds=30)
    recording = Recording()
    kept = weakref.ref(recording)
    gc.disable()
    try:
        workers.submit(waiting := Job(count, recording, batch_key="short"))
        del recording
        waiting.stop()
        assert kept() is None
    finally:
        gc.enable()
        workers.close()
