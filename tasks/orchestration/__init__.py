"""Everything that touches Prefect: steps, cache by content, dispatch, what the dashboard shows."""
