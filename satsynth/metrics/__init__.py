"""Arrays in, numbers out; no network is known here."""
