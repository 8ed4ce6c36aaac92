"""The zoo: sick and healthy jobs to judge the diagnosis by. `python -m benchmarks.diagnosis`."""
