"""What every job is to the daemon that runs it."""

from agent.ports.work import CANCELED, Job, JobContext

__all__ = ["CANCELED", "Job", "JobContext"]
