"""Pictures of a job, drawn here from its stored numbers."""
