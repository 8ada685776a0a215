#!lua flags=allow-oom
-- tidy: find consumers that hold calls though nobody beats for them (a server that lost its last second), forget idle ones,
-- and drop dead letters, entries of lists of runs, and artifacts, whose records, or runs, have expired.
-- args: { patience ms, dead letter ttl ms, ttl ms of the journal, ttl ms of events, most entries of each to drop }
-- returns: { how many orphans were found; they are marked as dead, for the next beat to report,
--            how many entries of the journal or of events were dropped, or would be: again, while there are many }
-- needs: groups keeping run_lists artifacts
local patience, dead_ttl, journal_ttl, events_ttl, most_dropped = unpack(args)
local FORGET = 3600000 -- ms without a call after which a consumer that does not beat is forgotten
local found = 0

local function look_at(key, consumer)
  if score('workers', consumer.name) then return end
  if consumer.pending > 0 and consumer.idle > patience then
    put('workers', 0, consumer.name)
    found = found + 1
  elseif consumer.pending == 0 and consumer.idle > FORGET then
    redis.call('XGROUP', 'DELCONSUMER', key, GROUP, consumer.name)
  end
end

local function look_at_all(key)
  local reply = redis.pcall('XINFO', 'CONSUMERS', key, GROUP)
  if reply.err then return end
  for _, row in ipairs(reply) do look_at(key, facts_of(row)) end
end

for _, queue in ipairs(members('queues')) do
  for _, route in ipairs(routes_of(queue)) do
    look_at_all(stream(route))
    if redis.pcall('XLEN', stream(route)) == 0 then -- whatever an older worker, or damage, has left there
      redis.pcall('HDEL', P .. 'more', route, route .. '!')
    end
  end
end
-- Results that are kept because others need them. Those who ended somewhere else than in a script of this version (a
-- worker of an older one, a record that was lost) have not released them.
local function look_after(upstream)
  local users = P .. 'n:' .. upstream
  for _, id in ipairs(redis.call('SMEMBERS', users)) do
    local block = blocks.is_name(id) and blocks.read(id)
    local status = block and (string.find(block.letters, 'Q', 1, true) and 'Q' or 'C') or look(record(id), 's')[1]
    if not status or SETTLED[status] then redis.call('SREM', users, id) end
  end
  if redis.call('EXISTS', users) == 0 then return let_go(upstream) end
  put('kept', now + 600000, upstream)
end

local overdue = range('kept', '-inf', now, 'LIMIT', 0, 20)
for _, upstream in ipairs(overdue) do
  if not pcall(look_after, upstream) then drop('kept', upstream) end
end

local listed = range('listed', '-inf', now, 'LIMIT', 0, 1000)
for _, item in ipairs(listed) do look_after_listed(item) end
look_after_artifacts(200)

-- Without a limit of its own a trim with `~` drops 100 nodes of the stream at most, however many are old.
local dropped = 0
local function trim(name, ttl)
  local oldest = string.format('%.0f', math.max(0, now - ttl))
  local reply = redis.pcall('XTRIM', P .. name, 'MINID', '~', oldest, 'LIMIT', most_dropped)
  if type(reply) == 'number' then dropped = math.max(dropped, reply) end
end
trim('journal', journal_ttl)
trim('evt', events_ttl)
asked(redis.pcall('ZREMRANGEBYSCORE', P .. 'dead', '-inf', now - dead_ttl), 'dead')
return cmsgpack.pack({ found, #listed == 1000 and math.max(dropped, most_dropped) or dropped })
