"""Stand-ins for devices: each behaves as its device does, behind a pseudo-terminal, for rehearsals and tests."""
