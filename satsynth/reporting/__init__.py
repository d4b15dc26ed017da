"""Tables, figures and the page: what came out of the runs, in numbers, pictures and words. Never imports torch."""
