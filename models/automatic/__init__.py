"""Networks that label whole volumes without a prompt: what they expect, and how they are run."""
