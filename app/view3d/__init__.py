"""The scan in three dimensions: what is drawn, from where it is seen, what lies under the mouse.

The drawing itself (`scene.py`, VTK) happens in a process of its own, `server.py`: a graphics driver
that crashes takes that process down, not the program.
"""
