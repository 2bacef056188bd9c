from __future__ import annotations

import pytest

from jobs.http_rules import (
    RuleError,
    check_headers,
    check_url,
    is_secret,
    mask,
    mask_headers,
    mask_url,
    read_url,
)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "https://example.com:8443/a/b?c=d#e",
        "HTTP://EXAMPLE.com/",
        "http://localhost:3000/dummy",
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:8080/",
        "http://[fe80::1%25lo]/",
        "http://postgres_internal:8000/x",
        "http://example.com./",
        "http://bücher.example/ä?ö=ü",
        "http://0x7f000001/",
        "http://1.1.1.1#@127.0.0.1",
        "http://h/" + "x" * 2039,
    ],
)
def test_a_url_that_may_be_stored_comes_back_as_it_was(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "must be an http or https URL"),
        ("example.com/x", "scheme"),
        ("//example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://example.com/", "scheme"),
        ("ftp://example.com/", "scheme"),
        ("unix:/var/run/docker.sock", "scheme"),
        ("http+unix://%2Fvar%2Frun%2Fdocker.sock/x", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("HTTP:", "host is missing"),
        ("http://", "host is missing"),
        ("http:///path", "host is missing"),
        ("http://:80/", "host is missing"),
        ("http://a:b@169.254.169.254/", "user name or password"),
        ("http://user@example.com/", "user name or password"),
        ("http://@example.com/", "user name or password"),
        ("http://example.com\\@127.0.0.1/", "backslashes"),
        ("http:\\\\example.com", "backslashes"),
        ("http://exam\tple.com/", "control characters"),
        ("http://exam\nple.com/", "control characters"),
        ("http://example.com/\r\nHost: internal", "control characters"),
        ("http://example.com/\x00", "control characters"),
        (" http://example.com/", "spaces"),
        ("http://example.com/a b", "spaces"),
        ("http://example.com/\u00a0", "spaces"),
        ("http://example.com/\ud800", "control characters"),
        ("http://exa%6dple.com/", "not a valid name"),
        ("http://exam<ple.com/", "not a valid name"),
        ("http://a..b/", "not a valid name"),
        ("http://.a/", "not a valid name"),
        ("http://a../", "not a valid name"),
        ("http://-a.example/", "not a valid name"),
        ("http://" + "a" * 64 + ".example/", "not a valid name"),
        ("http://[::1/", "cannot be read"),
        ("http://[v1.x]/", "not a valid IPv6"),
        ("http://[127.0.0.1]/", "IPv6|cannot be read"),
        ("http://\u2100.example/", "cannot be read|not a valid"),
        ("http://example.com:0/", "port 0"),
        ("http://example.com:65536/", "cannot be read"),
        ("http://example.com:-1/", "cannot be read"),
        ("http://example.com:٣/", "cannot be read"),
        ("http://example.com:22/", "port 22"),
        ("http://example.com:25/", "port 25"),
        ("http://example.com:5432/", "port 5432"),
        ("http://example.com:6379/", "port 6379"),
        ("http://example.com:11211/", "port 11211"),
        ("http://h/" + "x" * 2040, "2048"),
        ("http://h/" + "x" * 8192, "2048"),
    ],
)
def test_a_url_of_another_shape_is_refused_with_its_reason(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_url(url)


def test_all_problems_of_a_url_are_told_at_once() -> None:
    with pytest.raises(RuleError) as caught:
        check_url("ftp://a:b@c..d:22/")
    assert len(caught.value.problems) == 4
    assert all(problem in str(caught.value) for problem in caught.value.problems)


def test_what_is_sent_is_ascii_and_keeps_what_was_escaped_already() -> None:
    target = read_url("https://Bücher.example:444/ä%2F/../x?q=ö&r=%41|#frag")
    assert target.host == "xn--bcher-kva.example"
    assert target.path == "/%C3%A4%2F/../x?q=%C3%B6&r=%41%7C"
    assert target.authority == "xn--bcher-kva.example:444"
    assert target.origin == ("https", "xn--bcher-kva.example", 444)


@pytest.mark.parametrize(
    ("url", "host", "authority"),
    [
        ("http://example.com./", "example.com.", "example.com"),
        ("http://[::0001]/", "::1", "[::1]"),
        ("https://[::1]:443/", "::1", "[::1]"),
        ("https://h:80/", "h", "h:80"),
        ("http://①②⑦.⓪.⓪.①/", "127.0.0.1", "127.0.0.1"),
        ("http://ex。com/", "ex.com", "ex.com"),
        ("http://[fe80::1%25lo]/", "fe80::1%lo", "[fe80::1%lo]"),
    ],
)
def test_the_host_is_read_once_and_in_its_plain_form(url: str, host: str, authority: str) -> None:
    target = read_url(url)
    assert (target.host, target.authority) == (host, authority)


def test_headers_that_may_be_stored_come_back_without_surrounding_blanks() -> None:
    given = {"Authorization": "Bearer x", "X-Trace": " a\tb ", "Accept-Language": "caf\xe9", "X-Empty": ""}
    assert check_headers(given) == {**given, "X-Trace": "a\tb"}


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\n", "é", "a\x00", "(x)", "a\ud800"])
def test_a_header_name_must_be_a_token(name: str) -> None:
    with pytest.raises(ValueError, match="not a valid header name"):
        check_headers({name: "x"})


@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: 1", "a\r\n b", "a\nb", "a\rb", "a\x00b", "a\x7f", "\u20ac", "a\ud800"]
)
def test_a_header_value_cannot_leave_its_line(value: str) -> None:
    with pytest.raises(ValueError, match="characters that a header cannot carry"):
        check_headers({"X-A": value})


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "HOST",
        "Content-Length",
        "transfer-encoding",
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Upgrade",
        "Idempotency-Key",
    ],
)
def test_framing_and_identity_are_not_the_jobs_to_set(name: str) -> None:
    with pytest.raises(ValueError, match="set by the scheduler itself"):
        check_headers({name: "x"})


