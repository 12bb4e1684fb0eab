import threading
import time

from emo_fairseq.inference.fair_lock import FairLock


def test_a_loop_that_takes_it_again_and_again_lets_others_in():
    lock, order = FairLock(), []

    def take_once():
        with lock:
            order.append("other")

    thread = threading.Thread(target=take_once)
    for step in range(3):
        with lock:
            order.append(step)
            if step == 0:
                thread.start()
                wait_until(lambda: lock._waiting)
    thread.join(20)
    assert order == [0, "other", 1, 2]


def wait_until(holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_one_thread_at_a_time_holds_it_and_an_error_releases_it():
    lock, inside, most = FairLock(), 0, 0

    def work():
        nonlocal inside, most
        for _ in range(50):
            try:
                with lock:
                    inside += 1
                    most = max(most, inside)
                    time.sleep(0)
                    inside -= 1
                    raise KeyError
            except KeyError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (inside, most) == (0, 1)
