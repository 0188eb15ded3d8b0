"""For tests of services that use rustok_iggy: a rig with faults and expectations, and a trial for handlers.

The pytest fixtures over it are in rustok_iggy.pytest_plugin, which pytest finds by itself.
"""

from rustok_iggy.testing.faults import Faults
from rustok_iggy.testing.handler_check import check_handler
from rustok_iggy.testing.history import Attempt, History, Outcome, Publication, Wanted
from rustok_iggy.testing.observed_transport import ObservedTransport
from rustok_iggy.testing.rig import Rig
from rustok_iggy.testing.servers import embedded_rig, memory_rig, remote_rig
from rustok_iggy.testing.settling import NotSettledError
from rustok_iggy.testing.verdict import HandlerVerdict, Trial, TrialResult

__all__ = [
    "Attempt",
    "Faults",
    "HandlerVerdict",
    "History",
    "NotSettledError",
    "ObservedTransport",
    "Outcome",
    "Publication",
    "Rig",
    "Trial",
    "TrialResult",
    "Wanted",
    "check_handler",
    "embedded_rig",
    "memory_rig",
    "remote_rig",
]
