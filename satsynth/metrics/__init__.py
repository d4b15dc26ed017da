"""Arrays in, numbers out; no network is known here. Searches among all pairs of features run on a device (torch), all else in numpy."""
