"""The verbs: claim a job, train it, record it. The only room that knows torch. Read `run.py` first."""
