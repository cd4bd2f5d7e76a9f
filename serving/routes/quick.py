"""A route that is asked for most: its query string is read at once, where FastAPI looks at each parameter in Python."""

from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope, Send


def quick(kind: type[BaseModel], name: str) -> type[APIRoute]:
    """Returns the class of a GET route whose endpoint takes the request, what is in the path, and one query model.

    FastAPI documents such a route, and says what is wrong with a request that cannot be read; what can be read goes
    to the endpoint without it. Both read by the same model, so they read the same.

    Args:
        kind: the query model.
        name: the endpoint's parameter for it.
    """

    class Quick(APIRoute):
        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            try:
                read = kind.model_validate(dict(given))  # of a parameter given twice, the last counts, as in FastAPI
            except ValidationError:
                read = None
            if read is None or scope["method"] != "GET":
                await super().handle(scope, receive, send)
                return
            response = await self.endpoint(Request(scope, receive), **scope["path_params"], **{name: read})
            await response(scope, receive, send)

    return Quick
