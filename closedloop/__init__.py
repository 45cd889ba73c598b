"""Real-time, EEG-guided, closed-loop brain stimulation.

Research software, not a medical device.
"""
