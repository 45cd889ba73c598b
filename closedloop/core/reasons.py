"""Why a chance was not used: one reason for each refusal, and what each means."""

from enum import IntEnum


class Reason(IntEnum):
    """The reasons, in the order in which they are asked; the first that applies is recorded.

    Names are recorded in lower case; numbers may be added, never reused.
    """

    NONE = 0
    # The policy: is a pulse wanted now?
    PAUSED = 1
    PROTOCOL_COMPLETE = 2
    INTERVAL = 3
    # The safety gate: may it fire?
    STOPPED = 10
    NOT_ARMED = 11
    CLOCK = 12
    STALE = 13
    DEVICE_NOT_READY = 14
    SAMPLING_RATE = 15
    DEVICE_STALE = 16
    COIL_HOT = 17
    WARM_UP = 20
    GAP = 21
    NON_FINITE = 22
    OUT_OF_RANGE = 23
    HELD = 24
    ARTIFACT = 25
    FLAT = 26
    NOT_QUIET = 27
    NO_RHYTHM = 30
    PHASE_SD = 31
    INTENSITY = 45
    TRAIN_PULSES = 46
    MIN_INTERVAL = 40
    RECHARGING = 47
    TRAIN_INTERVAL = 48
    SESSION_INTERVAL = 55
    TRAIN_DURATION = 49
    RATE_CAP = 51
    MAX_PULSES = 41
    MAX_PULSES_DAY = 52
    MAX_PULSES_COURSE = 53
    NOT_LEASED = 54
    RECORD_FULL = 42
    TOO_LATE = 43
    NOT_FORESEEN = 44
    # The policy again: is this one of the best chances?
    RATE = 50
    # What broke, and disarmed the gate.
    ESTIMATOR_FAILED = 60
    WRITE_FAILED = 61
    STREAM_BROKEN = 62
    TRIGGER_LATE = 63
    TRIGGER_UNSEEN = 64
    INPUT_LOST = 65
    UNWATCHED = 66
    LOOP_FAILED = 67

    @property
    def label(self) -> str:
        """The name as it is recorded."""
        return self.name.lower()


EXPLANATIONS = {
    Reason.PAUSED: "the operator has paused",
    Reason.PROTOCOL_COMPLETE: "every trial of the protocol has been used",
    Reason.INTERVAL: "the protocol's interval since the last trial has not passed",
    Reason.STOPPED: "the operator has stopped",
    Reason.NOT_ARMED: "the safety gate was not armed",
    Reason.CLOCK: "a clock ran backwards, jumped or was no number",
    Reason.STALE: "the newest sample was too old",
    Reason.DEVICE_NOT_READY: "the stimulator was not ready",
    Reason.DEVICE_STALE: "the stimulator had not said of late how it is",
    Reason.COIL_HOT: "the coil was too hot, or did not tell its temperature",
    Reason.SAMPLING_RATE: "samples came at another rate than the stream says, by more than 1 %",
    Reason.WARM_UP: "the estimator's window was not yet full, or the rhythm's SNR not yet known",
    Reason.GAP: "samples were missing",
    Reason.NON_FINITE: "a sample was no number",
    Reason.OUT_OF_RANGE: "the amplifier was saturated",
    Reason.HELD: "the hold after a pulse, and one estimator window after it",
    Reason.ARTIFACT: "a channel's peak-to-peak value was above the artifact limit",
    Reason.FLAT: "a channel was flat",
    Reason.NOT_QUIET: "a signal that must be quiet was not",
    Reason.NO_RHYTHM: "the sliding SNR was below what noise alone can reach",
    Reason.PHASE_SD: "the estimator's own phase SD was above the limit",
    Reason.MIN_INTERVAL: "too close to the last pulse",
    Reason.INTENSITY: "the intensity was above the ceiling, or not known",
    Reason.TRAIN_PULSES: "the train had more pulses than one may have",
    Reason.RECHARGING: "the stimulator had not recharged",
    Reason.TRAIN_INTERVAL: "too close to the train before",
    Reason.SESSION_INTERVAL: "too close to the session before",
    Reason.TRAIN_DURATION: "the train would last longer than the table of longest trains allows",
    Reason.RATE_CAP: "too many pulses within a window of time",
    Reason.MAX_PULSES: "the session's limit of pulses was reached",
    Reason.MAX_PULSES_DAY: "the limit of pulses within 24 h was reached",
    Reason.MAX_PULSES_COURSE: "the course's limit of pulses was reached",
    Reason.NOT_LEASED: "no more pulses had been set down in the dose record beforehand",
    Reason.RECORD_FULL: "no room to record the pulse",
    Reason.TOO_LATE: "the moment had passed",
    Reason.NOT_FORESEEN: "no sample came in time to foresee a crossing of the target",
    Reason.ESTIMATOR_FAILED: "the estimator failed, which disarmed the gate",
    Reason.WRITE_FAILED: "a trigger could not be written, or not in time, which disarmed the gate",
    Reason.STREAM_BROKEN: "the stream broke off, which disarmed the gate",
    Reason.TRIGGER_LATE: "a trigger was seen at another time than measured, which disarmed the gate",
    Reason.TRIGGER_UNSEEN: "a trigger was not seen in the trigger channel, which disarmed the gate",
    Reason.INPUT_LOST: "there was no room to record the next input, which disarmed the gate",
    Reason.LOOP_FAILED: "the loop itself failed, which disarmed the gate",
    Reason.UNWATCHED: "nobody watched the loop any more, which disarmed the gate",
    Reason.RATE: "not among the best chances that the wanted rate allows",
}
