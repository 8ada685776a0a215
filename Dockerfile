FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY brokers brokers
COPY orchestrator orchestrator
COPY task_workers task_workers
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir ".[web]"

FROM python:3.12-slim
RUN useradd --create-home worker
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
COPY examples examples
USER worker
CMD ["orchestrator", "worker", "-A", "examples.web.tasks"]
