"""Operations on the active label: planned on a worker, entered as one undo step.

What was planned fits the label values from which it was planned. If these changed meanwhile, it
is planned again, so that the result is the same as if it had been quick.
"""

from __future__ import annotations

from collections.abc import Callable

from app.core.commands import ApplyDelta
from app.core.document import Document
from app.core.errors import UsageError
from app.core.labels import DrawOver, VoxelDelta
from app.core.tasks import JobHandle, Runner
from app.core.view_state import ViewState
from app.editing.morphology import warm_up
from app.editing.operation import EditInput, Operation, plan
from app.notices import Notices


class MaskEditing:
    """Runs one operation after the other on the open document.

    Attributes
    ----------
    document : Document, optional
        Set by the session when another scan is opened.
    """

    def __init__(
        self,
        runner: Runner,
        view_state: ViewState,
        notices: Notices,
        draw_over: Callable[[], DrawOver],
    ) -> None:
        self.document: Document | None = None
        self._runner = runner
        self._view_state = view_state
        self._notices = notices
        self._draw_over = draw_over
        self._waiting: list[tuple[Operation, int]] = []
        self._handle: JobHandle | None = None

    def open(self, document: Document | None) -> None:
        """Work on another document."""
        self.drop_all()
        self.document = document
        if document is not None:
            self._handle = self._runner.submit(
                lambda ctx: warm_up(),
                key="edit",
                done=lambda _: None,
                failed=self._notices.failed("edit"),
                priority=-1,
            )

    def run(self, operation: Operation) -> None:
        """Do an operation on the active label once those before it are done.

        Raises
        ------
        UsageError
            No scan is open, no label is chosen, or it is locked.
        """
        if self.document is None:
            raise UsageError("Open a scan first.")
        label_id = self._view_state.active_label
        self.document.label_table.require_open(label_id)
        self._waiting.append((operation, label_id))
        if len(self._waiting) == 1:
            self.document.when_idle(self._start)

    def drop_latest(self) -> bool:
        """Cancel the operation that was asked for last; False if none waits."""
        if not self._waiting:
            return False
        self._waiting.pop()
        if not self._waiting:
            self._stop()
        return True

    def drop_all(self) -> None:
        """Cancel all operations that wait."""
        self._waiting.clear()
        self._stop()

    # -- inside --------------------------------------------------------------------------------

    def _start(self) -> None:
        """Plan the first operation that waits, from the document as it is now."""
        document = self.document
        if document is None or not self._waiting:
            return
        operation, label_id = self._waiting[0]
        state = document.state
        scan = EditInput(
            document.volume,
            document.labelmap.voxels.copy(),
            label_id,
            document.label_table,
            self._draw_over(),
        )

        def done(delta: VoxelDelta | None) -> None:
            document.when_idle(lambda: self._accept(document, operation, state, delta))

        def failed(error: BaseException, trace: str) -> None:
            self._notices.failed("edit")(error, trace)
            self._next()

        self._notices.begin("edit", operation.title, can_cancel=True)
        self._handle = self._runner.submit(
            lambda ctx: plan(operation, scan, ctx), key="edit", done=done, failed=failed
        )

    def _accept(
        self, document: Document, operation: Operation, state: object, delta: VoxelDelta | None
    ) -> None:
        # It may have been cancelled, or another scan opened, while its result waited.
        if document is not self.document or not self._waiting:
            return
        if self._waiting[0][0] is not operation:
            return
        if document.state is not state:
            self._start()
            return
        if delta is None:
            self._notices.tell(f"{operation.title}: nothing to change.")
        else:
            document.do(ApplyDelta(operation.title, delta))
        self._next()

    def _next(self) -> None:
        del self._waiting[:1]
        if self._waiting and self.document is not None:
            self.document.when_idle(self._start)
        else:
            self._stop()

    def _stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._notices.end("edit")
