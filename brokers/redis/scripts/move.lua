#!lua flags=allow-oom
-- move: queue what is due, end what is past its expiry, look after limits under which somebody waits, go on releasing
-- dependants, cancel the children of flow runs that were cancelled.
-- args: { limit, ttl ms }
-- returns: ms until the next delayed run is due (-1: none)
-- needs: cancelling limit_watch chains
local limit, ttl = unpack(args)
local GIVEN_UP = 2000 -- ms after which a range that an older worker gave up waits again
local UNPUBLISHED = 5000 -- ms after which a call that nobody has published is published by someone else

for _, id in ipairs(range('delayed', '-inf', now, 'LIMIT', 0, limit)) do
  drop('delayed', id)
  if look(record(id), 's')[1] == 'D' then apart(id, ttl, queue_due, id) end
end

local function expire_now(id)
  local status, ticket, retries, crashes = unpack(look(record(id), 's', 'e', 'a', 'c'))
  if has_started(retries, crashes) then status = false end -- it began in time: its next attempt may be later
  if status == 'Q' and not owner_of(ticket) then
    take_off(ticket)
    end_expired(id, ttl)
  elseif status == 'P' or status == 'D' or status == 'W' then
    drop('delayed', id)
    end_expired(id, ttl)
  elseif status == 'A' then
    end_now(id, 'Z', LOST, 'whoever sent it to Celery was lost on the way; it may run there all the same', ttl)
  end
end

for _, id in ipairs(range('expiring', '-inf', now, 'LIMIT', 0, limit)) do
  drop('expiring', id)
  apart(id, ttl, expire_now, id)
end

for _, name in ipairs(range('limited', '-inf', now, 'LIMIT', 0, 20)) do
  drop('limited', name)
  pcall(look_after, name)
end

-- The flow runs that started these were cancelled, or crashed.
local budget = limit
for _, parent in ipairs(places('orphaned', 0, 19)) do -- whatever the clock says: it may have jumped back
  local children = redis.pcall('LPOP', P .. 'children:' .. parent, math.max(1, budget))
  if type(children) ~= 'table' or children.err or #children == 0 then
    drop('orphaned', parent)
    redis.call('DEL', P .. 'children:' .. parent)
  else
    for _, id in ipairs(children) do cancel_run(id, ttl, CANCELLED, 'the flow run that started it ended') end
    budget = budget - #children
    if budget <= 0 then break end
  end
end

-- No worker that knows their task has come: whoever gets them now gives them up.
for _, item in ipairs(range('unknown', '-inf', now, 'LIMIT', 0, limit)) do
  drop('unknown', item)
  local id, name = string.match(item, '^(%S+) (.*)$')
  if id then
    drop('unknown:' .. name, id)
    if size_of('unknown:' .. name) == 0 then redis.pcall('SREM', P .. 'unknown_tasks', name) end
    local status, since = unpack(look(record(id), 's', 'U'))
    if status == 'W' and since then apart(id, ttl, enqueue, id, true) end
  end
end

-- Whoever queued these died, or lost the broker, before it could say that they were published.
if CARRIED then
  for _, id in ipairs(range('unpublished', '-inf', now - UNPUBLISHED, 'LIMIT', 0, limit)) do
    drop('unpublished', id)
    local status, ticket, task = unpack(look(record(id), 's', 'e', 't'))
    if status == 'Q' and ticket and is_carried(ticket) then
      redis.call('XADD', P .. 'outbox', '*', 'i', id, 'e', ticket, 't', task or '')
    end
  end
  for _, id in ipairs(range('unpublished_ranges', '-inf', now - UNPUBLISHED, 'LIMIT', 0, limit)) do
    drop('unpublished_ranges', id)
    local ticket, task, first, last = unpack(look(P .. 'r:' .. id, 'e', 't', 'F', 'T'))
    if ticket and is_carried(ticket) then
      local count = number(last, 0) - number(first, 0) + 1
      redis.call('XADD', P .. 'range_outbox', '*', 'i', id, 'e', ticket, 't', task or '', 'F', first or 0, 'n', count)
    end
  end
end

-- Blocks that wait for others: notes may have been lost.
for _, name in ipairs(range('chained', '-inf', now, 'LIMIT', 0, 20)) do
  put('chained', now + chains.AGAIN, name)
  blocks.wake(name, nil, ttl)
end

-- Ranges that older workers gave up, once somebody lives who can read them.
local function newer_worker_lives()
  for _, consumer in ipairs(range('workers', 1, '+inf')) do
    if score('chain_readers', consumer) then return true end
  end
  return false
end

local given_up, newest = {}, places('dead', -100, -1, 'WITHSCORES')
for at = 1, #newest, 2 do -- not at once: it may be the same worker that gets them again
  if blocks.is_range(newest[at]) and number(newest[at + 1], now) < now - GIVEN_UP then given_up[#given_up + 1] = newest[at] end
end
if given_up[1] and newer_worker_lives() then
  for _, id in ipairs(given_up) do pcall(ranges.revive, id) end
end

for _, item in ipairs(places('releasing', 0, 3)) do
  drop('releasing', item)
  local one = unpacked(item)
  local id, status, its_ttl = unpack(one, 1, 3)
  if type(id) == 'string' and type(status) == 'string' and type(its_ttl) == 'number' then ended[#ended + 1] = one end
end

close_script(limit)
local wait = -1
if size_of('releasing') > 0 or size_of('orphaned') > 0 then return cmsgpack.pack(0) end
local _, due = unpack(places('delayed', 0, 0, 'WITHSCORES'))
if due then wait = math.min(math.max(0, number(due, now) - now), DAY) end
return cmsgpack.pack(wait)
