"""The dose record: what was given to whom, which no crash and no power loss may forget."""
