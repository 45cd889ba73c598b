"""The compiled core: state, decisions, the safety gate, and the runner without hardware."""
