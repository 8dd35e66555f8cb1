"""What a request is refused with."""


class Refused(Exception):  # noqa: N818  # no fault of the service
    """A status of HTTP and its reason in one line; where it says so, in how many seconds to come back."""

    def __init__(self, status: int, reason: str, come_back: int | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.come_back = status, reason, come_back
