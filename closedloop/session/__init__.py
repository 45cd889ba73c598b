"""One visit: run, record, evaluate, report, replay."""
