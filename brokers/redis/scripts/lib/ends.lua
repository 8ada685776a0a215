-- ends: the end of a run, and what it sets free. Recursion (a failure settles the dependants of dependants) is a list.
-- needs: journal events inboxes limits keeping flow_records schedules children

-- Why it ended, where its task did not end it: the letters of `Reason` in brokers/schema.py. What stands beside one is for
-- people, and may be put into other words.
local TIMED_OUT, EXPIRED, CANCELLED, KILLED, PURGED = 'T', 'E', 'K', 'X', 'P'
local CRASHED, LOST, UNDELIVERED, UNKNOWN_TASK, DAMAGED = 'C', 'L', 'U', 'N', 'D'
local SUPERSEDED, LIMIT_REACHED = 'S', 'R'

local function because(reason, text, stack)
  -- the outcome: `ScriptedEnd` in brokers/schema.py
  local outcome = '\0' .. text
  if reason and reason ~= '' then outcome = outcome .. '\31' .. reason end
  if stack and stack ~= '' then outcome = outcome .. '\0' .. stack end
  return outcome
end

local counts = {}
local ended = {} -- runs whose dependants are to be released: id, status, ttl

-- A flow that was sent to a worker is a call whose task's key begins with `flow:`. What people see of it is in `f:<id>`,
-- which its worker writes; where no worker can (it was cancelled in the queue, or is a dead letter) this does.
local function end_flow(id, status, outcome)
  local types = { C = 'COMPLETED', F = 'FAILED', K = 'CANCELLED', Z = 'CRASHED', N = 'PENDING' }
  local names = { C = 'Completed', F = 'Failed', K = 'Cancelled', Z = 'Crashed', N = 'NotReady' }
  local key = P .. 'f:' .. id
  note_end_of_parent(id, types[status])
  local was, kept_itself = unpack(look(key, 'type', 'ttl'))
  if not was or was == 'COMPLETED' or was == 'FAILED' or was == 'CANCELLED' or was == 'CRASHED' then return end
  local superseded = status == 'K' and string.find(outcome, '\31' .. SUPERSEDED, 1, true) -- others hold anything
  local name = superseded and 'Superseded' or names[status]
  set_facts(key, 'type', types[status], 'state', name, 'at', string.format('%.3f', now / 1000))
  if kept_itself then keep_flow(key, DAY) end
  changed_flow(id, types[status], name)
end

-- The runs of a deployment that are due and not over, whether they wait or run: a limit with CANCEL_NEW counts these.
local function admission_of(text)
  local name, size, cancels = string.match(text, '^(.+)|(%d*)|(C?)$')
  if not name then return nil end
  local declared, active, strategy = unpack(look(P .. 'doc:limit:' .. name, 'limit', 'active', 'strategy'))
  if strategy then cancels = strategy == 'CANCEL_NEW' and 'C' or '' end
  local most = cancels == 'C' and active ~= '0' and number(declared, tonumber(size))
  return 'admitted:' .. name, most or math.huge
end

local function leave_admitted(id, text)
  local admitted = admission_of(text)
  if admitted then drop(admitted, id) end
end

-- What has to be known of a run to end it: an array, whose places have these names. (A table with names would be made
-- once more for every run.)
local STATUS, TICKET, TASK, INBOXES, DEPENDANTS, LIMIT, UPSTREAMS = 1, 2, 3, 4, 5, 6, 7
local KEPT, IDEMPOTENCY, EXPIRY, RATE, MAX_DELIVERIES, SCHEDULE, LEASES, ADMISSION = 8, 9, 10, 11, 12, 13, 14, 15
local function load_run(id)
  return look(record(id), 's', 'e', 't', 'w', 'd', 'l', 'u', 'k', 'i', 'x', 'g', 'y', 'S', 'H', 'C')
end

-- Its process was killed in a transaction: the next one that gets the run, or is sent for it, undoes what was done.
local function has_undo_log(id) return redis.call('EXISTS', P .. 'txn:' .. id) == 1 end

