"""Traces: off without a receiver, fair to every sampler, and never a reason to fail."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpResponse
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased

from web import telemetry, tracing
from web.request_traces import RequestTracesMiddleware


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a process decides once is decided anew for each of these tests."""
    tracing.is_on.cache_clear()
    yield
    tracing.is_on.cache_clear()


def test_where_none_are_wanted_a_span_takes_everything_and_does_nothing(settings: Any) -> None:
    settings.TRACES = False
    with tracing.span("a", "server", {"b": 1}) as span:
        span.note({"c": 2})
        span.rename("d")
        span.fail("e")
        span.drop()
    tracing.note({"f": 3})
    tracing.flush()
    assert (tracing.carrier(), dict(tracing.ids())) == ({}, {})
    with pytest.raises(MiddlewareNotUsed):
        RequestTracesMiddleware(lambda request: HttpResponse())


def test_a_missing_extra_is_said_once_and_costs_nothing(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.TRACES = True
    monkeypatch.setattr(tracing, "NEEDED", ("opentelemetry.no_such_part", "no_such_library.at_all"))
    with caplog.at_level(logging.WARNING, "web.tracing"):
        tracing.warn_if_missing()
    assert "requirements-otel.txt is not installed" in caplog.text
    assert not tracing.is_on()


def test_the_extra_is_found_where_it_is_installed(settings: Any) -> None:
    settings.TRACES = True
    assert tracing.is_on()


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_a_ratio_of_executions_is_sampled_though_their_ids_are_uuids(ratio: float) -> None:
    sampler = telemetry._Fair(ParentBased(TraceIdRatioBased(ratio)))
    ids = [
        uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128, version=4)
        for number in range(4000)
    ]

    def taken(key: uuid.UUID) -> bool:
        return sampler.should_sample(None, key.int, "run").decision is Decision.RECORD_AND_SAMPLE

    kept = [key for key in ids if taken(key)]
    assert abs(len(kept) / len(ids) - ratio) < 0.05
    assert all(taken(key) for key in kept), "all attempts of an execution get one answer"
