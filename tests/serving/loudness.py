"""A detector of speech that needs no network: speech is what is louder than a threshold."""

import numpy as np

THRESHOLD = 0.003
PAUSE = 3200  # samples of silence after which speech has ended


class Loudness:
    def __init__(self):
        self.n_too_short = 0
        self._samples = np.zeros(0, np.float32)
        self._start = None
        self._quiet = 0

    @property
    def is_speaking(self):
        return self._start is not None

    def feed(self, block):
        before = len(self._samples)
        self._samples = np.concatenate([self._samples, block])
        found = []
        for n, loud in enumerate((np.abs(block) > THRESHOLD).tolist(), start=before):
            if loud:
                self._start = n if self._start is None else self._start
                self._quiet = 0
            elif self._start is not None:
                self._quiet += 1
                if self._quiet == PAUSE:
                    found += self._end(n + 1 - PAUSE)
        return found

    def finish(self):
        return [] if self._start is None else self._end(len(self._samples) - self._quiet)

    def _end(self, end):
        start, self._start = self._start, None
        return [Segment(start, end, self._samples[start:end])]


class Segment:
    def __init__(self, start, end, samples):
        self.start, self.end, self.samples = start, end, samples
