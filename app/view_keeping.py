"""How the user looks at the open scan, as its workspace keeps it. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.core.document import Document
from app.core.view_state import ViewState
from app.prompting import Prompting
from app.review import Review
from app.workspace.view import apply_view, scores_in, view_content, window_in


class ViewKeeping:
    """The view state, the model's window and estimates, and the review."""

    def __init__(self, view_state: ViewState, prompting: Prompting, review: Review) -> None:
        self._view_state = view_state
        self._prompting = prompting
        self._review = review

    def content(self) -> dict[str, object]:
        """Return what `restore` takes."""
        prompting = self._prompting
        content = view_content(self._view_state, prompting.model_window, prompting.scores)
        return {**content, "review": self._review.content()}

    def restore(
        self, content: Mapping[str, Any], document: Document, window: tuple[float, float]
    ) -> None:
        """Look at the open document as before; ``window`` is for the model where none was kept."""
        apply_view(content, self._view_state, document)
        self._prompting.model_window = window_in(content, "model_window") or window
        self._prompting.scores.update(scores_in(content))
        self._review.restore(content.get("review"))
        self._prompting.scores_changed.emit(None)
