# One image for workers, the web example and the dashboard: docker build -t orchestrator .
# Its user has a number and no rights; nothing in it is written to but /tmp and its home.

FROM python:3.13.7-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /venv
COPY pyproject.toml README.md LICENSE ./
COPY brokers brokers
COPY orchestrator orchestrator
COPY task_workers task_workers
RUN /venv/bin/pip install ".[web,metrics]"

FROM python:3.13.7-slim-bookworm
RUN groupadd --gid 10001 worker && useradd --uid 10001 --gid worker --create-home worker
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY examples examples
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["orchestrator", "worker", "-A", "examples/web/tasks.py"]
