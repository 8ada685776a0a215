# One image for workers, the web example and the dashboard: docker build -t orchestrator .
# Its user has a number and no rights; nothing in it is written to but /tmp and its home.

FROM python:3.13.7-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /venv
# What we depend on first, without the code: a change of the code does not install it all again.
COPY pyproject.toml ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
more = p['optional-dependencies']; print(*p['dependencies'], *more['web'], *more['metrics'], sep='\n')" > requirements.txt \
    && /venv/bin/pip install -r requirements.txt
COPY README.md LICENSE ./
COPY brokers brokers
COPY orchestrator orchestrator
COPY task_workers task_workers
RUN /venv/bin/pip install --no-deps .

FROM python:3.13.7-slim-bookworm
RUN groupadd --gid 10001 worker && useradd --uid 10001 --gid worker --create-home worker
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY examples examples
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["orchestrator", "worker", "-A", "examples/web/tasks.py"]
