-- schedules: when they are due, what their runs come to, and what happens to them.
-- needs: events
local NEVER, AS_IT_WAS = -1, -2
local function sched(id) return P .. 'sched:' .. id end

local function set_due(id, due)
  if due == NEVER then drop('due', id) elseif due ~= AS_IT_WAS then put('due', due, id) end
end

local function schedule_happened(what, id, owner, payload, run)
  local deployment, name = string.match(owner or '', '^d:(.+)$'), string.match(owner or '', '^t:(.+)$')
  local related = {}
  if deployment then
    related[1] = thing('deployment', deployment, look(P .. 'doc:deployment:' .. deployment, 'n')[1], 'deployment')
  end
  local kind = deployment and 'flow-run' or 'task-run'
  if run then related[#related + 1] = thing(kind, run, nil, kind) end
  happen('schedule.' .. what, thing('schedule', id, name), related, payload)
end

local function pause_schedule(id, why)
  schedule_happened('paused', id, look(sched(id), 'o')[1], { reason = why })
  set_facts(sched(id), 'a', '0', 'why', why)
  count_up(sched(id), 'g', 1) -- whoever has read it before comes too late
  drop('due', id)
end

-- A run that was cancelled, or never ready, says nothing about its schedule.
local function note_scheduled_end(id, status)
  local most = number(look(sched(id), 'y')[1])
  if not most then return end
  if status == 'C' then return redis.call('HDEL', sched(id), 'z') end
  if status ~= 'F' and status ~= 'Z' then return end
  local failures = count_up(sched(id), 'z', 1)
  if failures >= most then pause_schedule(id, failures .. ' runs in a row failed') end
end
