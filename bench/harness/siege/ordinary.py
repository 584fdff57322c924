"""Ordinary traffic: requests by schedule from kept connections, and what becomes of them."""

import json
import subprocess

from .. import processes
from ..processes import LOAD_CORE


class Ordinary:
    """Requests to one door for a while. `p99` is in µs from the instant a request was due."""

    def __init__(self, running, port, seconds, rate=1000, connections=16, warm_up=0.3, realtime=True):
        command = [processes.program("load"), "-c", connections, "-r", rate, "-w", warm_up, "-s", seconds, port]
        self.running = running
        self.wanted = rate * seconds
        self.process = running.start(
            command, LOAD_CORE, realtime, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def outcome(self):
        """Waits for its end: requests, errors, p50, p99. A connection that was refused is an error like any other."""
        out, error = self.process.communicate()
        self.running.end(self.process)
        if self.process.returncode:
            return {"requests": 0, "errors": 1, "p50": 0, "p99": 0, "why": error.strip()}
        found = json.loads(out)
        # What is not answered at all is in flight at the end, and missing here.
        found["missing"] = max(0, round(self.wanted * 0.9) - found["requests"])
        return found
