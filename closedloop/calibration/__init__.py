"""From a stretch of rest to a core that is ready to run."""
