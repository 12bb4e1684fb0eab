"""What a server measures of itself; see :mod:`emo_fairseq.serving.metrics`."""


class Meter:
    """Takes measurements and drops them; a subclass keeps them."""

    def request_began(self) -> None:
        """Count a request in progress."""

    def request_ended(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that has been responded to.

        Args:
            method: in capital letters; one of those that HTTP has, or ``OTHER``.
            route: the address as it is declared, so that there are few; empty for others.
            status: of the response.
            seconds: from its headers to the end of the response.
        """

    def batch_began(self, size: int) -> None:
        """Count a batch of requests that the model computes together."""

    def queue_changed(self, n: int) -> None:
        """Add to the number of requests that wait for a thread."""

    def live_changed(self, n: int) -> None:
        """Add to the number of live conversations that are connected."""
