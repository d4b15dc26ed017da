"""Which synthetic pairs to train on, and how many: judged and chosen by what they are worth on held-out real pairs."""
