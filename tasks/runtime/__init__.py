"""How tasks and flows run: engines, retries, outcomes, settings."""
