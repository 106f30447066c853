"""What readers of untrusted bytes raise."""


class Malformed(ValueError):
    """Bytes that no writer made. The caller that knows file and tensor adds them to the message."""
