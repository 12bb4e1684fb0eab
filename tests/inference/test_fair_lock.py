import threading
import time

from emo_fairseq.inference.fair_lock import FairLock


def test_a_loop_that_takes_it_again_and_again_lets_others_in():
    lock, order, began = FairLock(), [], threading.Event()

    def loop():
        for step in range(200):
            with lock:
                began.set()
                order.append(step)
                time.sleep(0.001)

    thread = threading.Thread(target=loop)
    thread.start()
    began.wait(10)
    with lock:
        order.append("other")
    thread.join(20)
    assert order.index("other") < 50
    assert [step for step in order if step != "other"] == list(range(200))


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
