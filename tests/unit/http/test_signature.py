from __future__ import annotations

import base64

import pytest

from executions.http.signature import BadSignature, sign, verify

# A vector of the reference libraries of the Standard Webhooks specification.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIME = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_example_is_signed_as_published() -> None:
    assert sign(SECRET, message_id=MESSAGE, timestamp=TIME, body=BODY) == {
        "webhook-id": MESSAGE,
        "webhook-timestamp": str(TIME),
        "webhook-signature": SIGNATURE,
    }


def test_a_plain_text_secret_signs_as_its_bytes() -> None:
    text = "plain-secret"
    encoded = "whsec_" + base64.b64encode(text.encode()).decode()
    assert sign(text, message_id="a", timestamp=1, body=b"") == sign(
        encoded, message_id="a", timestamp=1, body=b""
    )


def test_each_secret_of_a_rotation_signs_and_either_verifies() -> None:
    headers = sign(f"{SECRET} new-secret", message_id=MESSAGE, timestamp=TIME, body=BODY)
    signatures = headers["webhook-signature"].split(" ")
    assert signatures[0] == SIGNATURE
    assert len(signatures) == 2
    verify(SECRET, headers, BODY, now=TIME)
    verify("new-secret", headers, BODY, now=TIME)


@pytest.mark.parametrize(
    ("change", "body", "now"),
    [
        ({}, BODY + b" ", TIME),
        ({}, BODY, TIME + 301),
        ({}, BODY, TIME - 301),
        ({"webhook-id": "other"}, BODY, TIME),
        ({"webhook-timestamp": str(TIME + 1)}, BODY, TIME),
        ({"webhook-timestamp": "yesterday"}, BODY, TIME),
        ({"webhook-signature": "v2," + SIGNATURE[3:]}, BODY, TIME),
        ({"webhook-signature": ""}, BODY, TIME),
        ({"webhook-signature": "v1,é"}, BODY, TIME),
    ],
)
def test_a_message_that_was_changed_or_is_old_does_not_verify(
    change: dict[str, str], body: bytes, now: int
) -> None:
    headers = sign(SECRET, message_id=MESSAGE, timestamp=TIME, body=BODY) | change
    with pytest.raises(BadSignature):
        verify(SECRET, headers, body, now=now)


def test_the_wrong_secret_and_missing_headers_do_not_verify() -> None:
    headers = sign(SECRET, message_id=MESSAGE, timestamp=TIME, body=BODY)
    with pytest.raises(BadSignature):
        verify("other", headers, BODY, now=TIME)
    with pytest.raises(BadSignature):
        verify(SECRET, {}, BODY, now=TIME)


@pytest.mark.parametrize("secrets", ["", "   ", "whsec_", "whsec_!!!", "whsec_a", "ok whsec_not*base64"])
def test_a_secret_that_cannot_sign_is_refused_without_being_shown(secrets: str) -> None:
    with pytest.raises(ValueError) as caught:
        sign(secrets, message_id="a", timestamp=1, body=b"")
    assert "not*base64" not in str(caught.value)
