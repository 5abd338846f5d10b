"""All kinds of harm, in the order in which they are done."""

from __future__ import annotations

from tests.torture.churn import churn
from tests.torture.descriptors import out_of_descriptors
from tests.torture.fan_in import fan_in
from tests.torture.floods import never_reads, send_flood
from tests.torture.killed import killed, killed_in_full_flow
from tests.torture.large_frames import large_frames
from tests.torture.loris import slow_loris
from tests.torture.partition import partition
from tests.torture.setting import Scenario
from tests.torture.stopped import stopped
from tests.torture.subscribers import stalled_subscriber

SCENARIOS: dict[str, Scenario] = {
    each.name: each
    for each in (
        Scenario("killed", "kill -9 of the server, with thousands of callers waiting", killed, (53,)),
        Scenario("flow", "kill -9 in the middle of calls that come and go", killed_in_full_flow, (53,)),
        Scenario("stopped", "SIGSTOP of one end, and SIGCONT", stopped, (54,)),
        Scenario("partition", "the network drops everything, silently", partition, (50,)),
        Scenario("loris", "connections that never end their frame", slow_loris, (4,)),
        Scenario("sends", "a flood of one-way messages", send_flood, (38,)),
        Scenario("deaf", "calls without end, and no answer is read", never_reads, (40,)),
        Scenario("churn", "connections opened and closed by the thousand", churn, (41,)),
        Scenario("descriptors", "no file descriptors are left", out_of_descriptors, (66,)),
        Scenario("subscribers", "one subscriber of many does not read", stalled_subscriber, (43,)),
        Scenario("fan-in", "as many connections as may be, with a part of a large frame each", fan_in, (47,)),
        Scenario("large", "frames of 1 MiB in front of pings and small answers", large_frames, (49,)),
    )
}
