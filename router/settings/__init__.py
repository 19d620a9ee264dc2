"""The configuration: read, checked and explained."""

from router.settings.check import check_settings, examine_settings
from router.settings.keys import KeySettings
from router.settings.load import load_settings, read_settings_file
from router.settings.model import (
    AuditSettings,
    LearningSettings,
    MatchSettings,
    ModelSettings,
    Price,
    PromiseSettings,
    ResolvedModel,
    Settings,
    TimeoutSettings,
    WorkloadSettings,
)
from router.settings.problems import Problem

__all__ = [
    "AuditSettings",
    "KeySettings",
    "LearningSettings",
    "MatchSettings",
    "ModelSettings",
    "Price",
    "Problem",
    "PromiseSettings",
    "ResolvedModel",
    "Settings",
    "TimeoutSettings",
    "WorkloadSettings",
    "check_settings",
    "examine_settings",
    "load_settings",
    "read_settings_file",
]
