"""What Prefect's own client is asked to do with our server; run by the Python of ``.venv-prefect``, prints JSON.

It imports nothing of ours: Prefect's objects are made of our answers, or it fails.
"""

import asyncio
import json
import sys

from prefect.client.orchestration import get_client
from prefect.client.schemas import filters, sorting
from prefect.client.schemas.actions import ArtifactCreate, VariableCreate, WorkPoolCreate
from prefect.states import Cancelled


async def ask(deployment: str) -> dict[str, object]:
    async with get_client() as client:
        assert await client.api_healthcheck() is None
        nightly = await client.read_deployment_by_name(deployment)
        run = await client.create_flow_run_from_deployment(nightly.id, parameters={"city": "Rome"}, tags=["prefect"])
        await client.create_flow_run_from_deployment(nightly.id)  # its client sends `parameters: null` or {}
        of_run = filters.FlowRunFilter(id=filters.FlowRunFilterId(any_=[run.id]))
        (found,) = await client.read_flow_runs(
            flow_run_filter=of_run, sort=sorting.FlowRunSort.EXPECTED_START_TIME_DESC
        )
        cancelled = await client.set_flow_run_state(run.id, Cancelled())
        done = await client.read_flow_run(run.id)
        task_runs = await client.read_task_runs(sort=sorting.TaskRunSort.END_TIME_DESC, limit=5)
        logs = await client.read_logs(
            filters.LogFilter(flow_run_id=filters.LogFilterFlowRunId(any_=[run.id])),
            sort=sorting.LogSort.TIMESTAMP_ASC,
        )
        (schedule,) = await client.read_deployment_schedules(nightly.id)
        await client.update_deployment_schedule(nightly.id, schedule.id, active=False)
        (paused,) = await client.read_deployment_schedules(nightly.id)
        await client.update_deployment_schedule(nightly.id, schedule.id, active=True)
        await client.pause_deployment(nightly.id)
        await client.resume_deployment(nightly.id)
        to_come = await client.get_scheduled_flow_runs_for_deployments([nightly.id])
        await client.create_variable(VariableCreate(name="city", value={"a": 1}, tags=["x"]))
        await client.create_artifact(ArtifactCreate(key="report", type="markdown", data="# x"))
        await client.create_work_pool(WorkPoolCreate(name="pool", type="process"))
        return {
            "flows": [flow.name for flow in await client.read_flows(limit=5)],
            "deployments": [one.name for one in await client.read_deployments(limit=5)],
            "found": [str(found.id) == str(run.id), found.state_name, sorted(found.tags)],
            "cancelled": [cancelled.status.value, done.state_name, done.parameters],
            "states": [state.name for state in await client.read_flow_run_states(run.id)],
            "task_runs": [task_run.state_name for task_run in task_runs],
            "logs": len(logs),
            "paused": paused.active,
            "to_come": bool(to_come),
            "variables": [[one.name, one.value] for one in await client.read_variables()],
            "artifacts": [one.key for one in await client.read_artifacts()],
            "pools": [pool.name for pool in await client.read_work_pools()],
            "blocks": [one.name for one in await client.read_block_documents(include_secrets=False)],
            "automations": len(await client.read_automations()),
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask(sys.argv[1]))))