local function finish(id, status, outcome, ttl, run, drop_body)
  local key = record(id)
  redis.call('HSET', key, 's', status, 'o', outcome)
  if drop_body then redis.call('HDEL', key, 'b') end
  if run[KEPT] then
    redis.call('HSET', key, 'k', ttl)
    put('kept', now + ttl, id)
  else
    expire(id, ttl, run[IDEMPOTENCY])
  end
  if run[INBOXES] then notify(run[INBOXES], id, status, outcome) end
  if run[DEPENDANTS] then ended[#ended + 1] = { id, status, ttl } end
  if run[LIMIT] or run[LEASES] then leave_limits(id, run[LIMIT], run[LEASES]) end
  if run[ADMISSION] then leave_admitted(id, run[ADMISSION]) end
  if run[UPSTREAMS] then needs_no_more(id, run[UPSTREAMS]) end
  if run[EXPIRY] then drop('expiring', id) end
  changed(id, status)
  if run[SCHEDULE] then note_scheduled_end(run[SCHEDULE], status) end
  if run[TASK] and string.sub(run[TASK], 1, 5) == 'flow:' then end_flow(id, status, outcome) end
  local name = status .. ':' .. (run[TASK] or '?')
  counts[name] = (counts[name] or 0) + 1
  if has_undo_log(id) then put('killed', now, '~' .. id) end
end

local function finish_dead(id, outcome, ttl, run)
  put('dead', now, id)
  finish(id, 'Z', outcome, ttl, run)
end

-- Another attempt after a while, because this one failed or its process was killed for it.
local function retry_later(id, outcome, delay)
  local key, due = record(id), now + delay
  count_up(key, 'a', 1)
  changed(id, 'D')
  redis.call('HSET', key, 's', 'D', 'e', '', 'o', outcome, 'j', due)
  put('delayed', due, id)
end

local function end_now(id, status, reason, text, ttl)
  finish(id, status, because(reason, text), ttl, load_run(id))
end

-- An expiry is about the first start.
local function has_started(retries, crashes) return number(retries, 0) + number(crashes, 0) > 0 end

local function end_expired(id, ttl) end_now(id, 'K', EXPIRED, 'expired before it started', ttl) end

-- Does something with one run of many. If its record makes that impossible it is a dead letter, and the others go on.
local function apart(id, ttl, work, ...)
  local well, trouble = pcall(work, ...)
  if well then return true end
  local status = look(record(id), 's')[1]
  if not status or SETTLED[status] then return false end
  local text = 'its record is damaged: ' .. (type(trouble) == 'table' and trouble.err or tostring(trouble))
  if pcall(end_now, id, 'Z', DAMAGED, text, ttl) then put('dead', now, id) end
  return false
end

local function is_full(admitted, most)
  if size_of(admitted) < most then return false end
  for _, id in ipairs(places(admitted, 0, 99)) do -- those whose records were lost count no more
    local status = look(record(id), 's')[1]
    if not status or SETTLED[status] then drop(admitted, id) end
  end
  return size_of(admitted) >= most
end

-- Queues a run whose moment has come, unless its deployment's limit is reached and says that new ones are cancelled.
local function queue_due(id)
  local text, due = unpack(look(record(id), 'C', 'j'))
  if text and number(due, 0) <= now then
    local admitted, most = admission_of(text)
    if admitted and not score(admitted, id) then
      if is_full(admitted, most) then
        return end_now(id, 'K', LIMIT_REACHED, 'the deployment\39s limit of ' .. most .. ' is reached', DAY)
      end
      put(admitted, now, id)
    end
  end
  enqueue(id, false)
end

-- Blocks whose calls wait for others of which some have ended: { name, places (nil: all of them), ttl }. Only scripts with
-- chains.lua look at them; the others leave them to the mover.
blocks.woken = {}

function blocks.wake(name, places, ttl) blocks.woken[#blocks.woken + 1] = { name, places, ttl } end

function blocks.settle_woken()
  -- whether there were any, so that more runs may have ended
  if blocks.chains then return blocks.chains.settle_woken() end
  for _, one in ipairs(blocks.woken) do put('chained', now, one[1]) end
  blocks.woken = {}
  return false
end

local function release_from(count, id, goes_on, upstream, completed, ttl)
  if blocks.is_name(id) then return blocks.wake(id, nil, ttl) end
  local key = record(id)
  if look(key, 's')[1] ~= 'P' then return end
  apart(id, ttl, function()
    if not (completed or goes_on) then return end_now(id, 'N', nil, upstream, ttl) end
    if redis.call('HINCRBY', key, 'n', -count) <= 0 then queue_due(id) end
  end)
end

local function release_one(item, upstream, completed, ttl)
  local goes_on = string.sub(item, -1) == '!'
  release_from(1, goes_on and string.sub(item, 1, -2) or item, goes_on, upstream, completed, ttl)
end

local function release_those_of(budget, id, status, ttl)
  local key = P .. 'd:' .. id
  while budget > 0 do
    local items = redis.pcall('LPOP', key, 100)
    if not items or items.err then break end
    for _, item in ipairs(items) do release_one(item, id, status == 'C', ttl) end
    budget = budget - #items
  end
  if budget <= 0 and redis.call('EXISTS', key) == 1 then put('releasing', now, cmsgpack.pack({ id, status, ttl })) end
  return budget
end

-- Releases at most `budget` dependants; what is left goes to `releasing`, for the mover.
local function release_dependants(budget)
  local at = 1
  while ended[at] or blocks.woken[1] and blocks.settle_woken() do
    if ended[at] then
      budget = release_those_of(budget, unpack(ended[at]))
      at = at + 1
    end
  end
end

-- The record of a run has vanished (somebody deleted it, or the server threw it away): who waits for it would wait for ever.
local function end_who_waits_for_lost(id)
  if redis.call('EXISTS', P .. 'd:' .. id) == 1 then ended[#ended + 1] = { id, '?', DAY } end
end

function blocks.count_notes(block)
  local length = redis.pcall('LLEN', P .. 'd:' .. block.name)
  return type(length) == 'number' and length or 0
end

-- Parks a run behind another one; false if that one has ended already, and how.
local function park_behind(id, upstream, goes_on)
  local block, place, letter = blocks.find(upstream)
  if block and SETTLED[letter] then return false, letter end
  if block and blocks.count_notes(block) < blocks.MOST_NOTES then
    blocks.note(block, place, place, id, goes_on)
    return true
  end
  local status = look(record(upstream), 's')[1]
  if not status or SETTLED[status] then return false, status end
  redis.call('HSET', record(upstream), 'd', '1')
  redis.call('RPUSH', P .. 'd:' .. upstream, goes_on and id .. '!' or id)
  return true
end

local function close_script(budget)
  for at = 1, #spoilt do apart(spoilt[at], DAY, error, 'it cannot be queued') end
  release_dependants(budget or 1000)
  take_off_all()
  deliver_inboxes()
  write_journal()
  write_events()
  for name, n in pairs(counts) do count_up(P .. 'counts', name, n) end
end
