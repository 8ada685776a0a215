#!lua flags=allow-oom
-- take_over: give the calls of a consumer that is gone (or leaves) to the others.
-- args: { consumer, { run = reason, ... } that were running, max deliveries, dead letter ttl ms, ttl ms, limit,
--         charge those noted as running (false when the consumer leaves in peace),
--         { run = {how, text, delay ms, reason, stack}, ... } verdicts on calls for which it was killed }
-- returns: { how many were moved, how many are left }
-- needs: ends ranges chains
local consumer, running, max_deliveries, dead_ttl, ttl, limit, charge_running, verdicts = unpack(args)
local moved, left = 0, 0

local function crashed(id, key, run, reason)
  local crashes = count_up(key, 'c', 1)
  if crashes < number(run[MAX_DELIVERIES], max_deliveries) then
    changed(id, 'Q')
    return enqueue(id, true)
  end
  finish_dead(id, because(CRASHED, reason .. ' (' .. crashes .. ' times)'), dead_ttl, run)
end

local function obey(verdict, id, run)
  local how, text, delay, reason, stack = unpack(verdict, 1, 5)
  local outcome = because(reason, text, stack)
  if how ~= 'D' then return finish(id, how, outcome, ttl, run) end
  retry_later(id, outcome, delay)
end

local function move_run(id, key, run)
  leave_limits(id, run[LIMIT], run[LEASES])
  local undo = has_undo_log(id) -- whoever gets the run next has to look for it
  if undo then count_up(key, 'v', 1) end
  local verdict = verdicts[id]
  if verdict and not (verdict[1] == 'D' and run[STATUS] == 'X') then return obey(verdict, id, run) end
  if run[STATUS] == 'X' then return end_now(id, 'K', CANCELLED, 'cancelled; its worker is gone', ttl) end
  local reason = running[id]
  if not reason and charge_running and run[STATUS] == 'R' then reason = 'its worker was lost while it ran' end
  if charge_running and not undo then count_up(key, 'v', 1) end
  if reason then return crashed(id, key, run, reason) end
  if run[RATE] then redis.call('HSET', key, 'G', '1') end -- it has not started: its turn under a rate stays paid
  enqueue(id, true)
end

-- A flow that ends here was killed with its process, before its hooks: they are to be called in another one (killed.lua).
-- One that was cancelled before it began has none; one whose end was written down had called them.
local OVER = { COMPLETED = true, FAILED = true, CANCELLED = true, CRASHED = true }
local function note_killed(id, key, state_type)
  if not state_type or OVER[state_type] then return end
  local status = look(key, 's')[1]
  local ran = running[id] or verdicts[id] or state_type == 'RUNNING'
  if status == 'Z' or (status == 'K' and ran) then
    put('killed', now, id)
    drop('killed', '~' .. id) -- who calls its hooks undoes first
  end
end

local function move_call(ticket, id)
  local key = record(id)
  take_off(ticket)
  local run = load_run(id)
  if run[TICKET] ~= ticket or SETTLED[run[STATUS]] then return end
  moved = moved + 1
  local is_flow = string.sub(run[TASK] or '', 1, 5) == 'flow:'
  local state_type = is_flow and look(P .. 'f:' .. id, 'type')[1]
  apart(id, ttl, move_run, id, key, run)
  note_killed(id, key, state_type)
end

-- A worker had this range: those of its calls that are open are moved out, so that each is charged for itself.
local function move_range(ticket, range_id)
  local current, first, last, handed, block = ranges.read(range_id)
  if current ~= ticket or not block then return take_off(ticket) end
  if not handed then -- its reply never came
    return ranges.requeue(block, range_id, ticket, first, last)
  end
  for place = first, last do
    local id = blocks.member(block.name, place)
    if blocks.letter(block, place) == 'Q' then blocks.move_out(id) end
    local own = blocks.ticket(ticket, place, range_id)
    if blocks.letter(block, place) == '-' and look(P .. 'r:' .. id, 'e')[1] == own then move_call(own, id) end
  end
  take_off(ticket) -- it is gone by now, unless a record of one of them was lost
  redis.call('DEL', P .. 'r:' .. range_id)
end

local function move(route, entry, id)
  local ticket = route .. ' ' .. entry
  if not blocks.is_range(id) then return move_call(ticket, id) end
  if not pcall(move_range, ticket, id) then take_off(ticket) end
end

local function move_pending(route, reply, most)
  -- whether that was all: an entry may be many calls
  for _, row in ipairs(reply) do
    if most and moved >= most then return false end
    local position = row[1]
    local entry = entry_at(stream(route), position) -- a stream: it has just listed what is held
    if entry then move(route, position, run_of(entry)) else take_off(route .. ' ' .. position) end
  end
  return true
end

local function empty_pending(route)
  local reply = redis.pcall('XPENDING', stream(route), GROUP, '-', '+', limit, consumer)
  if reply.err then return end
  if not move_pending(route, reply, limit) or #reply >= limit then left = left + 1 else
    take_off_all(); off = {}
    redis.pcall('XGROUP', 'DELCONSUMER', stream(route), GROUP, consumer)
  end
end

local function empty_private_queue(route)
  -- calls that only this process would have run go home; those that its own slots (another consumer) held first
  local held = redis.pcall('XPENDING', stream(route), GROUP, '-', '+', limit)
  if not held.err and #held > 0 then
    move_pending(route, held)
    take_off_all(); off = {}
  end
  local waiting = redis.pcall('XRANGE', stream(route), '-', '+', 'COUNT', limit)
  if waiting.err then return redis.call('DEL', stream(route)) end
  for _, entry in ipairs(waiting) do
    local position, id = entry[1], run_of(entry)
    redis.call('XDEL', stream(route), position)
    if not blocks.is_range(id) and look(record(id), 'e')[1] == route .. ' ' .. position then
      moved = moved + 1
      apart(id, ttl, enqueue, id, false)
    end
  end
  if redis.call('XLEN', stream(route)) > 0 then left = left + 1 else redis.call('DEL', stream(route)) end
end

drop('workers', consumer)
drop('block_readers', consumer)
drop('chain_readers', consumer)
drop('range_readers', consumer)
local queues = members('queues')
queues[#queues + 1] = '~' .. consumer
local keeper = string.match(consumer, '^(.*)%.') -- slots that a process brought along read its private queue
if keeper then queues[#queues + 1] = '~' .. keeper end
for _, queue in ipairs(queues) do
  for _, route in ipairs(routes_of(queue)) do empty_pending(route) end
end
for _, route in ipairs(routes_of('~' .. consumer)) do empty_private_queue(route) end
if left == 0 then
  redis.call('DEL', P .. 'worker:' .. consumer)
else
  put('workers', 0, consumer) -- should the rescuer die now, the next one finds it
end
close_script()
return cmsgpack.pack({ moved, left })