def test_the_number_and_the_size_of_headers_are_bounded() -> None:
    assert len(check_headers({f"X-{n}": "v" for n in range(50)})) == 50
    with pytest.raises(ValueError, match="at most 50"):
        check_headers({f"X-{n}": "v" for n in range(51)})
    assert check_headers({"X": "v" * (8192 - 5)})
    with pytest.raises(ValueError, match="at most 8192 bytes"):
        check_headers({"X": "v" * (8192 - 4)})
    with pytest.raises(ValueError, match="at most 50"):
        check_headers({f"X-{n}": "v" for n in range(10_000)})


def test_all_problems_of_headers_are_told_at_once() -> None:
    with pytest.raises(RuleError) as caught:
        check_headers({"Host": "x", "a b": "x", "X-A": "\n", "X-B": 5, "x-a": "y"})  # type: ignore[dict-item]
    assert len(caught.value.problems) == 5


def test_headers_must_be_an_object() -> None:
    with pytest.raises(ValueError, match="object"):
        check_headers(["a"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("Authorization", True),
        ("PROXY-AUTHORIZATION", True),
        ("cookie", True),
        ("X-Api-Key", True),
        ("access_token", True),
        ("clientSecret", True),
        ("dbPassword", True),
        ("Set-Cookie2", False),
        ("Content-Type", False),
        ("X-Author", False),
    ],
)
def test_a_secret_is_known_by_its_name(name: str, secret: bool) -> None:
    assert is_secret(name) is secret


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/p?a=1&api_key=canary&b=2", "https://h/p?a=1&api_key=***&b=2"),
        ("https://h/p?TOKEN=canary#frag", "https://h/p?TOKEN=***#frag"),
        ("https://h/p?x=1;password=canary", "https://h/p?x=1;password=***"),
        ("https://h/p?api%5Fke%79=canary", "https://h/p?api%5Fke%79=***"),
        ("https://h/p#access_token=canary&x=1", "https://h/p#access_token=***&x=1"),
        ("https://user:canary@h/p", "https://***@h/p"),
        ("https://canary@h/p", "https://***@h/p"),
        ("http://us@er:can@ary@h/", "http://***@h/"),
        ("mailtos://u:canary@h?key=canary", "mailtos://***@h?key=***"),
        ("https://h/p?a=1", "https://h/p?a=1"),
        ("no url ?token=canary", "no url ?token=***"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert mask_url(url) == shown
    assert "canary" not in mask_url(url)


def test_headers_and_payloads_are_shown_without_their_secrets() -> None:
    assert mask_headers({"Authorization": "canary", "Accept": "x"}) == {"Authorization": "***", "Accept": "x"}
    payload = {"a": [{"apiKey": "canary"}, ("b",)], "token": {"deep": "canary"}, "n": None, "secretWord": 5}
    assert mask(payload) == {"a": [{"apiKey": "***"}, ["b"]], "token": "***", "n": None, "secretWord": "***"}
    assert payload["token"] == {"deep": "canary"}
