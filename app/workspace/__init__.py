"""The workspace: one SQLite file with a person's work on one scan, from the first edit on.

A ``.maskwright`` file is the journal of a `Document`. Each undo step is one transaction, so that
after a crash the file holds exactly what the last completed step left: labels voxel by voxel,
label table, prompts, undo history and the view. The image itself stays where it is; the file
knows it by a hash of its voxels and its grid.

Layout (``PRAGMA application_id`` 0x4D534B57, ``PRAGMA user_version`` = version of the schema)

``workspace``, one row
    ``image`` JSON: hash, shape, where the image was; ``cursor``: the ``seq`` of the last step in
    effect, or ``oldest`` - 1 at the bottom of the history; ``oldest``: the first step that can be
    undone; ``is_saved``: whether the masks were exported in this state; ``is_closed``: 0 while a
    window works on it, so that 0 in an unlocked file means a crash; ``view`` JSON: slice
    position, window and the like; ``base``: label table, prompts and what each object's
    prediction wrote, before the first step; times in ISO 8601, UTC.
``base_slice``
    The label map before the first step: one row per axial slice that is not empty.
``step``
    ``seq`` grows and is never used twice; ``label`` is the name of the undo step; ``content``
    holds the voxel changes and, where they changed, the new label table, prompts and predictions
    (`app.workspace.codec`). Steps after ``cursor`` are those that can be redone.

The state is ``base`` with the steps up to ``cursor`` applied in order. Every blob has a CRC-32,
because SQLite's own check does not look inside values. Steps that were forgotten by the undo
history are merged into ``base`` now and then (`Store.compact`).

The file is in WAL mode, ``synchronous=FULL``, and locked for as long as it is open: a second
window cannot write into it and opens a copy. A write-ahead log ``-wal`` lies beside the file
only while it is open or after a crash.

Modules: `schema` (tables, migrations, checks on opening), `codec` (values to bytes), `store` (one
open file), `reading` (the work in it, read back), `journal` (what the document does, as entries for
the store), `recovery` (the folder of automatic workspaces), `opening` (a workspace and its image,
fitted together), `writing` (steps, as they are done), `restoring` (earlier work), `keeper` (the
workspace of the open scan), `step` and `view` (what a document and a window take from it).
"""
