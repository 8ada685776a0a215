"""A web application that answers at once, leaves the work to workers, and shows how it goes on.

orchestrator worker -A examples/web/tasks.py
uvicorn app:app --app-dir examples/web          # then open http://localhost:8000

curl -X POST localhost:8000/reports -H 'content-type: application/json' -d '{"customer": "ann", "pages": 3}'
curl 'localhost:8000/tasks/<id>?wait=10'        # the state and the result, at most ten seconds later
curl -N localhost:8000/tasks/<id>/events        # progress and log lines as they come
curl -X POST localhost:8000/tasks/<id>/cancel
"""

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from tasks import make_report, send_mail

from orchestrator.client.fleet import current_fleet
from orchestrator.contrib.fastapi import Accepted, accepted, add_exception_handlers, lifespan, tasks_router
from orchestrator.inspection import RunFilter, walk_runs

HERE = Path(__file__).parent
ONLY_OURS = {"Content-Security-Policy": "default-src 'self'"}  # no script, style or picture from anywhere else

app = FastAPI(title="Reports", lifespan=lifespan)
app.include_router(tasks_router("/tasks"))  # dependencies=[Depends(...)] would be your own authorization
add_exception_handlers(app)  # 503 with Retry-After while the server of the tasks is away
app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")


class Report(BaseModel):
    customer: str = Field(min_length=1, max_length=100)
    pages: int = Field(ge=1)
    seconds_per_page: float = Field(0.0, ge=0, le=60)


class Mail(BaseModel):
    to: str
    text: str


@app.get("/")
def page() -> FileResponse:
    return FileResponse(HERE / "static" / "index.html", headers=ONLY_OURS)


@app.post("/reports", status_code=202, response_model=Accepted)
def order_report(report: Report) -> Response:
    """A sync handler runs in a thread, so it may block: `delay`."""
    return accepted(make_report.delay(**report.model_dump()))


@app.post("/mails", status_code=202, response_model=Accepted)
async def order_mail(mail: Mail) -> Response:
    """An async handler must not: `await adelay`."""
    return accepted(await send_mail.adelay(mail.to, mail.text))


@app.get("/reports")
def list_reports(limit: int = 20) -> list[dict[str, Any]]:
    """The newest reports, whoever ordered them: the store knows."""
    found = walk_runs(current_fleet(), RunFilter(tasks=("*make_report",)), limit=min(limit, 100))
    return [{"id": run.id, "name": run.state_name, "created": run.created} for run in found.runs]
