"""A web application that answers at once, and leaves the work to workers.

orchestrator worker -A examples/web/tasks.py
uvicorn app:app --app-dir examples/web

curl -X POST localhost:8000/reports -H 'content-type: application/json' -d '{"customer": "ann", "pages": 3}'
curl 'localhost:8000/runs/<id>?wait=10'
curl localhost:8000/runs/<id>/result
"""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from tasks import make_report, send_mail

from orchestrator import PrefectFuture, State
from orchestrator.errors import BrokerUnavailable, RunLost
from orchestrator.waiting import wait_async

app = FastAPI(title="Reports")
Seconds = Annotated[float, Query(ge=0, le=60)]


class Report(BaseModel):
    customer: str
    pages: int = Field(ge=1)
    seconds_per_page: float = 0.0


class Mail(BaseModel):
    to: str
    text: str


class Run(BaseModel):
    id: UUID
    state: str
    ended: bool
    message: str | None = None


@app.exception_handler(BrokerUnavailable)
def server_is_away(request: Request, error: BrokerUnavailable) -> JSONResponse:
    """Nothing was half-sent: the client may simply try again."""
    return JSONResponse({"detail": "cannot take work now, try again"}, 503, {"Retry-After": "5"})


@app.post("/reports", status_code=202)
def order_report(report: Report, response: Response) -> Run:
    """A sync handler runs in a thread, so it may block: `delay`."""
    return accepted(make_report.delay(**report.model_dump()), response)


@app.post("/mails", status_code=202)
async def order_mail(mail: Mail, response: Response) -> Run:
    """An async handler must not: `await adelay`."""
    return accepted(await send_mail.adelay(mail.to, mail.text), response)


def accepted(future: PrefectFuture[Any], response: Response) -> Run:
    response.headers["Location"] = f"/runs/{future.task_run_id}"
    return Run(id=future.task_run_id, state="Pending", ended=False)


@app.get("/runs/{run_id}")
async def show_run(run_id: UUID, wait: Seconds = 0) -> Run:
    """The state; with `?wait=10` when the run has ended, at most ten seconds later. Others are served meanwhile."""
    state = await state_of(run_id, wait)
    return Run(id=run_id, state=state.name, ended=state.is_settled(), message=state.message)


@app.get("/runs/{run_id}/result")
async def show_result(run_id: UUID, wait: Seconds = 0) -> Any:
    """What the task returned. 202: not yet. 409: it failed, and how."""
    state = await state_of(run_id, wait)
    if state.is_completed():
        return {"result": state.result()}
    if not state.is_settled():
        return JSONResponse({"state": state.name}, 202)
    return JSONResponse({"state": state.name, "error": str(state.error())}, 409)


async def state_of(run_id: UUID, wait: float) -> State[Any]:
    """The id is all that is needed: any process can ask about any run."""
    future: PrefectFuture[Any] = PrefectFuture(run_id)
    if wait:
        await wait_async([future], timeout=wait)
    state = await asyncio.to_thread(lambda: future.state)
    if isinstance(state.error() if state.is_settled() else None, RunLost):
        raise HTTPException(404, "no such run, or its result has expired")
    return state
