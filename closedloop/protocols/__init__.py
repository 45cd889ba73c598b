"""What is drawn before a session: trials, conditions, intervals."""
