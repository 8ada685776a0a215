-- tick: fire schedules that are due: compare, move on and write the runs, all at once, so that a tick has one run.
-- args: { ms without a poll after which nobody serves a deployment, ttl ms,
--         { { schedule, due ms, generation, next due ms (-1: never), missed, most runs (0: any number), overlap,
--             packed skipped ticks ('': none), { { tick ms, not before ms, call }, ... } }, ... } }
-- returns: { { what, { tick ms, run, became, ... } }, ... } in the same order
--   what: F it has moved on, M it was moved or changed before, H nobody serves its deployment, P that is paused
--         E it cannot be fired (the list holds the reason)
--   became: F there is a run, K there was one for this tick already, S none because another is not over
-- A run is written as submit.lua writes it; its id is made of schedule and tick, so a tick that is repeated because the
-- server lost its last second finds its run.
-- needs: schedules submitting cancelling documents
local silent, ttl, due_schedules = unpack(args)
-- A function of its own: Lua allows 200 local names in one, and the parts above have nearly as many.
local function tick()
local MOST_FIRED = 10000

local function open_status(run)
  local status = run and look(record(run), 's')[1]
  return status and not SETTLED[status] and status
end

local function still_open(run) return open_status(run) and run or nil end

-- Whether there is to be a run now, and behind which other one it waits.
local function place_among(state, overlap)
  if overlap == 'allow' then return true end
  local status = open_status(state.open)
  if not status then return true, still_open(state.behind) end
  if overlap == 'skip' then return false end
  if overlap == 'cancel-running' then
    cancel_run(state.open, ttl, CANCELLED, 'the next run of its schedule has come')
    return true, still_open(state.open) or still_open(state.behind)
  end
  if has_begun(state.open, status) then return true, state.open end
  if overlap == 'buffer-one' then return false end
  cancel_run(state.open, ttl, SUPERSEDED, 'a later run of its schedule took its place')
  return true, still_open(state.behind)
end

local function write_run(id, call, not_before, behind)
  local run, task, route, body, flow_run, inbox, meta, extras = unpack(call, 1, 8)
  extras = extras or {}
  if not_before > now then extras.d = not_before - now end
  if behind then extras.r = { { behind, true } } end
  extras.S = id
  redis.pcall('SADD', P .. 'queues', queue_of(route))
  submit_call({ run, task, route, body, flow_run, inbox, meta, extras })
  return run
end

local function note_fired(id, tick)
  local name = 'fired:' .. id
  put(name, tick, string.format('%.0f', tick))
  local over = size_of(name) - MOST_FIRED -- more than one after a backfill
  if over > 0 then drop(name, unpack(places(name, 0, math.min(over, 100) - 1))) end
end

local function fire(id, state, planned, overlap, most)
  -- what became of the tick
  local tick, not_before, call = unpack(planned)
  if score('fired:' .. id, string.format('%.0f', tick)) then return 'K', '' end
  if most > 0 and state.fired >= most then return 'S', '' end
  local may, behind = place_among(state, overlap)
  if not may then
    state.overlapped = state.overlapped + 1
    return 'S', ''
  end
  local run = write_run(id, call, not_before, behind)
  state.open, state.behind, state.last, state.fired = run, behind, tick, state.fired + 1
  note_fired(id, tick)
  return 'F', run
end

local function what_its_owner_says(id, owner, route)
  -- P: the deployment is paused, H: it is one that is served by processes, and nobody does
  local deployment = string.match(owner or '', '^d:(.+)$')
  if not deployment then return nil end
  local paused, served = unpack(look(document('deployment', deployment), 'p', 'st'))
  if paused == '1' then return 'P' end
  if string.match(route or '', SERVED) and now - number(served, 0) > silent then return 'H' end
end

local function move_on(id, due, next_due, hindered)
  if hindered == 'H' and not look(sched(id), 'h')[1] then set_facts(sched(id), 'h', due) end
  set_due(id, next_due)
  return { hindered, {} }
end

local function tick_one(id, due, generation, next_due, missed, most, overlap, skipped, planned)
  local known, owner, route, open, behind, missed_before, fired, overlapped, held =
    unpack(look(sched(id), 'g', 'o', 'q', 'u', 'w', 'm', 'n', 'k', 'h'))
  if number(known, 0) ~= generation or number(score('due', id)) ~= due then return { 'M', {} } end
  local first = planned[1] and planned[1][3] -- its deployment may have moved since the record was written
  local hindered = what_its_owner_says(id, owner, first and first[3] or route)
  if hindered then return move_on(id, due, next_due, hindered) end
  if number(held) then -- somebody serves it again: first what was due meanwhile
    redis.call('HDEL', sched(id), 'h')
    put('due', math.min(due, number(held)), id)
    return { 'M', {} }
  end
  local state = { open = open, behind = behind, fired = number(fired, 0), overlapped = number(overlapped, 0) }
  local became = {}
  for at, one in ipairs(planned) do
    local how, run = fire(id, state, one, overlap, most)
    became[3 * at - 2], became[3 * at - 1], became[3 * at] = one[1], run, how
    if how == 'F' then schedule_happened('fired', id, owner, { tick_ms = one[1] }, run) end
  end
  if missed > 0 then schedule_happened('missed', id, owner, { ticks = missed }) end
  set_facts(sched(id), 'm', number(missed_before, 0) + missed, 'n', state.fired, 'k', state.overlapped, 'x', skipped,
    'u', state.open or '', 'w', state.behind or '')
  if state.last then set_facts(sched(id), 'l', state.last) end
  set_due(id, most > 0 and state.fired >= most and NEVER or next_due)
  return { 'F', became }
end

-- Somebody looks, however long a round takes: what is due meanwhile is late, and not missed (due.lua).
set_facts(P .. 'ticker', 'seen', now)
local replies = {}
for at, one in ipairs(due_schedules) do
  local well, reply = pcall(tick_one, unpack(one, 1, 9))
  replies[at] = well and reply or { 'E', { type(reply) == 'table' and reply.err or tostring(reply) } }
end
count_accepted()
close_script()
return cmsgpack.pack(replies)
end
return tick()
