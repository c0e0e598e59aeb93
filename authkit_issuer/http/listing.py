"""How long one page of members or invites is, and where the next page begins.

``orgs.members`` and ``orgs.invites`` check where a page begins, ``event_types`` where one of events does.
``admin.service`` has the page sizes of the user directory, ``routes.accounts.events`` those of one's own
events, ``event_types`` how many events a program reads at once.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MAX_PAGE = 1000

PageSize = Annotated[int, Field(ge=1, le=MAX_PAGE)]
After = Annotated[str, Field(description="`next` of the page before")]
