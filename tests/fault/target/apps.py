"""Puts a started process into the condition that its test asks for: another clock, a known defect."""

from __future__ import annotations

import os

from django.apps import AppConfig


class TargetConfig(AppConfig):
    """The target as an app, so that its handlers are found as every app's are."""

    name = "tests.fault.target"
    label = "fault_target"

    def ready(self) -> None:
        from tests.fault import clocks, defects

        clocks.move_host(os.environ)
        defects.answer_names(os.environ.get("FAULT_NAMES", ""))
        defects.seed(os.environ.get("FAULT_DEFECT", ""))
