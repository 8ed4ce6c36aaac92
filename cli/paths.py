"""Paths of the service's contract."""

from urllib.parse import quote

ROOT = "/v1"


def path_of(*parts: str) -> str:
    """`/v1/...`: whatever a part is, it stays one."""
    return "/".join([ROOT, *(quote(part, safe="") for part in parts)])


def job_path(job: str, *parts: str) -> str:
    """`/v1/jobs/{id}/...`"""
    return path_of("jobs", job, *parts)
