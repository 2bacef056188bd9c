"""Why a call failed, as one family of exceptions.

`reason` is one of the words of the contract's states; `permanent` says that no retry can
help; `sent` is False only where it is certain that no byte of the request left this host.
"""

from __future__ import annotations

from datetime import timedelta


class CallError(Exception):
    """The call failed; the message is fit for an operator and holds no header or query value."""

    reason = "error"
    permanent = False

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.sent = sent
        #: What a retry should wait at least (the host's pace after failures), or None.
        self.retry_delay: timedelta | None = None


class CallTimeout(CallError):
    """The deadline over waiting, resolve, connect, headers and body passed."""

    reason = "timeout"

    def __init__(self, timeout_ms: int, *, sent: bool = False) -> None:
        super().__init__(f"timeout of {timeout_ms}ms exceeded", sent=sent)


class EgressDenied(CallError):
    """The address is not one that calls may go to. Nothing was connected."""

    reason = "egress_denied"
    permanent = True


class AnswerTooLarge(CallError):
    """The answer has over 100 header lines or over 64 KiB of them."""

    reason = "too_large"


class RequestRefused(CallError):
    """The URL, method or headers cannot be sent as they are; nothing was connected."""

    permanent = True


class CallStopped(CallError):
    """`should_stop` became true before the answer was there."""


class HostBusy(CallError):
    """This process has as many calls to the host as it may have at once. Nothing was sent.

    `retry_delay` says when it is worth asking again.
    """
