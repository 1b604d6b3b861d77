"""What the dashboard shows of a run over tiles."""


def show_audit(audit, name):
    """Placeholder until the tables are there."""


def show_run(run, summary, judged, audit, report, page, pictures):
    """Placeholder until the tables are there."""
