"""Networks that others published: what their files look like, and how they become ours."""
